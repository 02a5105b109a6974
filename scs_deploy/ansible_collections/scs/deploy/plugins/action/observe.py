"""Action plugin of ``scs.deploy.observe``: payload from the private folder, answer back into it, counts to Ansible."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.scs.deploy.plugins.plugin_utils.exchange import NO_PAYLOAD, exchange


class ActionModule(ActionBase):
    """Looks at one node."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        answer = exchange(self, "scs.deploy.observe", task_vars or {})
        if answer is None:
            return dict(NO_PAYLOAD)
        unexpected = sum(len(found) for found in answer["unexpected"].values())
        files = sum(len(found["files"]) for found in answer["instances"].values())
        return {
            "changed": False,
            "instances": len(answer["instances"]),
            "files_differ": files,
            "unexpected": unexpected,
        }
