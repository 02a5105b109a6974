"""What is on a node and nothing declares: instances that left, stray containers, files below the managed folder."""

from __future__ import annotations

from collections.abc import Iterator

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Managed
from scs_deploy.catalogue import names
from scs_deploy.catalogue.ids import Id
from scs_deploy.plan.inputs import Inputs
from scs_deploy.plan.plan import Change, Step

_WHY = {
    "instance": "the region does not place it here any more",
    "container": "a container with our label that nothing declares",
    "files": "files below the managed folder that nothing declares",
}


def last_level(inputs: Inputs) -> int:
    """The level after everything that is wanted."""
    return max(inputs.order.level.values(), default=0) + 1


def removals(node: str, inputs: Inputs) -> Iterator[Step]:
    """Yield one step per name; containers go before what the node itself runs (the engine may be part of that)."""
    unexpected = inputs.observed[node].unexpected
    gone = unexpected.instances
    wanted = {instance.name for instance in inputs.sealed.desired.on(node)}
    strays = set(unexpected.containers) - wanted
    folders: dict[str, list[str]] = {}
    for path in unexpected.files:
        folders.setdefault(path.removeprefix(f"{names.CONFIG_ROOT}/").partition("/")[0], []).append(path)
    last = last_level(inputs)
    for name in sorted({*gone, *strays, *folders} - wanted):
        entry = gone.get(name) or _guessed(name, name in strays)
        delete = sorted({*entry.files, *folders.get(name, ())})
        why = _WHY["instance" if name in gone else "container" if name in strays else "files"]
        if entry.data:
            why += "; its data is deleted too" if inputs.purge else "; its data is kept"
        yield Step(
            id=Id(node, name),
            kind="instance",
            node=node,
            subject=name,
            service="",
            action="remove",
            level=last + (entry.kind == "host"),
            reasons=(why,),
            changes=tuple(Change(path, _how(path)) for path in delete),
            pause="it stops for good" if name in gone or name in strays else "",
            delete=tuple(delete),
            identity=str(inputs.purge),
            removed=entry,
        )


def _guessed(name: str, container: bool) -> Managed:
    """What the node's record of an instance would say, had it one."""
    if not container:
        return Managed()
    units = [f"{names.QUADLET_ROOT}/{name}.container", f"{names.UNIT_ROOT}/{name}.service"]
    return Managed(names.unit_name(name), "container", units)


def _how(path: str) -> str:
    """Files of the node itself, such as /etc/hosts, are given back; converge keeps what it found when it first wrote there."""
    return "deleted" if path.startswith(f"{names.CONFIG_ROOT}/") else "deleted, or as it was before scs-deploy"
