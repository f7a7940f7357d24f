"""A TCP proxy before a store, which has the faults of networks and stores at a test's will.

with faulty(s3.url) as proxy:
    proxy.fault = lambda request: "reset" if random.random() < 0.05 else ""
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

MUTE, RESET, BUSY, CUT, LOST = "mute", "reset", "busy", "cut", "lost"
BUSY_ANSWER = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate</Message></Error>"
)
METHODS = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ")


class Proxy:
    """Passes connections on to a store.

    Attributes:
        url, upstream: the proxy's own, and the store's.
        fault: asked of every request, by its first line, what becomes of it: nothing (``""``); no answer, ever
            (``mute``); the connection is reset before the store sees it (``reset``), in the middle of the answer
            (``cut``), or once the store has done it (``lost``); a 503 (``busy``).
        delay: seconds before every answer.
        requests: the first lines of those that came.
    """

    def __init__(self, upstream: str) -> None:
        self.fault: Callable[[str], str] = lambda request: ""
        self.delay = 0.0
        self.requests: list[str] = []
        self.upstream, self._upstream = upstream, urlsplit(upstream)
        self._over = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no longer, and cut what is open."""
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            _reset(one)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), socket.create_connection((self._upstream.hostname, self._upstream.port)) as server:
            fault: list[str] = [""]
            threading.Thread(target=self._answer, args=(server, client, fault), daemon=True).start()
            while data := client.recv(1 << 16):
                if data.startswith(METHODS):
                    request = data.partition(b"\r\n")[0].decode()
                    self.requests.append(request)
                    fault[0] = self.fault(request)
                if fault[0] == MUTE:
                    self._over.wait()
                if fault[0] == BUSY:
                    head = f"HTTP/1.1 503 Slow Down\r\nContent-Length: {len(BUSY_ANSWER)}\r\nConnection: close\r\n\r\n"
                    client.sendall(head.encode() + (b"" if data.startswith(b"HEAD ") else BUSY_ANSWER))
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(1 << 16):  # what was not read would make a reset of the end
                        pass
                    return
                if fault[0] == RESET:
                    _reset(client)
                    return
                server.sendall(data)
        with suppress(OSError):
            client.close()

    def _answer(self, server: socket.socket, client: socket.socket, fault: list[str]) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                time.sleep(self.delay)
                if fault[0] == LOST and not data.startswith(b"HTTP/1.1 100"):
                    _reset(client)
                    return
                if fault[0] == CUT:
                    client.sendall(data[: max(1, len(data) - 10)])
                    time.sleep(0.02)  # so that the client has it before the reset
                    _reset(client)
                    return
                client.sendall(data)
            client.close()


@contextmanager
def faulty(upstream: str) -> Iterator[Proxy]:
    """A proxy on loopback before the store at ``upstream``."""
    proxy = Proxy(upstream)
    try:
        yield proxy
    finally:
        proxy.close()


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)  # wakes who waits for it
    with suppress(OSError):
        connection.close()
