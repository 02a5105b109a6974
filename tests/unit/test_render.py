"""Desired state: every file, mount, certificate, job and resource of a made-up region, with references instead of secrets."""

from __future__ import annotations

import json

import pytest

from proofs.world import ROLES, World, facts
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Address, Health, Page
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Mount, ReloadAction
from scs_deploy.errors import InputError
from scs_deploy.render import Given
from scs_deploy.render.context import Topology
from scs_deploy.render.desired import Folder
from scs_deploy.render.templates import TemplateSet
from scs_deploy.secrets.placeholders import find

APP = "/etc/scs-deploy/app"


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def own_role(tmp_path, name: str, service: str, **templates: str) -> World:
    """A world with one more service."""
    folder = tmp_path / name
    (folder / "templates").mkdir(parents=True)
    (folder / "service.yml").write_text(f"format: 1\nname: {name}\nsummary: made up\n{service}")
    for file, text in templates.items():
        (folder / "templates" / file.replace("_", ".")).write_text(text)
    return World(roles=(ROLES, tmp_path))


def test_files_land_in_the_folder_of_their_instance_with_mode_and_owner(world: World):
    found = {file.path: file for file in world.instance("n1/app").files}
    assert set(found) == {
        f"{APP}/scs-job-app-bootstrap", f"{APP}/etc/app/app.conf", f"{APP}/etc/app/policy.yaml", f"{APP}/etc/app/motd",
        f"{APP}/etc/app/keys/0", f"{APP}/etc/app/keys/1", f"{APP}/etc/app/admin",
        *(f"{APP}/etc/scs-tls/{name}.pem" for name in ("ca", "cert", "key", "bundle")),
        f"{APP}/etc/scs-openssl.cnf", "/etc/containers/systemd/app.container",
    }  # fmt: skip
    config, key = found[f"{APP}/etc/app/app.conf"], found[f"{APP}/etc/app/keys/0"]
    user = world.instance("n1/app").container.user
    assert (config.mode, config.uid, f"{config.gid}") == ("0640", 0, user.partition(":")[2])
    assert (key.mode, f"{key.uid}:{key.gid}", key.effect, key.opaque) == ("0400", user, "none", True)
    assert found[f"{APP}/etc/scs-tls/key.pem"].mode == "0400"
    assert found[f"{APP}/etc/scs-tls/key.pem"].opaque


def test_mounts_are_file_by_file_or_whole_folders_where_asked(world: World):
    mounts = world.instance("n1/app").container.mounts
    assert Mount(f"{APP}/etc/app/app.conf", "/etc/app/app.conf") in mounts
    assert Mount(f"{APP}/etc/app/live", "/etc/app/live") in mounts
    assert Mount(f"{APP}/etc/app/keys", "/etc/app/keys") in mounts, "a secret with keys is a folder"
    assert Mount(f"{APP}/etc/scs-tls", "/etc/scs-tls") in mounts
    targets = [mount.target for mount in mounts]
    assert len(targets) == len(set(targets))
    assert not [one for one in targets if one.startswith(("/etc/scs-tls/", "/etc/app/keys/"))]


def test_data_and_host_folders(world: World):
    store = world.instance("n1/store")
    data = "/var/lib/scs-deploy/data/store/db"
    assert Mount(data, "/var/lib/store", "rw") in store.container.mounts
    assert Mount("/srv/backup", "/backup", "rw", "rslave") in store.container.mounts
    uid, gid = map(int, store.container.user.split(":"))
    assert Folder(data, "0750", uid, gid, data=True) in store.folders
    assert [one.path for one in store.folders] == [data, "/srv/backup"], "folders below /run are made by the unit"
    assert "/run/scs-deploy/store" in world.file("n1/store", "store.container").text


def test_an_entry_script_replaces_the_command(world: World):
    assert world.instance("n1/store").container.command == ("/scs-entry",)
    script = world.file("n1/store", "/scs-entry")
    assert (script.mode, script.text) == ("0755", "#!/bin/sh\nexec store --address 10.60.1.11\n")


