# SPDX-License-Identifier: MIT
"""Which TCP ports of this machine are free."""
import socket


def is_free(port, address="127.0.0.1"):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections still linger counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


class Ports:
    """Gives each port once: the wanted one when it is free, so that addresses stay the same from run to run."""

    def __init__(self):
        self._taken = set()

    def take(self, wanted):
        if wanted > 65535 or wanted in self._taken or not is_free(wanted):
            wanted = self._any()
        self._taken.add(wanted)
        return wanted

    def _any(self):
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            if port not in self._taken:
                return port
