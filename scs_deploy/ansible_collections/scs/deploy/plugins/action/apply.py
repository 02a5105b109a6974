"""Plans and applies a region in-process, wave by wave: the whole of scs-deploy apply as one Ansible task."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from scs_deploy.errors import DeployError
from scs_deploy.operations.converge import converge, region_folder


class ActionModule(ActionBase):
    """Arguments: region (folder; default: the inventory's), limit, services. Check mode only plans."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset({"region", "limit", "services"})

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        super().run(tmp, variables)
        given = self._task.args
        region = given.get("region") or _inventory(variables)
        try:
            outcome = converge(
                str(region), given.get("limit") or (), given.get("services") or (), check=bool(self._task.check_mode)
            )
        except DeployError as error:
            raise AnsibleActionFail(str(error)) from error
        result = outcome.as_json()
        if outcome.failed:
            result["msg"] = f"{result['summary']} See failures and unknown."
        return result


def _inventory(variables: dict[str, Any]) -> str:
    """The region folder behind the first inventory source that is a region.yml."""
    sources = [str(source) for source in variables.get("ansible_inventory_sources", ())]
    for source in sources:
        if source.endswith("region.yml"):
            return str(region_folder(source))
    raise AnsibleActionFail(
        f"no inventory source is a region.yml ({', '.join(sources) or 'none'}): give -i FOLDER/region.yml, or region:"
    )
