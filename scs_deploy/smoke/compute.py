"""Servers: from an image, their console and metadata, a second one beside, a snapshot, another size."""

from __future__ import annotations

import hashlib
from typing import Any

from scs_deploy.errors import DeployError
from scs_deploy.smoke.bench import Bench, SmokeServer
from scs_deploy.smoke.network import page_of
from scs_deploy.smoke.steps import SmokeStep
from scs_deploy.smoke.tenant import make_flavors

BOOT_SECONDS = 240
"""From the request to a server that runs; a guest without hardware virtualization takes 5 to 20 s more."""

NO_ROOM = (
    "see scs-deploy logs of the scheduler and of the hypervisor's agent; scs-deploy status tells what is unhealthy"
)


def image(bench: Bench) -> str:
    path = bench.guest()
    data = path.read_bytes()
    api = bench.api.image
    body = {"name": bench.name("guest"), "disk_format": "raw", "container_format": "bare", "visibility": "private"}
    made = api.post("/images", json={**body, "hw_rng_model": "virtio", "min_disk": 1}).json()
    bench.made["image"] = made["id"]
    headers = {"Content-Type": "application/octet-stream"}
    answer = api.put(f"/images/{made['id']}/file", data=data, headers=headers)
    answer.raise_for_status()
    found = bench.until("the image", lambda: api.get_image(made["id"]), "active", 60)
    kind = found.hash_algo or "sha512"
    if found.hash_value and hashlib.new(kind, data).hexdigest() != found.hash_value:
        raise DeployError("the image service holds other data than was sent", where=made["id"])
    return f"{len(data) >> 20} MiB, {kind} verified"


def key(bench: Bench) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    made = bench.api.compute.create_keypair(name=bench.name("key"), public_key=public)
    bench.made["key"] = made.name
    return str(made.fingerprint)


def server(bench: Bench) -> str:
    bench.made["flavors"] = make_flavors(bench.admin, bench.tenant)
    made = boot(bench, "server", image_id=bench.made["image"])
    return f"{made.name}, {made.fixed}"


def console(bench: Bench) -> str:
    found = bench.seen(
        bench.server(), r"^GUEST-READY up=([\d.]+)", 180, "the guest's word on its console that it is ready", NO_ROOM
    )
    return f"ready {found[1]} s after its start"


def metadata(bench: Bench) -> str:
    made = bench.server()
    fix = "see scs-deploy logs of the metadata agent on the node of the server, and of the metadata API"
    found = bench.seen(made, r"^GUEST-METADATA uuid=(\S*) hostname=(\S*)", 90, "metadata in the guest", fix)
    if found[1] != made.id:
        raise DeployError(
            "the guest got another server's metadata", where=made.name, why=f"{found[1]} instead of {made.id}"
        )
    return f"hostname {found[2]}"


def neighbour(bench: Bench) -> str:
    """A second server, from a volume where there are any; it asks the first one for its page, over the project's network."""
    peer = bench.server()
    source = {
        "uuid": bench.made["image"],
        "source_type": "image",
        "destination_type": "volume",
        "volume_size": 1,
        "boot_index": 0,
        "delete_on_termination": True,
    }
    volumes = bool(bench.cloud.endpoint("block-storage"))
    root: dict[str, Any] = {"block_device_mapping": [source]} if volumes else {"image_id": bench.made["image"]}
    made = boot(bench, "neighbour", metadata={"peer": peer.fixed}, **root)
    bench.seen(made, r"^GUEST-READY", 180, "the second guest's word on its console", NO_ROOM)
    return f"{made.name}, {made.fixed}"


def from_volume(bench: Bench) -> str:
    made = bench.server("neighbour")
    found = [one.volume_id for one in bench.api.compute.volume_attachments(made.id)]
    if not found:
        raise DeployError("the server has no volume", where=made.name, why="it was asked to boot from one")
    volume = bench.api.block_storage.get_volume(found[0])
    return f"{volume.size} GiB, type {volume.volume_type}"


