"""The vault: generated values, encryption at rest, password sources, editing; and that no value is ever shown by accident."""

from __future__ import annotations

import base64
import os
import re
import signal
import stat
import struct
import subprocess
import sys
import threading
import traceback
import uuid
from functools import partial
from pathlib import Path

import pytest

from scs_deploy.catalogue.service import Secret
from scs_deploy.errors import DeployError, InputError, Interrupted
from scs_deploy.machine.files import write_atomic
from scs_deploy.secrets import SecretValue, Vault, edit, form, password, value
from scs_deploy.secrets.encrypted import EncryptedFile
from scs_deploy.secrets.generate import generate
from scs_deploy.secrets.pki import CertificateRequest

WANTED = {
    "db-password": Secret(type="password", length=40),
    "fernet-keys": Secret(type="fernet", count=4),
    "hash": Secret(type="hex", length=31),
    "fsid": Secret(type="uuid"),
    "cephx": Secret(type="cephx"),
    "erlang": Secret(type="cookie", length=20),
    "nova-ssh": Secret(type="ssh-key"),
}


@pytest.fixture(autouse=True)
def _own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    for name in (password.VARIABLE, password.VARIABLE_FILE, "VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "box").mkdir()
    return tmp_path / "box"


@pytest.fixture
def vault(folder):
    password.create(folder)
    made = Vault.open(folder, new=True)
    made.complete({})
    return made


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("password", ""),
        ("password", "two\nlines"),
        ("password", "n\x00l"),
        ("password", " leading"),
        ("password", "trailing "),
        ("password", "größer"),
        ("password", "a\\$b"),
        ("hex", "xyz"),
        ("uuid", "1"),
        ("cookie", "a b"),
        ("cephx", "short"),
    ],
)
def test_a_secret_that_something_could_not_take_is_told_by_its_name(kind, value):
    found = list(form.check({"app": value, "app~other": value}, {"app": Secret(type=kind)}, "secrets.yml"))
    assert [one.path for one in found] == ["app", "app~other"]
    assert not value or value not in str(found[0])


@pytest.mark.parametrize("kind", ["password", "hex", "uuid", "cookie", "cephx", "fernet", "ssh-key"])
def test_what_is_generated_has_its_form(kind):
    assert not list(form.check({"app": generate("app", Secret(type=kind))}, {"app": Secret(type=kind)}, "x"))


@pytest.mark.parametrize("value", ["p@ss/w#rd%41$x", "'\"\\ a b", "{x}", "$", "%"])
def test_a_password_of_any_printable_characters_is_taken(value):
    assert not list(form.check({"app": value}, {"app": Secret()}, "x"))


def test_generates_each_type(vault):
    assert vault.complete(WANTED) == sorted(WANTED)
    assert re.fullmatch(r"[A-Za-z0-9]{40}", vault.get("db-password"))
    assert re.fullmatch(r"[0-9a-f]{31}", vault.get("hash"))
    assert re.fullmatch(r"[A-Z]{20}", vault.get("erlang"))
    assert str(uuid.UUID(vault.get("fsid"))) == vault.get("fsid")
    kind, _, _, length = struct.unpack_from("<HIIH", key := base64.b64decode(vault.get("cephx")))
    assert (kind, length, len(key)) == (1, 16, 28)
    keys = vault.get("fernet-keys")
    assert list(keys) == ["0", "1", "2", "3"]
    assert {len(base64.urlsafe_b64decode(key)) for key in keys.values()} == {32}
    assert len(set(keys.values())) == 4


def test_ssh_key_is_accepted_by_openssh(vault, tmp_path):
    vault.complete(WANTED)
    key = vault.get("nova-ssh")
    private = tmp_path / "key"
    write_atomic(private, key["private"].encode())
    derived = subprocess.run(["ssh-keygen", "-y", "-f", private], capture_output=True, text=True, check=True).stdout
    assert derived.split()[:2] == key["public"].split()[:2]
    assert key["public"].split()[0] == "ssh-ed25519"


def test_a_second_completion_changes_nothing(vault, folder):
    vault.complete(WANTED)
    before = (folder / "secrets.yml").read_bytes()
    again = Vault.open(folder)
    assert again.complete(WANTED) == []
    assert (folder / "secrets.yml").read_bytes() == before
    assert again.get("nova-ssh") == vault.get("nova-ssh")