def test_commands_and_templates_see_their_node(world: World):
    assert world.instance("n2/app").container.command == ("app-server", "--bind=10.60.1.12", "--name=n2")
    assert "node = n2" in world.file("n2/app", "app.conf").text
    assert "members = 10.60.1.11,10.60.1.12,10.60.1.13" in world.file("n3/store", "store.conf").text


def test_a_reload_sees_its_node(world: World):
    assert world.instance("n2/app").reload_action == ReloadAction(command=["app-ctl", "--at=10.60.1.12", "reload"])
    assert world.instance("n2/store").reload_action == ReloadAction("HUP")


def test_clients_go_to_the_virtual_address_by_name(world: World):
    assert "@api-int.world.test:3306/app" in world.file("n1/app", "app.conf").text
    assert "--url https://api-int.world.test:5000 " in world.file("n1/app", "scs-job-app-bootstrap").text


def test_balancers_see_every_frontend_and_their_own_interfaces(world: World):
    text = world.file("n2/front", "front.cfg").text
    assert "frontend app n1=10.60.1.11:5000 n2=10.60.1.12:5000 n3=10.60.1.13:5000\n" in text
    assert "vip api-int.world.test 10.60.1.10/24 dev eth0" in text
    assert "vip api.world.test 10.60.2.10/24 dev eth1" in text


def test_certificates_name_the_node_and_no_virtual_address_but_of_who_serves_it(world: World):
    """A broken API could pose as all of them; the balancer looks for the node's name."""
    names = world.desired.certificates["n1", "app"]
    assert names.common_name == "app.n1"
    assert set(names.dns_names) == {"app", "n1", "n1.world.test", "app.alias"}
    assert names.ip_addresses == ("10.60.1.11",)
    assert {"10.60.1.10", "10.60.2.10"} < set(world.desired.certificates["n1", "front"].ip_addresses), "vips: true"


def test_health_is_asked_where_the_port_is(world: World):
    assert world.instance("n2/store").health == Health(tcp=Address("10.60.1.12", 3306), timeout=60)
    assert world.instance("n2/app").health == Health(
        http=Page("https", "10.60.1.12", 5000, "/ready"), ca=f"{APP}/etc/scs-tls/ca.pem", timeout=10
    )
    assert world.instance("n2/front").health == Health(command=["true"], timeout=60)
    assert world.instance("n4/ground-clock").health.unit is True
    assert world.instance("n4/ground-hosts").health == Health()


def test_health_of_a_client_names_a_port_of_another_service(tmp_path):
    service = (
        "images: {odd: {}}\n"
        "components:\n  odd: {group: all, image: odd, health: {client: store, timeout: 5}, pause: none}\n"
    )
    assert own_role(tmp_path, "odd", service).instance("n2/odd").health == Health(client=3306, timeout=5)


def test_patience_stretches_timeouts():
    slow = World.changed(("domain: world.test", "domain: world.test\npatience: 3"))
    assert slow.instance("n2/app").health.timeout == 30
    assert slow.desired.jobs[0].timeout == 900


def test_a_memory_limit_only_where_the_node_can_enforce_it():
    without = facts("10.60.1.11") | {"cgroup": {"mode": "hybrid", "controllers": []}}
    world = World(facts_of={"n1": without})
    assert "memory" not in world.instance("n1/store").container.limits
    assert world.instance("n2/store").container.limits == {"nofile": "4096", "memory": "1024m"}


def test_limits_are_never_above_what_the_node_allows():
    world = World(facts_of={"n1": facts("10.60.1.11") | {"limits": {"nofile": 2048, "nproc": -1}}})
    assert world.instance("n1/store").container.limits["nofile"] == "2048"


def test_host_components_write_where_they_say(world: World):
    clock = world.instance("n4/ground-clock")
    assert [file.path for file in clock.files] == ["/etc/chrony/chrony.conf"]
    assert clock.packages == ("chrony",)
    assert clock.kind == "host"
    assert world.instance("n4/ground-zone").apply[-2:] == ("/usr/share/zoneinfo/Etc/UTC", "/etc/localtime")


