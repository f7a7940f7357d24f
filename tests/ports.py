"""Ports that a test's servers may bind, in their own time."""

import socket
from contextlib import ExitStack, suppress

RANGE = range(20_000, 22_700)  # with 10000 more still below what the system deals out by itself, Ray's ports included


def reserve(count: int, *, twins: tuple[int, ...] = (0,)) -> tuple[list[int], ExitStack]:
    """Free ports on loopback, and what holds them for other test processes until it is closed.

    A server takes seconds to bind its port. Meanwhile, and as long as the stack is open, a UDP socket of the same
    number tells other test processes to take another.

    Args:
        twins: offsets at which a port must be free as well.
    """
    found: list[int] = []
    reserved = ExitStack()
    for port in RANGE:
        mine = reserved.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        with ExitStack() as probes, suppress(OSError):
            mine.bind(("127.0.0.1", port))
            for offset in twins:
                probes.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            found.append(port)
        if len(found) == count:
            return found, reserved
    raise AssertionError("no free ports")
