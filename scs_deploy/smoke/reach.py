"""From this machine to a server: ping, TCP, HTTP.

The echo requests are our own, as not every controller has `ping`, and a process for each would hide gaps of tenths of a second.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import socket
import struct
import time

from scs_deploy.render.context import bracket

V4_REQUEST, V4_REPLY = 8, 0
V6_REQUEST, V6_REPLY = 128, 129


def ping(address: str, number: int = 1, timeout: float = 1.0) -> float | None:
    """Seconds until the answer; None without one. Raises ``PermissionError`` when this user may not ping."""
    v6 = ipaddress.ip_address(address).version == 6
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if v6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    request, reply = (V6_REQUEST, V6_REPLY) if v6 else (V4_REQUEST, V4_REPLY)
    mark = os.getpid() & 0xFFFF
    with _socket(family, protocol) as sock:
        packet = _packet(request, mark, number)
        began = time.monotonic()
        with contextlib.suppress(OSError):
            sock.sendto(packet, (address, 0))
            while (left := began + timeout - time.monotonic()) > 0:
                sock.settimeout(left)
                answer, sender = sock.recvfrom(2048)
                if not v6 and sock.type == socket.SOCK_RAW:
                    answer = answer[(answer[0] & 15) * 4 :]
                if sender[0] == address and answer[:1] == bytes([reply]) and answer[8:] == packet[8:]:
                    return time.monotonic() - began
    return None


def get(address: str, port: int = 80, timeout: float = 5.0) -> str:
    """The page of a server; raises ``OSError`` or ``HTTPException``."""
    connection = http.client.HTTPConnection(bracket(address), port, timeout=timeout)
    try:
        connection.request("GET", "/", headers={"Connection": "close"})
        return connection.getresponse().read(4096).decode(errors="replace").strip()
    finally:
        connection.close()


def echo(address: str, text: bytes, port: int = 7, timeout: float = 5.0) -> bool:
    """Whether a TCP echo service gives back what it got; raises ``OSError``."""
    with socket.create_connection((address, port), timeout=timeout) as sock:
        sock.sendall(text)
        got = b""
        while len(got) < len(text):
            part = sock.recv(4096)
            if not part:
                break
            got += part
    return got == text


def _socket(family: int, protocol: int) -> socket.socket:
    try:
        return socket.socket(family, socket.SOCK_DGRAM, protocol)
    except PermissionError:
        return socket.socket(family, socket.SOCK_RAW, protocol)


def _packet(kind: int, mark: int, number: int) -> bytes:
    body = struct.pack("!d", time.time()) + b"scs-deploy smoke"
    head = struct.pack("!BBHHH", kind, 0, 0, mark, number & 0xFFFF)
    return struct.pack("!BBHHH", kind, 0, _checksum(head + body), mark, number & 0xFFFF) + body


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