def test_jobs_use_their_home_with_their_own_command(world: World):
    sync, bootstrap = world.desired.jobs
    assert (sync.id, sync.instance, sync.container.command) == ("n1/app-sync", "app", ("app-manage", "sync"))
    assert bootstrap.container.command == ("/scs-job-app-bootstrap",)
    assert bootstrap.container.name == "app-bootstrap"
    targets = {mount.target for mount in bootstrap.container.mounts}
    assert {"/etc/app/app.conf", "/scs-job-app-bootstrap", "/etc/app/admin", "/etc/scs-tls"} <= targets


def test_resources_with_each(world: World):
    items = {item.id: item for item in world.desired.items}
    assert set(items) == {"store.database app", "store.user app", "store.user app-one", "store.user app-two"}
    assert items["store.user app-two"].attrs == {"databases": ["app-two"]}
    assert items["store.user app"].attrs == {"databases": ["app"], "note": "world"}
    assert list(find(items["store.user app"].secret)) == ["app-database"]


def test_reconcilers_lie_on_their_home_node_only(world: World):
    def bookkeeping(id_: str) -> set[str]:
        return {file.path.rpartition("/")[2] for file in world.instance(id_).files if "/resources/" in file.path}

    assert bookkeeping("n1/store") == {"database.py", "user.py", "_client.py", "context.json", "wanted.json"}
    assert bookkeeping("n2/store") == set()
    wanted = json.loads(world.file("n1/store", "wanted.json").text)
    assert [(one["kind"], one["name"]) for one in wanted][:2] == [("database", "app"), ("user", "app")]
    assert world.file("n1/store", "context.json").mode == "0600"
    assert world.desired.owners["store"].kept == ("database",)


def test_hooks_are_executable_on_every_member(world: World):
    assert world.file("n3/store", "/hooks/probe").mode == "0755"
    hooks = [file.path.rpartition("/")[2] for file in world.instance("n3/store").files if "/hooks/" in file.path]
    assert hooks == ["cluster.json", "probe", "form"], "a program that is there finds what it reads"


def test_overrides_reach_the_file_by_target_or_template():
    change = (
        "services:\n  app:\n    config:\n      /etc/app/app.conf: {options: {DEFAULT: {debug: true, more: [1, 2]}}}\n"
    )
    change += "      policy.yaml.j2: {merge: {admin: {delete: null}}}\n"
    world = World.changed(("services: {}\n", change))
    assert "debug = true\nnode = n1\nmore = 1\nmore = 2\n" in world.file("n1/app", "app.conf").text
    assert "delete" not in world.file("n1/app", "policy.yaml").text
    assert "empty: null" in world.file("n1/app", "policy.yaml").text


def test_no_secret_value_is_in_desired_state(world: World):
    assert "S3CRET" not in repr(world.desired)
    assert "app-database" in repr(world.desired)


def test_masks_name_the_keys_of_lines_with_references(world: World):
    assert world.file("n1/app", "app.conf").masked == ("connection",)


def test_a_secret_without_a_key_makes_the_whole_file_opaque(tmp_path):
    """Nothing could be masked in what the node sends back, so nothing is sent."""
    service = """\
secrets: {odd: {type: hex, description: x}}
components:
  odd: {kind: host, group: all, files: [{template: odd.conf, target: /etc/odd, mode: "0600"}]}
"""
    world = own_role(tmp_path, "odd", service, odd_conf="requirepass {{ secret('odd') }}\n")
    assert world.file("n1/odd", "/etc/odd").opaque


def test_a_file_with_a_secret_is_verified_by_nobody_who_would_repeat_it(tmp_path):
    service = """\
secrets: {odd: {description: x}}
components:
  odd:
    kind: host
    group: control
    files: [{template: odd.conf, target: /etc/odd, verify: [check]}]
"""
    with pytest.raises(InputError, match="verify may repeat its lines"):
        _ = own_role(tmp_path, "odd", service, odd_conf="password = {{ secret('odd') }}\n").desired


