"""The labels of an image that say what it is and what it was made from."""

from scs_deploy.catalogue.names import LABEL_PACKAGES

IMAGE = "scs-deploy.image"
RELEASE = "scs-deploy.release"
RECIPE = "scs-deploy.recipe-digest"
CREATED = "scs-deploy.created"
PACKAGES = LABEL_PACKAGES

__all__ = ["CREATED", "IMAGE", "PACKAGES", "RECIPE", "RELEASE"]
