# SPDX-License-Identifier: MIT
"""A WebSocket client over a plain socket, for tests: blocking, every wait has a deadline.

    with Client(port) as alice:
        alice.join("general", "alice")
        alice.send("chat", text="hi", id=1)
        alice.expect("ack", id=1)

Messages that arrive go into `inbox` in their order; expect() takes the first one that matches out of
it and leaves the rest. While it reads, a client checks what protocol.md promises of everything that a
gateway sends (see promises.py): so each test that uses it tests that, too.
"""

import base64
import collections
import hashlib
import json
import os
import select
import socket
import time

import frames
import http1
from promises import Promises, strict_json
from wait import Timeout

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOP_LEVEL = ("id", "offset")


class UpgradeRefused(Exception):
    """The upgrade was not answered with 101; .response is the answer, or None when it was closed."""

    def __init__(self, response):
        super().__init__(f"the upgrade was refused: {response}")
        self.response = response


def upgrade_headers(key=None, origin=None, protocols=(), extra=None):
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": key or base64.b64encode(os.urandom(16)).decode()}
    if origin is not None:
        headers["Origin"] = origin
    if protocols:
        headers["Sec-WebSocket-Protocol"] = ", ".join(protocols)
    headers.update(extra or {})
    return headers


def _matches(message, wanted):
    data = message.get("data")
    data = data if isinstance(data, dict) else {}
    for name, value in wanted.items():
        holder = message if name in _TOP_LEVEL else data
        if name not in holder:
            return False
        if not (value(holder[name]) if callable(value) else holder[name] == value):
            return False
    return True


