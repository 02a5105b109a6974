"""The kinds of objects that a cloud holds, in the order in which they are made."""

from scs_deploy.cloud.kinds.compute import ComputeQuotas, Flavors
from scs_deploy.cloud.kinds.identity import ImpliedRoles, Roles
from scs_deploy.cloud.kinds.image import Images
from scs_deploy.cloud.kinds.network import ExternalNetworks, ExternalSubnets, SecurityRules, SubnetPools
from scs_deploy.cloud.kinds.volume import VolumeQuotas, VolumeTypes
from scs_deploy.cloud.plan import ContentKind

__all__ = ["all_kinds"]


def all_kinds() -> tuple[ContentKind, ...]:
    return (
        *(Roles(), ImpliedRoles(), Flavors(), ComputeQuotas(), VolumeTypes(), VolumeQuotas()),
        *(SecurityRules(), ExternalNetworks(), ExternalSubnets(), SubnetPools(), Images()),
    )
