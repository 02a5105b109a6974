"""The lab: nodes of a region as privileged containers on this machine, reached exactly like servers."""

from scs_deploy.lab.identity import LabFiles
from scs_deploy.lab.lab import Lab, NodeStatus
from scs_deploy.lab.spec import DiskSpec, LabSpec, NetworkSpec, NodeSpec

__all__ = ["DiskSpec", "Lab", "LabFiles", "LabSpec", "NetworkSpec", "NodeSpec", "NodeStatus"]
