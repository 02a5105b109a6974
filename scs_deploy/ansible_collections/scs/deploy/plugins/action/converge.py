"""Action plugin in front of the module ``scs.node.converge``: payload from the private folder, answer back into it, counts to Ansible."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ansible.plugins.action import ActionBase

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Outcome

from ..plugin_utils.exchange import NO_PAYLOAD, exchange


class ActionModule(ActionBase):
    """Carries out one wave on one node; failed as soon as one step is not ok, so that a play is never green after a failure."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        answer = exchange(self, "scs.node.converge", task_vars or {})
        if answer is None:
            return dict(NO_PAYLOAD)
        outcome = wire.decode(Outcome, answer)
        if outcome.lock:
            return {"failed": True, "changed": False, "msg": f"the node is locked by {outcome.lock.holder}"}
        counts = dict(Counter(result.status for result in outcome.results))
        bad = [
            f"{one.id}: {one.error.what if one.error else one.status}" for one in outcome.results if one.status != "ok"
        ]
        summary: dict[str, Any] = {"changed": any(result.done for result in outcome.results), "steps": counts}
        if bad:
            summary |= {"failed": True, "msg": "; ".join(bad)}
        return summary
