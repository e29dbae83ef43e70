# SPDX-License-Identifier: MIT
"""A room server with faults of our choice, for the load generator to find.

It speaks what `parley bench --adapter=floor` does: one room, and every text frame goes to every member
as it came. faults(member, index, text) says what a member gets for the message number `index`: a list
of texts (two of them are a duplicate, none is a loss), or None to have the connection closed.
"""

import base64
import hashlib
import selectors
import socket
import threading

import frames

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class _Member:
    def __init__(self, number, sock):
        self.number = number
        self.sock = sock
        self.buf = bytearray()
        self.open = False


class FaultyServer:
    """port: where it listens. with FaultyServer(faults) as server: …"""

    def __init__(self, faults):
        self._faults = faults
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._wake, self._stop = socket.socketpair()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._members = []
        self._accepted = 0
        self._messages = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.close()
        self._thread.join(5)
        for member in list(self._members):
            self._drop(member)
        self._listener.close()
        self._wake.close()
        self._selector.close()

    def _run(self):
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif key.data in self._members:
                    self._read(key.data)

    def _accept(self):
        sock, _ = self._listener.accept()
        member = _Member(self._accepted, sock)
        self._accepted += 1
        self._members.append(member)
        self._selector.register(sock, selectors.EVENT_READ, member)

    def _drop(self, member):
        self._selector.unregister(member.sock)
        self._members.remove(member)
        member.sock.close()

    def _read(self, member):
        try:
            data = member.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._drop(member)
            return
        member.buf += data
        if not member.open and b"\r\n\r\n" in member.buf:
            self._upgrade(member)
        while member.open and (text := self._take_text(member.buf)) is not None:
            self._relay(text)

    def _upgrade(self, member):
        head, _, rest = bytes(member.buf).partition(b"\r\n\r\n")
        key = next(line.split(b": ")[1] for line in head.split(b"\r\n")
                   if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        member.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                            b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        member.buf = bytearray(rest)
        member.open = True

    @staticmethod
    def _take_text(buf):
        """One frame of a client's, which is masked; what is no text is taken and skipped."""
        while len(buf) >= 6:
            assert buf[1] & 0x80, "a client's frame is not masked"
            size, at = buf[1] & 0x7F, 2
            if size == 126:
                size, at = int.from_bytes(buf[2:4], "big"), 4
            if len(buf) < at + 4 + size:
                return None
            key, payload = bytes(buf[at:at + 4]), bytes(buf[at + 4:at + 4 + size])
            opcode = buf[0] & 0x0F
            del buf[:at + 4 + size]
            if opcode == frames.TEXT:
                return frames.mask_bytes(payload, key)
        return None

    def _relay(self, text):
        index = self._messages
        self._messages += 1
        for member in list(self._members):
            texts = self._faults(member.number, index, text)
            if texts is None:
                self._drop(member)
                continue
            for each in texts:
                member.sock.sendall(frames.frame(frames.TEXT, each, masked=False))
