# SPDX-License-Identifier: MIT
"""What the local cluster shows: the gateways' log lines, a line when their load changed, and what went wrong."""
import re
import sys

# A demonstration's lines can be read; a load test's cannot, so beyond this many a second they are only counted.
LINES_PER_TURN = 20

_TIMESTAMP = re.compile(r"^ts=\S+ ")


def say(text):
    print(text, flush=True)


def complain(text):
    print(text, file=sys.stderr, flush=True)


class LogFollower:
    """Shows what a server has logged since the last look, with the server's name in front."""

    def __init__(self, server):
        self._server = server
        self._file = None
        self._rest = b""

    def show(self):
        if self._file is None:
            self._file = open(self._server.log_path, "rb")
        data = self._rest + self._file.read()
        *lines, self._rest = data.split(b"\n")
        for line in lines[:LINES_PER_TURN]:
            say(f"{self._server.name} | {_TIMESTAMP.sub('', line.decode('utf-8', 'replace'))}")
        if len(lines) > LINES_PER_TURN:
            say(f"{self._server.name} | … and {len(lines) - LINES_PER_TURN} more lines, in {self._server.log_path}")


class LoadLine:
    """One line with every gateway's connections and rooms, whenever a number is another."""

    def __init__(self, gateways):
        self._gateways = gateways
        self._last = None

    def show(self):
        loads = [(g.name, g.load()) for g in self._gateways]
        if loads != self._last:
            self._last = loads
            say("   ".join(f"{name}: {_words(load)}" for name, load in loads))


def _words(load):
    if load is None:
        return "down"
    connections, rooms = load
    return f"{connections} connection{'s' * (connections != 1)}, {rooms} room{'s' * (rooms != 1)}"
