#!/usr/bin/python
"""Ansible module: carry out the steps of one wave on a node; the work is in module_utils/converge.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: converge
short_description: Carry out the steps of one wave on a node
description:
  - Writes files, restarts, runs jobs and changes resources as the payload says, and nothing else.
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
- name: Carry out the steps of one wave on a node
  scs.node.converge:
"""

RETURN = r"""
result:
  description: Base64 of gzip of JSON.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

from ..module_utils import wire  # noqa: E402
from ..module_utils.converge import converge  # noqa: E402
from ..module_utils.node import LocalNode  # noqa: E402
from ..module_utils.work import Work  # noqa: E402


def main() -> None:
    module = AnsibleModule(
        argument_spec={"payload": {"type": "str", "required": True, "no_log": True}}, supports_check_mode=False
    )
    try:
        work = wire.decode(Work, module.params["payload"])
    except wire.WireError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, result=wire.encode(converge(work, LocalNode.local(work.engine))))


if __name__ == "__main__":
    main()
