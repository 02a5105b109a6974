"""Action plugin in front of the module ``scs.node.converge``: payload from the private folder, answer back into it, counts to Ansible."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils.exchange import NO_PAYLOAD, exchange


class ActionModule(ActionBase):
    """Carries out one wave on one node; failed as soon as one step is not ok, so that a play is never green after a failure."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        answer = exchange(self, "scs.node.converge", task_vars or {})
        if answer is None:
            return dict(NO_PAYLOAD)
        if answer["lock"]:
            return {"failed": True, "changed": False, "msg": f"the node is locked by {answer['lock']['holder']}"}
        counts = dict(Counter(result["status"] for result in answer["results"]))
        bad = [result for result in answer["results"] if result["status"] != "ok"]
        summary: dict[str, Any] = {"changed": any(result["done"] for result in answer["results"]), "steps": counts}
        if bad:
            summary |= {
                "failed": True,
                "msg": "; ".join(f"{result['id']}: {result['error']['what']}" for result in bad),
            }
        return summary
