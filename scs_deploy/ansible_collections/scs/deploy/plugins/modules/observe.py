#!/usr/bin/python
"""Ansible module: tell how a node differs from what is expected of it; the work is in module_utils/observe.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: observe
short_description: Tell how a node differs from what is expected of it
description:
  - Compares digests, looks at units, containers, jobs and resources; changes nothing.
  - The wire format is described in docs/contracts.md of scs-deploy.
options:
  payload:
    description: Base64 of gzip of JSON; filled in by the action plugin of the same name.
    type: str
    required: true
author:
  - scs-deploy developers
"""

EXAMPLES = r"""
- name: Tell how a node differs from what is expected of it
  scs.deploy.observe:
"""

RETURN = r"""
result:
  description: Base64 of gzip of JSON.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.scs.deploy.plugins.module_utils import wire  # noqa: E402
from ansible_collections.scs.deploy.plugins.module_utils.node import Node  # noqa: E402
from ansible_collections.scs.deploy.plugins.module_utils.observe import observe  # noqa: E402


def main() -> None:
    module = AnsibleModule(
        argument_spec={"payload": {"type": "str", "required": True, "no_log": True}}, supports_check_mode=True
    )
    try:
        payload = wire.decode(module.params["payload"])
    except wire.WireError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, result=wire.encode(observe(payload, Node.local(payload["engine"]))))


if __name__ == "__main__":
    main()