@pytest.mark.parametrize(
    ("file_format", "text"),
    [
        ("raw", "requirepass {{ secret('odd') }}"),
        ("ini", "url = mysql://app:{{ secret('odd') }}@db/app"),
        ("yaml", "password: {{ secret('odd') }}"),
        ("python", "PASSWORD = {{ secret('odd') }}"),
    ],
)
def test_a_password_where_it_may_be_read_as_something_else_is_refused(tmp_path, file_format, text):
    service = f"""\
secrets: {{odd: {{description: x}}}}
components:
  odd: {{kind: host, group: all, files: [{{template: odd.conf, target: /etc/odd, format: {file_format}, mode: "0600"}}]}}
"""
    with pytest.raises(
        InputError, match="the secret odd stands where its value may be read as something else"
    ) as error:
        _ = own_role(tmp_path, "odd", service, odd_conf=f"{text}\n").desired
    assert "roles/odd/templates/odd.conf" in str(error.value)


def test_a_secret_may_be_lines_of_its_own(tmp_path):
    service = """\
secrets: {odd: {description: x}}
components:
  odd: {kind: host, group: all, files: [{template: odd.conf, target: /etc/odd, mode: "0600"}]}
"""
    world = own_role(tmp_path, "odd", service, odd_conf="# both\n{{ secret('odd') }}\n")
    assert world.file("n1/odd", "/etc/odd").text.startswith("# both\n")


def test_a_secret_in_a_unit_is_refused(tmp_path):
    service = """\
secrets: {odd: {description: x}}
images: {odd: {packages: [x]}}
components:
  odd: {group: control, image: odd, command: [run], environment: {PASSWORD: "{{ secret('odd') }}"}}
"""
    with pytest.raises(InputError, match="secret in its command or environment") as error:
        _ = own_role(tmp_path, "odd", service).desired
    assert "roles/odd/service.yml" in str(error.value)


def test_the_same_input_gives_the_same_output():
    assert World().desired == World().desired
    assert repr(World().desired) == repr(World().desired)


def test_rendering_changes_nothing_it_was_given():
    world = World()
    before = repr(world.region), repr(world.facts)
    _ = world.desired
    assert before == (repr(world.region), repr(world.facts))


def test_a_node_without_facts_is_not_rendered_but_known_to_others():
    world = World(without_facts=("n2",))
    assert set(world.desired.instances) == {"n1", "n3", "n4"}
    assert "10.60.1.12" in world.file("n1/store", "store.conf").text


def test_resources_wait_until_their_home_is_known():
    world = World(without_facts=("n1",))
    assert world.desired.items == ()
    assert world.desired.owners == {}
    assert not world.desired.jobs


def test_an_undefined_name_is_an_error_with_file_and_line(tmp_path):
    service = "components:\n  odd: {kind: host, group: all, files: [{template: odd.conf, target: /etc/odd}]}\n"
    world = own_role(tmp_path, "odd", service, odd_conf="fine\nfine\nvalue = {{ nonsense }}\n")
    with pytest.raises(InputError, match="nonsense") as error:
        _ = world.desired
    finding = error.value.findings[0]
    assert finding.file.endswith("odd/templates/odd.conf")
    assert finding.line == 3
    assert "odd on n1" in finding.why


def test_a_template_that_is_no_template_is_an_error_with_file_and_line(tmp_path):
    service = "components:\n  odd: {kind: host, group: all, files: [{template: odd.conf, target: /etc/odd}]}\n"
    world = own_role(tmp_path, "odd", service, odd_conf="fine\n{% if %}\n")
    with pytest.raises(InputError) as error:
        _ = world.desired
    assert (error.value.findings[0].line, error.value.findings[0].file[-8:]) == (2, "odd.conf")


def test_a_port_that_nobody_offers(tmp_path):
    service = "components:\n  odd: {kind: host, group: all, files: [{template: odd.conf, target: /etc/odd}]}\n"
    world = own_role(tmp_path, "odd", service, odd_conf="{{ endpoint('nope').url }}\n")
    with pytest.raises(InputError, match=r"port named nope(.|\n)*known ports: app, store"):
        _ = world.desired


