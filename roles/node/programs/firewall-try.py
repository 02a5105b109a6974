#!/usr/bin/python3
"""Written by scs-deploy: tries the firewall file named as argument, before it replaces the one that there is.

It is loaded in a network namespace of its own, joined to a second one like this node to whoever runs this over SSH: a new
connection to the SSH port must get through from there.
"""

import ipaddress
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr.strip() or f"{argv[0]}: exit code {done.returncode}")
    return done.stdout


def connection() -> tuple[Address, Address, int] | None:
    """Address of the client, address and port of this node, as sshd told a process that this one descends from."""
    pid = os.getpid()
    while pid > 1:
        process = Path(f"/proc/{pid}")
        found = re.search(rb"(?:^|\0)SSH_CONNECTION=(\S+) \d+ (\S+) (\d+)", (process / "environ").read_bytes())
        if found:
            client, server, port = (part.decode() for part in found.groups())
            return (
                ipaddress.ip_address(client.partition("%")[0]),
                ipaddress.ip_address(server.partition("%")[0]),
                int(port),
            )
        (pid,) = map(int, re.findall(r"^PPid:\s+(\d+)", (process / "status").read_text(), re.MULTILINE))
    return None


def holder(address: Address) -> str:
    """The interface that has an address."""
    found = re.search(r"^\d+: (\S+)", run("ip", "-o", "address", "show", "to", str(address)))
    return found[1] if found else ""


def leave() -> None:
    """Into a network namespace of its own: nodes have the Python that can."""
    os.unshare(os.CLONE_NEWNET)  # type: ignore[attr-defined, unused-ignore]


def client_side(client: Address, server: Address, port: int, ready: int, go: int) -> int:
    """In a namespace of its own: tell that it is there, wait for the cable, try to connect; the exit code says whether it works."""
    leave()
    os.write(ready, b".")
    if not os.read(go, 1):
        return 2
    run("ip", "address", "add", str(client), "dev", "cable", *no_delay(client))
    run("ip", "link", "set", "cable", "up")
    run("ip", "route", "add", str(server), "dev", "cable")
    try:
        socket.create_connection((str(server), port), timeout=3).close()
    except OSError:
        return 1
    return 0


def no_delay(address: Address) -> tuple[str, ...]:
    return ("nodad",) if address.version == 6 else ()


def lets_in(file: Path, client: Address, server: Address, port: int, device: str) -> bool:
    named = [name for _, name in socket.if_nameindex() if name not in ("lo", device) and name in file.read_text()]
    is_there, ready = os.pipe()
    wait, go = os.pipe()
    other = os.fork()
    if not other:
        code = 2
        try:
            os.close(go)
            code = client_side(client, server, port, ready, wait)
        finally:
            os._exit(code)
    os.close(ready)
    os.read(is_there, 1)
    leave()
    try:
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", device, "type", "veth", "peer", "name", "cable", "netns", str(other))
        for number, name in enumerate(named):  # rules may name them
            run("ip", "link", "add", name, "type", "veth", "peer", "name", f"other{number}", "netns", str(other))
        run("ip", "address", "add", str(server), "dev", device, *no_delay(server))
        run("ip", "link", "set", device, "up")
        run("ip", "route", "add", str(client), "dev", device)
        run("nft", "--file", str(file))
        with socket.create_server(
            (str(server), port), family=socket.AF_INET if server.version == 4 else socket.AF_INET6
        ):
            os.write(go, b".")
            return os.waitpid(other, 0)[1] == 0
    except BaseException:
        os.kill(other, signal.SIGKILL)
        raise


def main() -> None:
    signal.alarm(30)  # whatever hangs: the file is refused
    file = Path(sys.argv[1])
    run("nft", "--check", "--file", str(file))
    text = file.read_text(encoding="utf-8")
    for device in re.findall(
        r"^default .*dev (\S+) proto ra", run("ip", "-6", "route", "show", "default"), re.MULTILINE
    ):
        if f'iifname "{device}" icmpv6 type nd-router-advert accept' not in text:
            sys.exit(
                f"this node has its IPv6 default route by router advertisements on {device}, and with these rules would lose it when "
                f"that expires: name {device} in services.node.settings.router_advertisements, or give it a route that stays"
            )
    here = connection()
    if here is None:
        return
    client, server, port = here
    device = holder(server)
    if device in ("", "lo") or client.is_link_local:
        return
    networks = [ipaddress.ip_network(one) for one in re.findall(r"saddr (\S+) fib saddr", text)]
    back = re.search(r" dev (\S+)", run("ip", "route", "get", str(client)))
    if any(client in one for one in networks) and back and back[1] != device:
        sys.exit(
            f"{client}, which reached this node on {device} just now, is of a network that the node reaches on {back[1]}: with these rules "
            "its packets count there alone. Reach the node from a network that it has no interface in, or on its address of that network"
        )
    if not lets_in(file, client, server, port, device):
        sys.exit(
            f"with these rules nobody could open an SSH connection from {client} to {server} port {port}, "
            "which is how this node was reached just now: see services.node.settings.ssh_sources and firewall_rules"
        )


if __name__ == "__main__":
    main()
