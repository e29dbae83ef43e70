# SPDX-License-Identifier: MIT
"""Thousands of members of one room, as light as they can be: each counts what it hears.

    with Crowd(ports, 2000) as crowd:
        crowd.join("stadium")
        crowd.pump_until(lambda: crowd.quiet_s > 2, 60)
        print(max(m.presence_frames for m in crowd.members))
"""

import json
import select
import socket
import time

import frames
from wait import Timeout

_REQUEST = ("GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")


class Member:
    """presence_frames, presence_bytes: digests heard; online: as told last, None before `welcome`."""

    def __init__(self, port, user):
        self.port = port
        self.user = user
        self.sock = None
        self.forget()

    def forget(self):
        """Counts anew."""
        self.presence_frames = self.presence_bytes = 0

    def connect(self):
        self.online = None
        self._buf, self._upgraded = bytearray(), False
        self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        self.sock.sendall(_REQUEST.encode())
        self.sock.setblocking(False)

    def join(self, room):
        text = json.dumps({"type": "join", "data": {"room": room, "user": self.user}})
        self.sock.setblocking(True)
        self.sock.sendall(frames.frame(frames.TEXT, text))
        self.sock.setblocking(False)

    def receive(self):
        """Reads what is there; true when a digest was among it."""
        data, before = self.sock.recv(262144), self.presence_frames
        assert data, f"{self.user}: the gateway hung up"
        self._buf += data
        if not self._upgraded:
            head, found, rest = self._buf.partition(b"\r\n\r\n")
            if not found:
                return False
            assert head.startswith(b"HTTP/1.1 101 "), head[:100]
            self._buf, self._upgraded = rest, True
        while (found := frames.split_frame(self._buf)) is not None:
            self._hear(found[1])
        return self.presence_frames > before

    def _hear(self, payload):
        if payload.startswith(b'{"type":"presence"'):
            self.presence_frames += 1
            self.presence_bytes += len(payload)
        elif not payload.startswith(b'{"type":"welcome"'):
            return
        self.online = json.loads(payload)["data"]["online"]


class Crowd:
    """members: of struct Member, on the ports in turn. quiet_s: since the last digest that came."""

    def __init__(self, ports, count):
        self.members = [Member(ports[n % len(ports)], f"fan-{n}") for n in range(count)]
        self._poll = select.epoll()
        self._by_fd = {}
        self._heard = time.monotonic()

    @property
    def quiet_s(self):
        return time.monotonic() - self._heard

    def join(self, room, members=None, at_once=50):
        """Everybody (or those) connects and joins, as fast as the gateways welcome them."""
        for first in range(0, len(members or self.members), at_once):
            batch = (members or self.members)[first:first + at_once]
            for member in batch:
                member.connect()
                self._by_fd[member.sock.fileno()] = member
                self._poll.register(member.sock.fileno(), select.EPOLLIN)
            for member in batch:
                member.join(room)
            self.pump_until(lambda b=batch: all(m.online is not None for m in b), 30)

    def drop(self, members):
        for member in members:
            self._poll.unregister(member.sock.fileno())
            del self._by_fd[member.sock.fileno()]
            member.sock.close()

    def pump_until(self, condition, timeout_s):
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() >= deadline:
                raise Timeout(f"the crowd: not within {timeout_s:g} s; online "
                              f"{sorted({m.online or 0 for m in self.members})[-5:]}")
            for fd, _ in self._poll.poll(0.05):
                if self._by_fd[fd].receive():
                    self._heard = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.drop([m for m in self._by_fd.values()])
        self._poll.close()