def test_two_runs_do_not_lose_each_others_secrets(folder, vault):
    other = Vault.open(folder)
    vault.complete({"one": Secret()})
    assert other.complete({"one": Secret(), "two": Secret()}) == ["two"]
    assert other.get("one") == vault.get("one")
    assert {"one", "two"} <= set(Vault.open(folder).names)


def test_at_rest_encrypted_private_and_readable_by_ansible(vault, folder):
    vault.complete(WANTED)
    file = folder / "secrets.yml"
    assert file.read_text().startswith("$ANSIBLE_VAULT;1.1;AES256\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["secrets.yml"]  # no temporary file stays
    tool = Path(sys.executable).with_name("ansible-vault")
    command = [tool, "view", "--vault-password-file", password.default_file(folder), file]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PAGER": "cat"})
    assert vault.get("db-password") in shown.stdout


@pytest.mark.parametrize("label", [[], ["--encrypt-vault-id", "box"]])
def test_what_ansible_encrypts_is_read_and_nothing_else(folder, tmp_path, label):
    password.create(folder)
    file, secret = folder / "secrets.yml", password.default_file(folder)
    file.write_text("é: ü\n")
    tool = Path(sys.executable).with_name("ansible-vault")
    subprocess.run([tool, "encrypt", "--vault-id", f"box@{secret}", *label, file], check=True, capture_output=True)
    encrypted, word = EncryptedFile(file, secret.read_text().strip()), file.read_bytes()
    assert word.startswith(b"$ANSIBLE_VAULT;1.2;AES256;box\n" if label else b"$ANSIBLE_VAULT;1.")
    assert encrypted.text() == "é: ü\n"
    wrong = [
        EncryptedFile(file, "another").text,
        *(partial(damaged, encrypted, word, at) for at in range(len(word) - 1, word.index(b"\n"), -29)),
    ]
    for read in wrong:
        with pytest.raises(InputError, match="cannot be decrypted"):
            read()


def damaged(file: EncryptedFile, content: bytes, at: int) -> str:
    file.path.write_bytes(content[:at] + (b"0" if content[at : at + 1] != b"0" else b"1") + content[at + 1 :])
    return file.text()


def test_password_file_is_private_outside_the_region_and_never_replaced(folder, tmp_path):
    file = password.create(folder)
    assert file == tmp_path / "config/scs-deploy/box.vault-password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert len(text.strip()) >= 32
    assert password.create(folder) is None
    assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]


def test_password_sources_in_their_order(folder, tmp_path, monkeypatch):
    password.create(folder)
    assert password.read(folder) == password.default_file(folder).read_text().strip()
    by_variable_file = tmp_path / "by-variable-file"
    by_variable_file.write_text("from the file of the variable\n")
    monkeypatch.setenv(password.VARIABLE_FILE, str(by_variable_file))
    assert password.read(folder) == "from the file of the variable"
    monkeypatch.setenv(password.VARIABLE, "from the variable")
    assert password.read(folder) == "from the variable"
    command = tmp_path / "command"
    command.write_text("#!/bin/sh\necho from a command\n")
    command.chmod(0o700)
    assert password.read(folder, command) == "from a command"


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ("", 0o600, "is empty"),
        ("#!/bin/sh\necho half-a-password; exit 3\n", 0o700, "exit code 3"),
        ("no interpreter line", 0o700, "cannot run the command"),
        (None, 0, "no such file"),
    ],
)
def test_bad_password_sources(folder, tmp_path, content, mode, message):
    file = tmp_path / "source"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(InputError, match=message) as caught:
        password.read(folder, file)
    assert str(file) in str(caught.value)
    assert "half-a-password" not in str(caught.value)


def test_a_password_that_others_can_read_is_told(folder, tmp_path, caplog):
    file = tmp_path / "password"
    file.write_text("word\n")
    file.chmod(0o600)
    assert password.read(folder, file) == "word"
    assert not caplog.messages
    file.chmod(0o640)
    assert password.read(folder, file) == "word"
    assert caplog.messages == [f"the vault's password can be read by others than you: chmod 600 {file}"]


def test_a_lost_password_is_not_made_anew_over_a_vault(folder, tmp_path):
    absent = tmp_path / "absent"
    (folder / "secrets.yml").unlink(missing_ok=True)
    with pytest.raises(InputError, match="secrets init"):
        password.read(folder, absent)
    (folder / "secrets.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n")
    with pytest.raises(InputError) as caught:
        password.read(folder, absent)
    assert "secrets init" not in str(caught.value)


