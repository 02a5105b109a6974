"""Container images from Debian packages: recipes, builds, and the lock that says what a region runs."""

from scs_deploy.images.lock import ImagesLock, LockedImage, read_lock, write_lock

__all__ = ["ImagesLock", "LockedImage", "read_lock", "write_lock"]
