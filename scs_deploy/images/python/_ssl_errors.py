"""Part of ``ssl`` in our images: OpenSSL's queue of errors is empty before each call, as its manual demands.

Without it (python/cpython#148594, seen with Python 3.13 and OpenSSL 3.5) the reset of one connection stays in the queue of its thread,
and the next read of another one that has to wait fails with it: the message queue closes an idle connection, and a query dies.
"""

import ctypes
import functools
import ssl
from collections.abc import Callable
from typing import Any

_clear = ctypes.PyDLL("libcrypto.so.3").ERR_clear_error
_clear.argtypes, _clear.restype = (), None


def _with_empty_queue(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        _clear()
        return method(*arguments, **named)

    return call


for _kind in (ssl.SSLSocket, ssl.SSLObject):
    for _name in ("do_handshake", "read", "send", "unwrap", "write"):
        if _name in vars(_kind):
            setattr(_kind, _name, _with_empty_queue(vars(_kind)[_name]))
