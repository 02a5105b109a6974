"""Checks of the node's network: declared NICs, addresses and MTU; the program verifies them and configures none."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import InterfaceFacts
from scs_deploy.errors import Finding
from scs_deploy.preflight.subject import Subject

_CONFIGURE = "configure it in the node's own network configuration"


def _nics(subject: Subject) -> Iterator[Finding]:
    there = {nic["name"]: nic for nic in subject.facts["interfaces"]}
    for name, wanted in subject.node.nics.items():
        found = there.get(name)
        if found is None:
            why = f"the node has: {', '.join(there)}"
            yield subject.finding(
                "error", f"network interface {name} is missing", why, "correct nics in region.yml, or the node"
            )
            continue
        if wanted.mac is not None and wanted.mac.lower() != found["mac"].lower():
            yield _disagrees(subject, f"nics.{name}.mac", wanted.mac, found["mac"])
        if wanted.mtu is not None and wanted.mtu != found["mtu"]:
            yield _disagrees(subject, f"nics.{name}.mtu", wanted.mtu, found["mtu"])
        if wanted.speed is not None and 0 < found["speed"] != wanted.speed:
            yield _disagrees(subject, f"nics.{name}.speed", f"{wanted.speed} Mbit/s", f"{found['speed']} Mbit/s")
        if wanted.members and found["kind"] != "bond":
            yield _disagrees(subject, f"nics.{name}.members", "a bond", found["kind"] or "a plain interface")
        for member in wanted.members:
            if member not in there:
                yield subject.finding(
                    "error", f"member {member} of bond {name} is missing", "no such interface", _CONFIGURE
                )


def _addresses(subject: Subject) -> Iterator[Finding]:
    for role, addresses in subject.node.addresses.items():
        network = subject.networks[role]
        for address in addresses:
            nic = _carrier(subject, str(address))
            if nic is None:
                why = f"region.yml says so for network {role}, but no interface of the node has it"
                yield subject.finding("error", f"address {address} is not configured", why, _CONFIGURE)
                continue
            cidr = network.cidr if address.version == 4 else network.cidr6
            prefix = next(int(one.split("/")[1]) for one in nic["addresses"] if _same(one, str(address)))
            if cidr is not None and prefix != cidr.prefixlen:
                why = f"network {role} is {cidr}, the node's {nic['name']} has {address}/{prefix}"
                yield subject.finding("warning", f"the prefix length of {address} is wrong", why, _CONFIGURE)


def _wires(subject: Subject) -> Iterator[Finding]:
    """The NIC and the VLAN of a network are those of the interface with the node's address; a bridge hides what it stands on."""
    for role, addresses in subject.node.addresses.items():
        wanted = subject.networks[role].vlan
        declared = [name for name, nic in subject.node.nics.items() if role in nic.networks]
        for nic in {nic["name"]: nic for address in addresses if (nic := _carrier(subject, str(address)))}.values():
            if nic["kind"] not in ("", "bond", "vlan"):
                if wanted is not None or declared:
                    why = f"its address is on {nic['name']}, which is of the kind {nic['kind']}"
                    fix = "see that it stands on the right interface"
                    yield subject.finding("info", f"NIC and VLAN of network {role} are not verified", why, fix)
                continue
            if wanted != nic["vlan"]:
                declared_vlan, real = (
                    f"VLAN {one}" if one is not None else "untagged" for one in (wanted, nic["vlan"])
                )
                yield _disagrees(subject, f"networks.{role}.vlan", declared_vlan, f"{real} on {nic['name']}")
            base = nic["parent"] or nic["name"]
            if declared and base not in declared:
                yield _disagrees(subject, f"the NIC of network {role}", " or ".join(declared), base)


def _mtu(subject: Subject) -> Iterator[Finding]:
    for role, addresses in subject.node.addresses.items():
        wanted = subject.networks[role].mtu
        for nic in {nic["name"]: nic for address in addresses if (nic := _carrier(subject, str(address)))}.values():
            if nic["mtu"] < wanted:
                why = f"network {role} has MTU {wanted}: larger packets are lost, and connections hang"
                fix = f"set the MTU of {nic['name']} and of its switch port, or the network's mtu in region.yml"
                yield subject.finding("error", f"the MTU of {nic['name']} is only {nic['mtu']}", why, fix)


def _carrier(subject: Subject, address: str) -> InterfaceFacts | None:
    for nic in subject.facts["interfaces"]:
        if any(_same(one, address) for one in nic["addresses"]):
            return nic
    return None


def _same(interface: str, address: str) -> bool:
    return ipaddress.ip_interface(interface).ip == ipaddress.ip_address(address)


def _disagrees(subject: Subject, what: str, declared: object, real: object) -> Finding:
    fix = "correct region.yml, or the node's network configuration"
    return subject.finding(
        "error", f"{what} disagrees with the machine", f"declared is {declared}, the node has {real}", fix
    )


def _resolvers(subject: Subject) -> Iterator[Finding]:
    if not subject.node.dns and not subject.facts["resolvers"]:
        why = "its resolv.conf names loopback addresses or none, which no other machine can ask; servers are told no resolver"
        fix = "give dns in region.yml, or resolvers where the servers' networks are configured"
        yield subject.finding("warning", "the node knows no resolver but itself", why, fix)


CHECKS = (_nics, _addresses, _wires, _mtu, _resolvers)
