"""Container images from Debian packages: recipes, builds, and the lock that says what a region runs."""

from scs_deploy.images.lock import ImagesLock, LockedImage, read_lock, write_lock
from scs_deploy.images.recipe import Recipe
from scs_deploy.images.schedule import Event, Options, Result, build, build_recipe

__all__ = [
    "Event",
    "ImagesLock",
    "LockedImage",
    "Options",
    "Recipe",
    "Result",
    "build",
    "build_recipe",
    "read_lock",
    "write_lock",
]