def test_an_image_that_was_never_built():
    with pytest.raises(InputError, match=r"image app is not in images.lock(.|\n)*scs-deploy image build app"):
        _ = World(unbuilt=("app",)).desired


def test_what_is_the_same_everywhere_is_rendered_once(world: World):
    """A thousand nodes with a line per node in /etc/hosts share one text; what names its node is its own."""
    texts = [world.file(f"{node}/ground-hosts", "/etc/hosts").text for node in ("n1", "n2", "n4")]
    assert texts[0] is texts[1] is texts[2]
    assert texts[0].count("\n") == 4
    assert world.file("n1/app", "app.conf").text != world.file("n2/app", "app.conf").text


def test_what_a_template_uses_matters_from_its_second_instance_on(world: World, monkeypatch):
    asked: list[str] = []
    before = TemplateSet.uses
    monkeypatch.setattr(TemplateSet, "uses", lambda self, *names: asked.append(names[-1]) or before(self, *names))
    topology = Topology(world.region, world.catalogue, world.placement)
    given = Given(topology, TemplateSet.load(world.catalogue), {}, {}, {})
    scopes = [given.scope(placed) for placed in world.placement.placed if placed.component == "ground-hosts"]
    first = scopes[0].text("hosts.j2")
    assert not asked
    assert scopes[1].text("hosts.j2") is first
    assert asked == ["hosts.j2"]


ODD = "components:\n  odd: {kind: host, group: all, files: [{template: odd.conf, target: /etc/odd}]}\n"


def test_a_template_that_includes_another_is_rendered_for_each_node(tmp_path):
    world = own_role(
        tmp_path, "odd", ODD, odd_conf="{% include 'odd/templates/in.conf' %}\n", in_conf="{{ node.name }}"
    )
    assert [world.file(f"{node}/odd", "/etc/odd").text for node in ("n1", "n2")] == ["n1", "n2"]


@pytest.mark.parametrize(
    ("macro", "once"),
    [("{{ region.name }}{{ word }}", True), ("{{ node.name }}{{ word }}", False), ("{{ region.nam }}", None)],
)
def test_macros_of_another_template_count_for_who_imports_them(tmp_path, macro: str, once: bool | None):
    text = "{% import 'odd/templates/in.conf' as others with context %}\n{{ others.line('x') }}\n"
    world = own_role(tmp_path, "odd", ODD, odd_conf=text, in_conf=f"{{% macro line(word) %}}{macro}{{% endmacro %}}")
    if once is None:
        with pytest.raises(InputError, match="nam") as error:
            _ = world.desired
        assert error.value.findings[0].file.endswith("odd/templates/in.conf")
        return
    first, second = [world.file(f"{node}/odd", "/etc/odd").text for node in ("n1", "n2")]
    assert (first is second) is once
    assert second.strip() == ("worldx" if once else "n2x")


@pytest.mark.parametrize("other", ["region.name ~ '/x'", "'odd/templates/odd.conf'", "'odd/templates/missing'"])
def test_what_a_template_uses_may_be_unknown(tmp_path, other: str):
    world = own_role(tmp_path, "odd", ODD, odd_conf=f"{{% include {other} %}}")
    assert TemplateSet.load(world.catalogue).uses("odd", "odd.conf") is None


def test_resources_that_nobody_wants_need_no_owner(tmp_path):
    service = (
        "components:\n  odd: {kind: host, group: all}\nresources:\n  - {kind: store.user, name: odd, each: '[]'}\n"
    )
    world = own_role(tmp_path, "odd", service)
    assert not [item for item in world.desired.items if item.service == "odd"]


def test_whoever_is_told_of_a_tls_policy_sees_it(world: World):
    """A program whose OPENSSL_CONF is not there goes on without a word, by OpenSSL's own defaults."""
    runs = [one.container for group in world.desired.instances.values() for one in group if one.kind == "container"]
    jobs = [job.container for job in world.desired.jobs]
    assert any("OPENSSL_CONF" in job.environment for job in jobs)
    for run in (*runs, *jobs):
        assert run.environment.get("OPENSSL_CONF", "") in {"", *(mount.target for mount in run.mounts)}, run.name
