"""Writes ``docs/region.md``: the reference of region.yml, made from the models so that it is never behind them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scs_deploy.documents.fields import RENAMED
from scs_deploy.region.region import RegionSection

INTRO = """\
# region.yml

<!-- Made from the models: `python -m scs_deploy.region.reference docs/region.md` -->

One file describes a region: `inventories/<region>/region.yml`. Beside it lie `secrets.yml` and the locks, all of them in git.
`scs-deploy validate` reports every mistake with file, line and column; `scs-deploy schema` gives a JSON Schema for editors,
which also knows the settings of every service: write it beside region.yml and put
`# yaml-language-server: $schema=region.schema.json` on the first line. A first file to copy is `inventories/box/region.yml`.

## Rules
- **YAML 1.2 as in editors**: `yes` and `12:30` are text, only `true` and `false` are truth values. Releases are quoted:
  `"2025.1"`. Anchors, aliases and `<<` work. A key given twice is an error.
- **Said once**: the keys marked *inherited* may stand at the region, at a rack and at a node. The node wins over its rack, the rack over the
  region. Mappings are merged key by key (so a node may change only `ssh.port`), lists are replaced as a whole.
- **Networks**: only `api` must be there. `public`, `tunnel`, `storage` and `migration` fall back to `api` when they are left
  out; `external` has no fallback. Nodes have addresses only on networks that are declared.
- **Failure domains**: rolling work touches one `failure_domain` at a time. A quorum that one rack, fire zone or power feed can take away is
  an error where the racks or feeds that exist would avoid it, else a warning.
- **Tunnel**: servers on project networks see the MTU of the tunnel network less 58 bytes (IPv4) or 78 bytes (IPv6).
- **State**: a node in `maintenance` is left alone and keeps its place in quorums; `absent` removes its services. Delete a node from the
  file only after that.

## Checked before anything is touched
Names, addresses, MAC addresses, serial numbers, disks and height units that are given twice; addresses outside their network, on its
network or broadcast address; addresses and VIPs inside an allocation range; networks that overlap; an MTU that
cannot carry the tunnel, or IPv6; a missing VIP; a node that listens on a network without an address there; groups that no node fills, and groups
of nodes that no service uses (a warning); even quorums and quorums that one failure takes away; services without those they need;
unknown services, settings and configuration files; unknown time zones, and line breaks or control characters in any value but an
override; copies beyond the failure domains; a public certificate that does not name the public
endpoint, is out of order or incomplete, too weak, or for another key than the vault has.

## Overrides of configuration files
Whatever has no setting is changed in the configuration file itself, by its path or by the name of its template:

```yaml
services:
  keystone:
    settings:
      token_minutes: 120
    config:
      /etc/keystone/keystone.conf:
        options:                      # INI
          token: {provider: fernet}
          DEFAULT: {debug: null}      # removed
          oslo_middleware: {allowed: [a, b]}   # the option is repeated
  neutron:
    config:
      /etc/neutron/policy.yaml:
        merge: {"create_network": "role:admin"}   # YAML and JSON
```

An option's value is what the service gets: `$`, `#`, quotes and blanks at its ends need no escaping, lines after the first are indented. What
the reader of a file cannot be given is refused with line and column: names that are more than names, control characters, variables of uWSGI
and Ceph. `append` and `replace` take the text itself, for any format; there `$state_path` of oslo.config keeps its meaning. An
override at a rack or node adds to that of the region.
"""


def region_reference() -> str:
    schema = RegionSection.model_json_schema()
    parts = [INTRO, "## Keys of the region\n", *_table(schema, schema)]
    for name, title in TITLES.items():
        section = schema["$defs"][name]
        parts += [f"## {title}\n", section["description"].strip() + "\n", *_table(schema, section)]
    parts.append("## Names of other tools and earlier formats\n")
    parts.append("They stop the program, which then names the key to use.\n")
    parts += ["| instead of | write |", "|---|---|", *(f"| `{old}` | `{new}` |" for old, new in RENAMED.items())]
    return "\n".join(parts) + "\n"


TITLES = {
    "Ssh": "ssh",
    "Proxy": "proxy",
    "Networks": "networks",
    "NetworkSection": "A network",
    "PublicTlsSection": "public_tls",
    "RackSection": "racks",
    "NodeSection": "nodes",
    "Nic": "nics",
    "Disk": "disks",
    "Hardware": "hardware",
    "ServiceSection": "services",
    "Override": "config",
}
_INHERITED = ("ssh", "dns", "ntp", "proxy", "mirror", "timezone", "engine", "nics", "disks", "hardware", "services")


def _table(schema: dict[str, Any], section: dict[str, Any]) -> Iterator[str]:
    fields = section["properties"]
    own = {name: field for name, field in fields.items() if "ssh" not in fields or name not in _INHERITED}
    inherited = {name: field for name, field in fields.items() if name not in own}
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in {**own, **(inherited if section is schema else {})}.items():
        needed = name in section.get("required", ())
        default = "**needed**" if needed else _default(field)
        about = field.get("description") or schema["$defs"].get(_name(field), {}).get("description", "")
        note = " *(inherited)*" if name in inherited else ""
        yield f"| `{name}` | {_type(schema, field)} | {default} | {_cell(about.partition(chr(10))[0])}{note} |"
    if inherited and section is not schema:
        yield f"| {', '.join(f'`{name}`' for name in inherited)} | | | *inherited*, as in the region |"
    yield ""


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    return "" if default in (None, "", [], {}) or isinstance(default, dict) else f"`{json.dumps(default)}`"


def _name(field: dict[str, Any]) -> str:
    return str(field.get("$ref", "")).rpartition("/")[2]


def _type(schema: dict[str, Any], field: dict[str, Any]) -> str:
    if name := _name(field).replace("ServiceTuning", "ServiceSection"):
        return f"[{TITLES[name]}](#{TITLES[name].lower().replace(' ', '-')})"
    options = [option for option in field.get("anyOf", field.get("oneOf", [])) if option.get("type") != "null"]
    if options and not all("format" in option and "type" not in option for option in options):
        hint = field.get("x-hint")
        return _cell(hint) if hint else " or ".join(dict.fromkeys(_type(schema, option) for option in options))
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "x-hint" in field:
        return _cell(field["x-hint"])
    if field.get("type") == "array":
        return f"list of: {_type(schema, field['items'])}" if "items" in field else "list"
    if field.get("type") == "object":
        inner = field.get("additionalProperties") or next(iter(field.get("patternProperties", {}).values()), None)
        return f"name: {_type(schema, inner)}" if isinstance(inner, dict) and inner else "mapping"
    return _scalar(field)


def _scalar(field: dict[str, Any]) -> str:
    low, high = field.get("minimum", field.get("exclusiveMinimum")), field.get("maximum")
    words = {"integer": "number", "number": "number", "boolean": "`true` or `false`", "string": "text"}
    word = {
        "ipv4": "IPv4 address",
        "ipv6": "IPv6 address",
        "ipv4network": "IPv4 network",
        "ipv6network": "IPv6 network",
    }.get(field.get("format", ""), words.get(str(field.get("type", "")), "any value"))
    if "anyOf" in field:
        word = "IP address"
    if low is not None and high is not None:
        return f"{word}, {low} to {high}"
    return f"{word} from {low}" if low is not None else word


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def write_reference(path: Path) -> None:
    path.write_text(region_reference(), encoding="utf-8")


if __name__ == "__main__":
    import sys

    write_reference(Path(sys.argv[1]))
