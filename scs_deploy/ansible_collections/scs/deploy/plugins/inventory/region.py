"""region.yml as an Ansible inventory: its nodes, groups and racks, with the connection data that scs-deploy itself uses."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin

from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.errors import DeployError
from scs_deploy.machine import paths
from scs_deploy.nodes.fleet import Fleet
from scs_deploy.operations.converge import region_folder
from scs_deploy.operations.reach import standing_lab
from scs_deploy.region.load import load_region

DOCUMENTATION = r"""
name: region
short_description: Nodes of an scs-deploy region
description:
  - Reads a file named region.yml; every node that is not absent becomes a host, every group and rack a group.
options:
  plugin:
    description: Not needed; the name of the file decides.
    required: false
"""


class InventoryModule(BaseInventoryPlugin):
    NAME = "scs.deploy.region"

    def verify_file(self, path: str) -> bool:
        return super().verify_file(path) and path.endswith("region.yml")

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        try:
            folder = region_folder(path)
            region = load_region(folder, load_catalogue(paths.roles_search()))
            lab, fleet = standing_lab(region), Fleet.of(region.nodes, folder)
            if lab:
                lab.enter()  # for as long as this process lives: Ansible connects later
                fleet = lab.fleet(fleet)
        except DeployError as error:
            raise AnsibleParserError(str(error)) from error
        for node in (one for one in fleet.nodes.values() if one.state != "absent"):
            inventory.add_host(node.name)
            for key, value in fleet.connections[node.name].ansible_vars().items():
                inventory.set_variable(node.name, key, value)
            for group in (*node.groups, f"rack_{node.rack}"):
                name = inventory.add_group(group.replace("-", "_"))
                inventory.add_child(name, node.name)
