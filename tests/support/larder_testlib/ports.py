"""Free loopback ports, random, never handed to two callers on this machine at once.

Ports lie below the kernel's ephemeral range, so that no outgoing connection takes one
between the look and the server's bind. A block is claimed with an abstract unix socket
of its name, which the kernel gives back when the owner dies. The ports themselves are
tried as well, since other programs do not know of the claims; a server can still lose a
port to one of those, so callers start again with another block then.
"""

import random
import socket

FIRST, LAST, STEP = 15000, 32000, 20


class PortBlock:
    """A claimed run of ports on 127.0.0.1; a context manager, or close() it."""

    def __init__(self, count=1):
        if not 1 <= count <= STEP:
            raise ValueError(f"a block has 1 to {STEP} ports")
        bases = list(range(FIRST, LAST, STEP))
        random.SystemRandom().shuffle(bases)
        for base in bases:
            self._claim = _claim(base)
            if self._claim is None:
                continue
            if all(_is_free(port) for port in range(base, base + count)):
                self.base, self.count = base, count
                return
            self._claim.close()
        raise RuntimeError(f"no block of {count} free ports on 127.0.0.1")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._claim.close()


def _claim(base):
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        claim.bind(f"\0larder-test-ports-{base}")
        return claim
    except OSError:
        claim.close()
        return None


def _is_free(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
