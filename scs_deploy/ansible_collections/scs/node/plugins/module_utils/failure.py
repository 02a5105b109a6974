"""What a step can fail with: data for the controller, in the words of a person."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from .work import Failure


class StepError(Exception):
    """A step failed on this node: what, why, what to do and the last log lines."""

    def __init__(self, what: str, *, why: str = "", fix: str = "", log: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.what, self.why, self.fix, self.log = what, why, fix, list(log)

    def told(self) -> Failure:
        return Failure(self.what, self.why, self.fix, self.log)


_FIXES = {
    errno.ENOSPC: "free space on the file system that holds it, then apply again",
    errno.EDQUOT: "raise the quota of the file system that holds it, then apply again",
    errno.EROFS: "the file system is read-only: look at `dmesg` for disk errors, remount it read-write, then apply again",
    errno.EACCES: "the module must run as root: check `ssh.become` of the region file",
    errno.EPERM: "the module must run as root (or the file is immutable: `lsattr`)",
    errno.EISDIR: "a folder stands where a file is wanted: move it away, then apply again",
    errno.ENOTDIR: "a file stands where a folder is wanted: move it away, then apply again",
    errno.EIO: "the disk reports errors: look at `dmesg` and replace it",
}


def from_os_error(error: OSError) -> StepError:
    """Turn a failed system call into an error that names the path and the way out."""
    where = f" {error.filename}" if error.filename else ""
    fix = _FIXES.get(error.errno or 0, "look at the node, then apply again")
    return StepError(f"cannot write or read{where}", why=error.strerror or str(error), fix=fix)