@pytest.mark.parametrize(
    "damage", ["wrong password", "flipped byte", "cut off", "clear text", "empty", "binary", "absent"]
)
def test_what_cannot_be_opened_says_so(vault, folder, tmp_path, damage):
    file = folder / "secrets.yml"
    data = bytearray(file.read_bytes())
    source = None
    if damage == "wrong password":
        source = tmp_path / "wrong"
        source.write_text("wrong")
    elif damage == "flipped byte":
        data[-100] = ord("0") if data[-100] != ord("0") else ord("1")
    elif damage == "cut off":
        data = data[: len(data) // 2]
    file.write_bytes({"clear text": b"a: b\n", "empty": b"", "binary": b"\xff\x00"}.get(damage, bytes(data)))
    if damage == "absent":
        file.unlink()
    with pytest.raises(InputError) as caught:
        Vault.open(folder, source)
    assert str(file) in str(caught.value)
    assert "fix:" in str(caught.value)


def test_unknown_name_suggests_a_near_one(vault):
    vault.complete(WANTED)
    with pytest.raises(InputError, match="did you mean 'db-password'"):
        vault.get("db-pasword")


def test_wrong_shape_is_an_error_and_the_value_is_kept(vault, folder):
    vault.complete({"keys": Secret(type="password")})
    kept = vault.get("keys")
    with pytest.raises(InputError, match="wrong shape"):
        vault.complete({"keys": Secret(type="fernet")})
    assert Vault.open(folder).get("keys") == kept


def test_no_repr_shows_a_value(vault):
    vault.complete(WANTED)
    vault.certify({("n1", "memcached"): CertificateRequest("n1")})
    certificate = vault.pem("n1", "memcached")
    shown = repr(
        [
            vault,
            vault.file,
            vault.authority(),
            vault._certs,
            vault.get("fernet-keys"),
            vault.get("db-password"),
            vars(vault),
        ]
    )
    values = [vault.get("db-password"), *vault.get("fernet-keys").values(), *vault.get("nova-ssh").values()]
    assert not [
        secret for secret in [*values, certificate["key"], vault.get("ca-key")] if secret[30:60].strip() in shown
    ]
    assert f"{vault.get('db-password')}" == vault.get("db-password") == str(vault.get("db-password"))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: HUNTER2\n b: [\n", ":2:"),
        ("a: *HUNTER2\n", ":1:"),
        ("a: HUNTER2\na: HUNTER3\n", ":2:1"),
        ("a: !!python/object:HUNTER2 {}\n", ":1:"),
        ("- HUNTER2\n", "mapping"),
        ("HUNTER2", "mapping"),
        ("a: [HUNTER2]\n", "file a"),
        ("a: {b: {c: HUNTER2}}\n", "file a"),
        ("a: 12345\n", "file a"),
        ("a: 2026-99-99 HUNTER2: x\n", ":1:"),
        ("a: 2026-99-99\n", "not valid YAML"),
        ("a: HUNTER2\x01\n", "not valid YAML"),
        ("? [a]\n: HUNTER2\n", ""),
    ],
)
def test_invalid_text_is_located_but_never_quoted(text, place):
    with pytest.raises(InputError) as caught:
        value.load(text, "file")
    shown = "".join(traceback.format_exception(caught.value, chain=True))
    assert place in str(caught.value)
    assert "HUNTER" not in shown + repr(caught.value.__context__)


def test_what_is_dumped_is_loaded_again():
    values = {
        "pem": SecretValue("-----BEGIN\nabc\n-----END\n"),
        "odd": SecretValue("- a: b # c 'd\" \u00e4 \\n"),
        "number": SecretValue("0123"),
        "yes": SecretValue("yes"),
        "long": SecretValue("x y " * 2000),
        "spaces": SecretValue("  indented\n  lines \n\n"),
        "map": {"0": SecretValue("a="), "1": SecretValue("null")},
    }
    assert value.load(value.dump(values), "file") == values
    assert "pem: |\n  -----BEGIN\n" in value.dump(values)