class Client:
    """inbox: messages (dicts) not yet taken. online: of each room, as told last. people: of each room,
    a Counter of names: those that joined minus those that left since our `welcome`. pings, pongs:
    payloads of such frames. close_code and
    close_reason: of the CLOSE frame, once it came; closed: the connection has ended."""

    def __init__(self, port, path="/ws", origin=None, protocols=(), headers=None, timeout_s=5.0,
                 rcvbuf=None, auto_pong=True, check=True, host=None):
        self.timeout_s = timeout_s
        self.auto_pong = auto_pong
        self.inbox = []
        self.user = None
        self.online = {}
        self.people = {}
        self.pings = []
        self.pongs = []
        self.closed = False
        self.close_code = None
        self.close_reason = None
        self._promises = Promises() if check else None
        self._buf = bytearray()
        self._fragments = None
        self._next_id = 0
        self.sock = socket.socket()
        if rcvbuf:
            # Before connect(): the window is agreed in the handshake.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout_s)
        try:
            self.sock.connect(("127.0.0.1", port))
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._upgrade(path, host or f"127.0.0.1:{port}",
                          upgrade_headers(None, origin, protocols, headers))
        except BaseException:
            self.sock.close()
            raise

    def _upgrade(self, path, host, headers):
        self.sock.sendall(http1.request_bytes("GET", path, headers, host=host))
        data, deadline = b"", time.monotonic() + self.timeout_s
        while b"\r\n\r\n" not in data:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise Timeout(f"no answer to the upgrade within {self.timeout_s:g} s: {data!r}")
            more = self.sock.recv(65536)
            if not more:
                raise UpgradeRefused(None)
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        status, _, listed = http1.parse_head(head)
        if status != 101:
            raise UpgradeRefused(http1.read_response(self.sock, self.timeout_s, already=data))
        self.response = http1.Response(status, "", listed, b"", False)
        digest = hashlib.sha1(headers["Sec-WebSocket-Key"].encode() + _GUID).digest()
        assert self.response.headers["sec-websocket-accept"] == base64.b64encode(digest).decode()
        self._buf += rest
        self._handle_frames()

    # Sending.

    def send(self, type_, id=None, **data):
        """Sends a message; `data` is left out when it would be empty."""
        message = {"type": type_}
        if data:
            message["data"] = data
        if id is not None:
            message["id"] = id
        self.send_json(message)

    def send_json(self, value):
        self.send_text(json.dumps(value, ensure_ascii=False))

    def send_text(self, text):
        """A text message of any content (str or bytes), as one frame."""
        self.send_bytes(frames.frame(frames.TEXT, text))

    def send_bytes(self, data):
        """Any bytes, as they are. What arrives meanwhile is read, so that neither side can block.
        When the gateway hangs up meanwhile the rest is dropped: what it said is still to be read."""
        view, deadline = memoryview(data), time.monotonic() + self.timeout_s
        self.sock.settimeout(0)
        while view:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Timeout("the gateway does not take what is sent")
            readable, writable, _ = select.select(
                [] if self.closed else [self.sock], [self.sock], [], left)
            if readable:
                self._receive()
            if writable:
                try:
                    view = view[self.sock.send(view):]
                except BlockingIOError:
                    pass
                except OSError:
                    return

    # Requests with their replies.

    def next_id(self):
        self._next_id += 1
        return self._next_id

    def request(self, type_, **data):
        """Sends with an id and returns the one reply to it, whatever its type."""
        return self.reply_to(self.ask(type_, **data))

    def ask(self, type_, **data):
        """Sends with an id, and returns the id without waiting."""
        id_ = self.next_id()
        self.send(type_, id=id_, **data)
        return id_

    def reply_to(self, id_, timeout_s=None):
        return self.take(lambda m: m.get("id") == id_, f"a reply to id {id_}", timeout_s)

    def join(self, room, user=None, timeout_s=None, **more):
        """Joins and returns the data of `welcome`."""
        data = {"room": room, **more}
        if user is not None:
            data["user"] = user
        self.send("join", **data)
        return self.expect("welcome", timeout_s=timeout_s, room=room)["data"]

    def chat(self, room, text, **more):
        """Sends a chat message, and returns the data of its `ack`."""
        reply = self.request("chat", room=room, text=text, **more)
        assert reply["type"] == "ack", reply
        return reply["data"]

    def error_of(self, type_, **data):
        """Sends a request that must fail; returns the error's data."""
        reply = self.request(type_, **data)
        assert reply["type"] == "error", reply
        return reply["data"]

    def ping(self, timeout_s=None):
        """A round trip: everything that the gateway sent to us before it is in the inbox after it."""
        reply = self.reply_to(self.ask("ping"), timeout_s)
        assert reply["type"] == "pong", reply

    # Waiting.

    def expect(self, type_, timeout_s=None, **match):
        """Takes the first message of a type whose data (id and offset: envelope) match. A value may
        be a function that judges."""
        what = f"{type_} {match}" if match else type_
        return self.take(lambda m: m["type"] == type_ and _matches(m, match), what, timeout_s)

    def take(self, wanted, what, timeout_s=None):
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        seen = 0
        while True:
            for at in range(seen, len(self.inbox)):
                if wanted(self.inbox[at]):
                    return self.inbox.pop(at)
            seen = len(self.inbox)
            if self.closed or not self.pump(deadline):
                state = f"closed with {self.close_code} {self.close_reason!r}" if self.closed else \
                    "in time"
                raise Timeout(f"no {what} {state}; inbox: {str(self.inbox[-8:])[:1500]}")

    def take_all(self, type_, **match):
        """Takes every such message that is already in the inbox; waits for nothing."""
        found = [m for m in self.inbox if m["type"] == type_ and _matches(m, match)]
        self.inbox = [m for m in self.inbox if m not in found]
        return found

    def expect_nothing(self, types, for_s, **match):
        """Asserts that no such message is there or comes within a bounded time."""
        types = (types,) if isinstance(types, str) else types
        deadline = time.monotonic() + for_s
        while True:
            for message in self.inbox:
                assert message["type"] not in types or not _matches(message, match), \
                    f"unexpected: {message}"
            if self.closed or not self.pump(deadline):
                return

    def expect_close(self, code=None, reason=None, timeout_s=None):
        """Reads until the connection ends, and checks its close code (a number or several)."""
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        while not self.closed:
            if not self.pump(deadline):
                raise Timeout(f"not closed in time; inbox: {str(self.inbox[-5:])[:1000]}")
        codes = (code,) if isinstance(code, int) else code
        assert codes is None or self.close_code in codes, \
            f"closed with {self.close_code} {self.close_reason!r}, not {code}; {self.inbox[-3:]}"
        assert reason is None or self.close_reason == reason, \
            f"close reason {self.close_reason!r}, not {reason!r}"
        return self.close_code

    def wait(self, condition, what, timeout_s=None):
        """Reads until condition() is true."""
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        while not condition():
            if not self.pump(deadline):
                text = what() if callable(what) else what
                raise Timeout(f"{text}: not in time; inbox: {str(self.inbox[-5:])[:1000]}")

    def wait_online(self, room, count, timeout_s=None):
        """Reads until the room's online count, as told, is this."""
        self.wait(lambda: self.online.get(room) == count,
                  lambda: f"online {count} in {room!r} (is {self.online.get(room)})", timeout_s)

    def wait_people(self, room, names, timeout_s=None):
        """Reads until those others that joined minus those that left since our `welcome` are these
        (a dict: name to number)."""
        self.wait(lambda: self.others(room) == names,
                  lambda: f"people {names} in {room!r} (are {self.others(room)})", timeout_s)

    def others(self, room):
        """Who joined and did not leave since our `welcome`, without our own name."""
        return {name: n for name, n in self.people[room].items() if n > 0 and name != self.user}

    def idle(self, for_s):
        """Keeps reading for a bounded time; returns early when the connection ends."""
        deadline = time.monotonic() + for_s
        while not self.closed and self.pump(deadline):
            pass

    def pump(self, deadline):
        """Waits for data until the deadline and handles it. False when none came."""
        left = deadline - time.monotonic()
        if self.closed or left <= 0 or not select.select([self.sock], [], [], left)[0]:
            return False
        self._receive()
        return True

    def _receive(self):
        try:
            data = self.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._buf += data
        self._handle_frames()
        if not data:
            self.closed = True

    def _handle_frames(self):
        while (found := frames.split_frame(self._buf)) is not None:
            self._handle_frame(*found)

    def _handle_frame(self, first, payload):
        opcode, fin = first & 0x0F, bool(first & 0x80)
        assert not first & 0x70, "a reserved bit without an extension"
        assert self.close_code is None, f"a frame after CLOSE: {payload[:100]!r}"
        if opcode == frames.PING:
            self.pings.append(payload)
            if self.auto_pong:
                self._try_send(frames.frame(frames.PONG, payload))
        elif opcode == frames.PONG:
            self.pongs.append(payload)
        elif opcode == frames.CLOSE:
            assert len(payload) != 1, "a CLOSE of one byte"
            self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
            self.close_reason = payload[2:].decode("utf-8")
            self._try_send(frames.frame(frames.CLOSE, payload[:2]))
        else:
            assert opcode != frames.BINARY, "a binary message"
            assert (opcode == frames.CONT) == (self._fragments is not None), "fragments out of order"
            self._fragments = (self._fragments or b"") + payload
            if fin:
                whole, self._fragments = self._fragments, None
                self._handle_message(whole)

    def _handle_message(self, payload):
        message = strict_json(payload)
        if self._promises:
            self._promises.check(message, payload)
        self._note_presence(message)
        self.inbox.append(message)

    def _note_presence(self, message):
        if message["type"] not in ("welcome", "presence"):
            return
        data = message["data"]
        self.online[data["room"]] = data["online"]
        if message["type"] == "welcome":
            self.user = data["user"]
            self.people[data["room"]] = collections.Counter()
        elif "id" not in message:
            self.people[data["room"]].update(data.get("joined", []))
            self.people[data["room"]].subtract(data.get("left", []))

    def _try_send(self, data):
        try:
            self.sock.settimeout(1)
            self.sock.sendall(data)
        except OSError:
            pass

    # Ends.

    def drop(self):
        """Ends the connection without a CLOSE frame (FIN)."""
        self.sock.close()
        self.closed = True

    def reset(self):
        """Ends the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.drop()

    def close(self):
        """Says CLOSE 1000 and hangs up."""
        if not self.closed:
            self._try_send(frames.close_frame(1000))
            self.drop()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def pump_all(clients, for_s):
    """Lets several clients read at once, for a bounded time."""
    deadline = time.monotonic() + for_s
    until_all(clients, lambda: time.monotonic() >= deadline, for_s + 5, "the time is over")


def until_all(clients, condition, timeout_s=5.0, what="a condition"):
    """Lets several clients read at once until condition() is true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            raise Timeout(f"{what() if callable(what) else what}: not within {timeout_s:g} s")
        by_sock = {c.sock: c for c in clients if not c.closed}
        if not by_sock:
            time.sleep(0.01)
            continue
        for sock in select.select(list(by_sock), [], [], 0.02)[0]:
            by_sock[sock]._receive()
