# SPDX-License-Identifier: MIT
"""Redis's wire protocol (RESP2), just large enough for tests: one blocking connection, and MONITOR."""

import socket
import time

from wait import Timeout


class RedisError(Exception):
    """An error reply of the server."""


class Incomplete(Exception):
    """The reply at the head of the buffer has not arrived whole yet."""


def parse(buf, at):
    """Returns (reply, position after it); an error reply is returned, not raised."""
    end = buf.find(b"\r\n", at)
    if end < 0:
        raise Incomplete
    kind, rest, at = buf[at:at + 1], bytes(buf[at + 1:end]), end + 2
    if kind == b"+":
        return rest.decode("utf-8", "surrogateescape"), at
    if kind == b"-":
        return RedisError(rest.decode("utf-8", "replace")), at
    if kind == b":":
        return int(rest), at
    if kind == b"$":
        size = int(rest)
        if size < 0:
            return None, at
        if len(buf) < at + size + 2:
            raise Incomplete
        return bytes(buf[at:at + size]).decode("utf-8", "surrogateescape"), at + size + 2
    if kind == b"*":
        if int(rest) < 0:
            return None, at
        items = []
        for _ in range(int(rest)):
            item, at = parse(buf, at)
            items.append(item)
        return items, at
    raise ValueError(f"not RESP: {bytes(buf[:40])!r}")


class Connection:
    """One connection. Strings come back as text; bytes that are not UTF-8 as surrogate escapes."""

    def __init__(self, port, host="127.0.0.1"):
        self._sock = socket.create_connection((host, port), timeout=5)
        self._buf = bytearray()

    def close(self):
        self._sock.close()

    def send(self, *args):
        """A command whose reply is read by somebody else, or by nobody."""
        parts = [b"*%d\r\n" % len(args)]
        for arg in args:
            data = arg if isinstance(arg, bytes) else str(arg).encode("utf-8", "surrogateescape")
            parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
        self._sock.sendall(b"".join(parts))

    def call(self, *args, timeout_s=5.0):
        self._sock.settimeout(timeout_s)
        self.send(*args)
        reply = self.read(timeout_s)
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def read(self, timeout_s):
        """The next reply. Raises Timeout when none has arrived whole in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                reply, end = parse(self._buf, 0)
                del self._buf[:end]
                return reply
            except Incomplete:
                self._receive(deadline)

    def _receive(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise Timeout("no reply of Redis in time")
        self._sock.settimeout(left)
        try:
            data = self._sock.recv(65536)
        except socket.timeout:
            raise Timeout("no reply of Redis in time") from None
        if not data:
            raise ConnectionError("Redis closed the connection")
        self._buf += data


class Monitor:
    """Lines of MONITOR, as they come. Use as a context manager."""

    def __init__(self, port):
        self._conn = Connection(port)
        self._conn.call("MONITOR")
        self.lines = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._conn.close()

    def collect(self, for_s):
        """Reads for a bounded time; returns the lines of that time."""
        start, deadline = len(self.lines), time.monotonic() + for_s
        while self._read_one(deadline):
            pass
        return self.lines[start:]

    def expect(self, text, timeout_s=5.0):
        """Reads until a line contains text (among those read before, too); returns that line."""
        deadline, at = time.monotonic() + timeout_s, 0
        while True:
            for line in self.lines[at:]:
                if text in line:
                    return line
            at = len(self.lines)
            if not self._read_one(deadline):
                raise Timeout(f"no monitor line with {text!r} within {timeout_s:g} s; "
                              f"last: {self.lines[-3:]}")

    def _read_one(self, deadline):
        try:
            self.lines.append(str(self._conn.read(max(0.0, deadline - time.monotonic()))))
            return True
        except Timeout:
            return False