def editor(tmp_path, monkeypatch, *scripts):
    """An $EDITOR that runs one Python script after the other; ``path`` is the file it was given."""
    for number, script in enumerate(scripts, 1):
        (tmp_path / f"step{number}.py").write_text(
            f"import os, pathlib, signal, sys\npath = pathlib.Path(sys.argv[1])\n{script}\n"
        )
    program = tmp_path / "editor.sh"
    program.write_text(
        f"#!/bin/sh\ncd {tmp_path}\nn=$(($(cat count 2>/dev/null || echo 0) + 1)); echo $n > count\n"
        f'exec {sys.executable} step$n.py "$1"\n'
    )
    program.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(program))


def left(tmp_path):
    return list((tmp_path / "run").iterdir())


def test_edit_saves_and_leaves_nothing(vault, folder, tmp_path, monkeypatch):
    editor(
        tmp_path,
        monkeypatch,
        f"open({str(tmp_path / 'seen')!r}, 'w').write(f'{{path.parent}} {{path.stat().st_mode & 0o777:o}} "
        "{path.parent.stat().st_mode & 0o777:o}')\n"
        "(path.parent / '.secrets.yml.swp').write_text('a backup')\n"
        "path.write_text(path.read_text() + 'mine: by hand\\n')",
    )
    assert edit.edit(vault.file, lambda error: False, {})
    assert Vault.open(folder).get("mine") == "by hand"
    assert Vault.open(folder).get("ca-key") == vault.get("ca-key")
    place, file_mode, folder_mode = (tmp_path / "seen").read_text().split()
    assert Path(place).parent == tmp_path / "run"
    assert (file_mode, folder_mode) == ("600", "700")
    assert left(tmp_path) == []


def test_edit_without_a_change_writes_nothing(vault, folder, tmp_path, monkeypatch):
    before = (folder / "secrets.yml").read_bytes()
    editor(tmp_path, monkeypatch, "")
    assert not edit.edit(vault.file, lambda error: False, {})
    assert (folder / "secrets.yml").read_bytes() == before


def test_edit_of_invalid_text_asks_and_keeps_what_was_typed(vault, folder, tmp_path, monkeypatch):
    editor(
        tmp_path,
        monkeypatch,
        "path.write_text('typed: [by hand\\n')",
        "path.write_text(path.read_text().replace('[', ''))",
    )
    asked = []
    assert edit.edit(vault.file, lambda error: asked.append(str(error)) or True, {})
    assert "secrets.yml:2:1" in asked[0]
    assert Vault.open(folder).names == ["typed"]


@pytest.mark.parametrize("script", ["path.write_text('a: [')", "sys.exit(1)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_edit_that_fails_changes_and_leaves_nothing(vault, folder, tmp_path, monkeypatch, script):
    before = (folder / "secrets.yml").read_bytes()
    editor(tmp_path, monkeypatch, script)
    with pytest.raises(DeployError):
        edit.edit(vault.file, lambda error: False, {})
    assert (folder / "secrets.yml").read_bytes() == before
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Interrupted), (signal.SIGHUP, Interrupted)],
)
def test_edit_interrupted_leaves_nothing(vault, tmp_path, monkeypatch, number, error):
    editor(tmp_path, monkeypatch, f"os.kill({os.getpid()}, {int(number)}); import time; time.sleep(5)")
    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(error):
        edit.edit(vault.file, lambda invalid: False, {})
    assert left(tmp_path) == []


def test_edit_does_not_overwrite_a_change_of_somebody_else(vault, folder, tmp_path, monkeypatch):
    editor(tmp_path, monkeypatch, "path.write_text('only: mine\\n')")
    monkeypatch.setattr(edit, "_run_editor", lambda clear, run=edit._run_editor: (run(clear), vault.complete(WANTED)))
    with pytest.raises(DeployError, match="somebody else"):
        edit.edit(vault.file, lambda error: False, {})
    assert "db-password" in Vault.open(folder).names


def test_the_leftover_of_a_killed_edit_is_swept(tmp_path):
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    stale = tmp_path / "run" / f"scs-deploy-edit-{os.getuid()}-{gone.pid}-abc"
    alive = tmp_path / "run" / f"scs-deploy-edit-{os.getuid()}-{os.getpid()}-abc"
    stale.mkdir()
    alive.mkdir()
    with edit.private_folder():
        assert not stale.exists()
        assert alive.exists()


def test_missing_editor_is_told(vault, monkeypatch):
    monkeypatch.setenv("EDITOR", "no-such-editor-at-all")
    with pytest.raises(DeployError, match="set EDITOR"):
        edit.edit(vault.file, lambda error: False, {})
