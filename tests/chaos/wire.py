# SPDX-License-Identifier: MIT
"""One WebSocket connection in the load's event loop: upgrade, frames, and exactly one end."""

import asyncio
import base64
import json
import os

import frames
import http1

_HEAD_MAX = 16384


class Wire(asyncio.Protocol):
    """Owner's calls: on_open(), on_message(dict), on_wrong(text), and once on_end(end) with a dict:
    `status` and `retry_after` where no 101 came, else `code`, `reason` and `by`."""

    def __init__(self, owner, host):
        self._owner = owner
        self._host = host
        self._transport = None
        self._buf = bytearray()
        self._parts = None
        self._opened = False
        self._end = None
        self._ended = False
        self.heard = 0.0

    @property
    def is_open(self):
        return self._opened and not self._ended and self._end is None

    # Calls of asyncio.

    def connection_made(self, transport):
        self._transport = transport
        self.heard = asyncio.get_running_loop().time()
        key = base64.b64encode(os.urandom(16)).decode()
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                   "Sec-WebSocket-Key": key}
        transport.write(http1.request_bytes("GET", "/ws", headers, host=self._host))

    def data_received(self, data):
        if self._ended:
            return  # it was read in the same turn in which the owner hung up
        self.heard = asyncio.get_running_loop().time()
        self._buf += data
        try:
            if self._opened or self._read_head():
                while not self._ended and (found := frames.split_frame(self._buf)) is not None:
                    self._on_frame(*found)
        except (AssertionError, ValueError, KeyError, TypeError) as error:
            self._owner.on_wrong(f"{type(error).__name__}: {error}")
            self.abort("wrong")

    def eof_received(self):
        return False

    def connection_lost(self, _error):
        self._finish(self._end or {"code": 1006, "by": "net"})

    # What the owner does.

    def send(self, message):
        if self._transport and not self._transport.is_closing():
            text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
            self._transport.write(frames.frame(frames.TEXT, text))

    def close(self, code=1000):
        """Says CLOSE and hangs up: the owner hears the end at once."""
        if self._transport and not self._transport.is_closing():
            if self._opened:
                self._transport.write(frames.close_frame(code))
            self._transport.close()
        self._finish({"code": code, "by": "client"})

    def abort(self, reason):
        """Hangs up with a TCP reset, without a word."""
        if self._transport:
            self._transport.abort()
        self._finish({"code": 1006, "reason": reason, "by": "client"})

    def pause(self):
        """Stops reading: a client that is too slow, or whose machine sleeps."""
        self._transport.pause_reading()

    def resume(self):
        if self._transport and not self._transport.is_closing():
            self._transport.resume_reading()

    def socket(self):
        return self._transport.get_extra_info("socket")

    # Parts.

    def _read_head(self):
        end = self._buf.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buf) > _HEAD_MAX:
                raise ValueError("an answer without an end")
            return False
        status, _, listed = http1.parse_head(bytes(self._buf[:end]))
        del self._buf[:end + 4]
        if status != 101:
            wait = dict(listed).get("retry-after", "")
            self._end = {"status": status, "retry_after": int(wait) if wait.isdigit() else None}
            self._transport.abort()
            return False
        self._opened = True
        self._owner.on_open()
        return True

    def _on_frame(self, first, payload):
        opcode, fin = first & 0x0F, bool(first & 0x80)
        if opcode in (frames.TEXT, frames.CONT):
            if (opcode == frames.CONT) != (self._parts is not None):
                raise ValueError("fragments out of order")
            whole = (self._parts or b"") + payload
            self._parts = None if fin else whole
            if fin:
                self._owner.on_message(json.loads(whole))
        elif opcode == frames.PING:
            self._transport.write(frames.frame(frames.PONG, payload))
        elif opcode == frames.CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            reason = payload[2:].decode()
            self._transport.write(frames.close_frame(code if payload else None))
            self._transport.close()
            self._finish({"code": code, "reason": reason, "by": "gateway"})
        elif opcode != frames.PONG:
            raise ValueError(f"opcode {opcode}")

    def _finish(self, end):
        if not self._ended:
            self._ended = True
            if not self._opened:
                end = {"status": end.get("status"), "retry_after": end.get("retry_after")}
            self._owner.on_end(end)
