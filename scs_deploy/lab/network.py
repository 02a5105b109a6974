"""The networks of a lab on this machine: where the bridges live, who is connected, how nodes get out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scs_deploy.lab import host, wiring
from scs_deploy.lab.identity import RUN_ROOT, LabNames
from scs_deploy.lab.spec import LabSpec, NodeSpec


@dataclass(frozen=True, slots=True)
class LabNetwork:
    """Bridges, cables, namespaces, masquerading; each method finds out what there is."""

    names: LabNames
    spec: LabSpec

    @property
    def namespace(self) -> Path | None:
        """The network namespace that holds the bridges; None when they are this machine's own."""
        path = self.names.lab_namespace
        return path if host.is_namespace(path) else None

    def up(self, private: bool, progress: Callable[[str], None]) -> None:
        namespace = self._place(private, progress)
        for node in self.spec.nodes:
            if host.add_namespace(self.names.namespace(node.name)):
                # Cables that are there lead to a namespace that was lost.
                host.delete_links(self._cables(node.name), namespace)
        host.ip_commands(wiring.bridge_commands(self.names, self.spec, host.links(namespace)), namespace)
        host.ip_commands(wiring.cable_commands(self.names, self.spec, host.links(namespace)), namespace)
        for node in self.spec.nodes:
            self._addresses(node)
        sources = [network for spec in self.spec.networks for network in spec.networks]
        if namespace:
            self._uplink(namespace)
            host.run([*host.within(namespace), "nft", "-f", "-"], stdin=wiring.firewall(self.names, sources))
            host.set_forwarding("1", namespace)
            sources = [wiring.uplink_addresses(self.names)[0].network]
        host.run(["nft", "-f", "-"], stdin=wiring.firewall(self.names, sources))
        self._allow_forwarding()

    def down(self) -> None:
        self._remove_links()
        for path in self.namespaces():
            host.remove_namespace(path)
        if self.names.run.is_dir():
            self.names.run.rmdir()
        if self.names.table in host.tables():
            host.run(["nft", "delete", "table", host.TABLES_FAMILY, self.names.table])
        self._restore_forwarding()

    def leftovers(self) -> list[str]:
        return [
            *(f"link {name}" for name in host.links() if name.startswith(self.names.prefix)),
            *(f"namespace {path}" for path in self.namespaces()),
            *(f"nftables table {name}" for name in host.tables() if name == self.names.table),
        ]

    def namespaces(self) -> list[Path]:
        return sorted(self.names.run.iterdir()) if self.names.run.is_dir() else []

    def wired(self, node: str) -> bool:
        """Whether the node hangs on every bridge."""
        here = host.links(self.namespace)
        for network in self.spec.networks:
            bridge = self.names.bridge(network.name)
            link = here.get(self.names.link(node, network.name))
            if bridge not in here or link is None or link.master != bridge or not link.up:
                return False
        return True

    def forget(self, node: str) -> None:
        """Remove the node's namespace; its cables first, since the kernel would remove them later, while we make new ones."""
        host.delete_links(self._cables(node), self.namespace)
        host.remove_namespace(self.names.namespace(node))

    def plug(self, node: str, network: str, *, connected: bool) -> None:
        """Pull or put back the cable of a node's NIC."""
        state = "up" if connected else "down"
        host.ip_commands([("link", "set", self.names.link(node, network), state)], self.namespace)
        if connected:
            self._addresses(self.spec.node(node))

    def _place(self, private: bool, progress: Callable[[str], None]) -> Path | None:
        if self.namespace:
            return self.namespace
        here = host.links()
        if any(self.names.bridge(network.name) in here for network in self.spec.networks) and not private:
            return None
        taken = wiring.clashes(self.spec, host.subnets(), self.names)
        if not taken and not private:
            return None
        for reason in taken:
            progress(f"taken on this machine: {reason}")
        self._remove_links()
        host.add_namespace(self.names.lab_namespace)
        progress("the lab's networks live in a namespace of their own; reach them with: scs-deploy lab exec -- COMMAND")
        return self.names.lab_namespace

    def _cables(self, node: str) -> list[str]:
        return [self.names.link(node, network.name) for network in self.spec.networks]

    def _uplink(self, namespace: Path) -> None:
        outside, inside = wiring.uplink_addresses(self.names)
        if self.names.uplink not in host.links():
            host.ip_commands(wiring.uplink_commands(self.names, namespace, outside))
        host.ip_commands(wiring.uplink_inside(outside, inside), namespace)

    def _addresses(self, node: NodeSpec) -> None:
        inside = host.within(self.names.namespace(node.name))
        batch = wiring.node_network(self.spec, node)
        host.run([*inside, "ip", "-force", "-batch", "-"], stdin=batch, check=False)

    def _remove_links(self) -> None:
        host.delete_links(name for name in host.links() if name.startswith(self.names.prefix))

    def _allow_forwarding(self) -> None:
        if host.FORWARDING.read_text().strip() == "0":
            (RUN_ROOT / "ip_forward").write_text("0")
            host.set_forwarding("1")

    def _restore_forwarding(self) -> None:
        """Forwarding goes back to what it was when the last lab of this machine ends."""
        record = RUN_ROOT / "ip_forward"
        if not RUN_ROOT.is_dir() or any(path != record for path in RUN_ROOT.iterdir()):
            return
        if record.exists():
            host.set_forwarding("0")
            record.unlink()
        RUN_ROOT.rmdir()
