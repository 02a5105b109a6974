"""Programs in the images hold many TLS connections in a thread: the end of one is not taken for the end of another."""

from __future__ import annotations

from proofs.deployment import Cloud

PROGRAM = """
import socket, ssl, threading, time

inward = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
inward.load_cert_chain("/etc/scs-tls/cert.pem", "/etc/scs-tls/key.pem")
outward = ssl.create_default_context(cafile="/etc/scs-tls/ca.pem")

def connected(serve):
    listener = socket.create_server(("127.0.0.1", 0))
    def run():
        serve(inward.wrap_socket(listener.accept()[0], server_side=True))
    threading.Thread(target=run, daemon=True).start()
    return outward.wrap_socket(socket.create_connection(listener.getsockname()), server_hostname="n1")

def reset(link):
    link.recv(1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
    link.close()
    gone.set()

def answer_late(link):
    while link.recv(10):
        time.sleep(0.3)
        link.send(b"answer")

gone = threading.Event()
lost, healthy = connected(reset), connected(answer_late)
healthy.settimeout(10)
healthy.send(b"x")
print("healthy:", healthy.recv(10))
lost.send(b"x")
gone.wait()
for _ in range(3):
    try:
        lost.send(b"x" * 100)
    except OSError as error:
        print("lost:", error)
healthy.send(b"x")
print("healthy:", healthy.recv(10))
"""


def test_a_connection_that_was_reset_does_not_take_another_with_it(settled: Cloud) -> None:
    told = settled.on_node("podman exec -i keystone python3 -", PROGRAM)
    assert "lost: [Errno 32] Broken pipe" in told
    assert told.endswith("healthy: b'answer'")
