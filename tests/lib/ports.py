# SPDX-License-Identifier: MIT
"""Free TCP ports for servers under test.

A port that was free a moment ago can be taken by another test run before our server listens on it.
So each port is leased: a lock on a small file is held until the lease is closed, and every run on
the machine that uses this module respects it. Ports lie below the ephemeral range, so that no
outgoing connection can hold one by accident.
"""

import fcntl
import os
import random
import socket
import tempfile

FIRST, LAST = 23000, 23999


class PortLease:
    """One port, ours until close()."""

    def __init__(self, port, lock_file):
        self.port = port
        self._lock_file = lock_file

    def close(self):
        self._lock_file.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def _bindable(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _try_lease(port):
    """A lease of this port, or None when somebody has it."""
    folder = os.path.join(tempfile.gettempdir(), f"parley-test-ports-{os.getuid()}")
    os.makedirs(folder, exist_ok=True)
    lock_file = open(os.path.join(folder, str(port)), "w", encoding="ascii")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock_file.close()
        return None
    if _bindable(port):
        return PortLease(port, lock_file)
    lock_file.close()
    return None


def lease_ports(count):
    """Leases free ports of 127.0.0.1 in a row. Raises RuntimeError when there are none."""
    candidates = list(range(FIRST, LAST + 2 - count))
    random.SystemRandom().shuffle(candidates)
    for first in candidates:
        leases = []
        for port in range(first, first + count):
            lease = _try_lease(port)
            if lease is None:
                break
            leases.append(lease)
        if len(leases) == count:
            return leases
        for lease in leases:
            lease.close()
    raise RuntimeError(f"no {count} free ports in a row between {FIRST} and {LAST}")


def lease_port():
    """Leases a free port of 127.0.0.1. Raises RuntimeError when none is left."""
    return lease_ports(1)[0]