def east_west(bench: Bench) -> str:
    first, second = bench.server(), bench.server("neighbour")
    fix = "both are on one network: see scs-deploy logs of the network agent on their nodes"
    found = bench.seen(second, r"^GUEST-PEER \S+ says=(.*)$", 120, "the page of the first server in the second", fix)
    return f"{second.fixed} got from {first.fixed}: {found[1].strip()}"


def snapshot(bench: Bench) -> str:
    made = bench.server()
    answer = bench.api.compute.create_server_image(made.id, bench.name("snapshot"))
    found = bench.until("the snapshot", lambda: bench.api.image.get_image(answer.id), "active", 180)
    active(bench, made)
    page_of(bench, made.floating, made, "guest ", 90)
    return f"{(found.size or 0) >> 20} MiB, the server answers on"


def resize(bench: Bench) -> str:
    made, compute = bench.server(), bench.api.compute
    compute.resize_server(made.id, bench.made["flavors"]["large"])
    bench.until("the resized server", lambda: _resized(bench, made), "verify_resize", BOOT_SECONDS, NO_ROOM)
    compute.confirm_server_resize(made.id)
    found = active(bench, made)
    page_of(bench, made.floating, made, "guest ", 180)
    ram = found.flavor.get("ram") if isinstance(found.flavor, dict) else getattr(found.flavor, "ram", "")
    return f"{ram} MiB, and it answers"


def _resized(bench: Bench, made: SmokeServer) -> Any:
    """A resize that found no host leaves the server as it was; only the list of its actions tells."""
    found = bench.api.compute.get_server(made.id)
    if found.status == "ACTIVE" and not found.task_state:
        action = next((one for one in bench.api.compute.server_actions(made.id) if one.action == "resize"), None)
        if action and action.message:
            fix = "see scs-deploy logs of the scheduler; one host alone must allow a resize to itself"
            raise DeployError("the server was not resized", where=made.name, why=str(action.message), fix=fix)
    return found


def boot(bench: Bench, which: str, **how: Any) -> SmokeServer:
    """Make a server on the project's network and wait until it runs."""
    compute = bench.api.compute
    name = bench.name(which)
    made = compute.create_server(
        name=name,
        flavor_id=bench.made["flavors"]["small"],
        networks=[{"uuid": bench.made["network"]}],
        key_name=bench.made["key"],
        security_groups=[{"name": bench.name("group")}],
        **how,
    )
    bench.made[which] = SmokeServer(made.id, name, "", "")
    active(bench, bench.made[which])
    port = next(iter(bench.api.network.ports(device_id=made.id)))
    bench.made[which] = SmokeServer(made.id, name, port.id, port.fixed_ips[0]["ip_address"])
    return bench.server(which)


def active(bench: Bench, made: SmokeServer) -> Any:
    return bench.until(
        f"server {made.name}", lambda: bench.api.compute.get_server(made.id), "active", BOOT_SECONDS, NO_ROOM
    )


STEPS = (
    SmokeStep("image", "upload of a private image", image, ("login",), ("image",)),
    SmokeStep("key", "SSH key", key, ("login",), ("compute",)),
    SmokeStep(
        "server",
        "server from an image",
        server,
        ("image", "key", "network", "security-group"),
        ("compute", "network", "image"),
    ),
    SmokeStep("console", "console log", console, ("server",)),
    SmokeStep("metadata", "metadata", metadata, ("console",)),
)
SECOND = (
    SmokeStep("second-server", "second server", neighbour, ("server", "console"), ("compute",)),
    SmokeStep("volume-server", "server from a volume", from_volume, ("second-server",), ("block-storage",)),
    SmokeStep("east-west", "from server to server", east_west, ("second-server",)),
)
LATER = (
    SmokeStep("snapshot", "snapshot of a server", snapshot, ("tcp",), ("image",)),
    SmokeStep("resize", "resize of a server", resize, ("tcp",)),
)
