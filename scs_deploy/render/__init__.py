"""The pure function from region, placement and facts to ``Desired``: every file, container, job and resource in full."""

from scs_deploy.render.demands import unfit
from scs_deploy.render.renderer import Renderer
from scs_deploy.render.scope import SECRET_MAPPINGS, Given, ImageChoice

__all__ = ["SECRET_MAPPINGS", "Given", "ImageChoice", "Renderer", "unfit"]
