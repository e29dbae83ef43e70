# SPDX-License-Identifier: MIT
"""WebSocket frames (RFC 6455, section 5.2) as bytes: the right ones, and any wrong one."""

import os
import struct

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def mask_bytes(payload, key):
    repeated = (key * (len(payload) // 4 + 1))[:len(payload)]
    size = len(payload)
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def frame(opcode, payload=b"", fin=True, rsv=0, masked=True, length_bytes=None, claim=None):
    """One frame. length_bytes (0, 2 or 8) forces a form of the length, even one that is not minimal;
    claim states a length other than the payload's."""
    if isinstance(payload, str):
        payload = payload.encode("utf-8")
    size = len(payload) if claim is None else claim
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 65536 else 8
    first = (0x80 if fin else 0) | (rsv << 4) | opcode
    mask_bit = 0x80 if masked else 0
    if length_bytes == 0:
        head = bytes([first, mask_bit | size])
    elif length_bytes == 2:
        head = struct.pack("!BBH", first, mask_bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + mask_bytes(payload, key)


def close_frame(code=None, reason=b"", masked=True):
    payload = b"" if code is None else struct.pack("!H", code) + reason
    return frame(CLOSE, payload, masked=masked)


def split_frame(buf):
    """Takes one server frame from the head of buf (a bytearray). Returns (first byte, payload), or
    None when it has not arrived whole. Asserts what every gateway owes its clients."""
    if len(buf) < 2:
        return None
    first, second = buf[0], buf[1]
    assert not second & 0x80, "the server masked a frame"
    size, at = second & 0x7F, 2
    if size == 126:
        if len(buf) < 4:
            return None
        size, at = struct.unpack_from("!H", buf, 2)[0], 4
        assert size >= 126, "a length that is not minimal"
    elif size == 127:
        if len(buf) < 10:
            return None
        size, at = struct.unpack_from("!Q", buf, 2)[0], 10
        assert size >= 65536, "a length that is not minimal"
    if len(buf) < at + size:
        return None
    payload = bytes(buf[at:at + size])
    del buf[:at + size]
    assert first & 0x0F in (CONT, TEXT, BINARY, CLOSE, PING, PONG), f"opcode {first & 0x0F:#x}"
    if first & 0x08:
        assert first & 0x80 and size <= 125, "a control frame that is fragmented or too long"
    return first, payload
