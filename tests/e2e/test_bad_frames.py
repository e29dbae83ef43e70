# SPDX-License-Identifier: MIT
"""Wrong, hostile and merely unusual WebSocket frames: each has its close code, and the gateway serves
the next client. RFC 6455 sections 5 and 7."""

import random
import socket
import time

import frames
from frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_frame, frame
from party import connections, fresh, party
from runner import test
from wait import until
from ws import Client

MAX = 16 * 1024  # client.max_message_bytes
PING_TEXT = '{"type":"ping"}'
CLUSTERS = {"memory": dict(gateways=1, redis=False, haproxy=False),
            "haproxy": dict(gateways=1, redis=False)}

# What is sent, and the close codes that are right for it.
CLOSED = {
    "W2 rsv1 without an extension (a compressed message)": (frame(TEXT, "x", rsv=4), 1002),
    "W2 rsv2": (frame(TEXT, "x", rsv=2), 1002),
    "W2 rsv3": (frame(TEXT, "x", rsv=1), 1002),
    "W24 rsv1 on a continuation": (frame(TEXT, "{", fin=False) + frame(CONT, "}", rsv=4), 1002),
    **{f"W3 opcode {code:#x}": (frame(code, "x"), 1002)
       for code in (0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF)},
    "W5 a fragmented PING": (frame(PING, "x", fin=False), 1002),
    "W5 a fragmented CLOSE": (frame(CLOSE, b"\x03\xe8", fin=False), 1002),
    "W6 a continuation of nothing": (frame(CONT, "x"), 1002),
    "W6 an unfinished continuation of nothing": (frame(CONT, "x", fin=False), 1002),
    "W7 a new message inside another": (frame(TEXT, "{", fin=False) + frame(TEXT, "{}"), 1002),
    "W8 invalid UTF-8": (frame(TEXT, b'{"type":"\xff"}'), 1007),
    "W8 a surrogate": (frame(TEXT, b'"\xed\xa0\x80"'), 1007),
    "W8 an overlong form": (frame(TEXT, b'"\xc0\xaf"'), 1007),
    "W8 past U+10FFFF": (frame(TEXT, b'"\xf4\x90\x80\x80"'), 1007),
    "W8 truncated at the end": (frame(TEXT, b'"\xe2\x82'), 1007),
    "W8 a lone continuation byte": (frame(TEXT, b'\x80'), 1007),
    "W8 split over frames, wrong in the second": (
        frame(TEXT, b'"\xe2\x82', fin=False) + frame(CONT, b'x"'), 1007),
    "W10 2^62 bytes claimed, three sent": (frame(TEXT, "abc", claim=2**62), (1009, 1002)),
    "W16 one byte more than the limit": (frame(TEXT, "x" * (MAX + 1)), 1009),
    "W16 one byte more than the limit, claimed only": (frame(TEXT, "abc", claim=MAX + 1), 1009),
    "W16 more than the limit in fragments": (
        frame(TEXT, "x" * MAX, fin=False) + frame(CONT, "x"), 1009),
    "W17 10,000 fragments of one byte": (
        frame(TEXT, "x", fin=False) + frame(CONT, "x", fin=False) * 10000, (1009, 1008)),
    "W17 10,000 empty fragments": (
        frame(TEXT, "", fin=False) + frame(CONT, "", fin=False) * 10000, (1009, 1008)),
    "W18 a binary message": (frame(BINARY, PING_TEXT), 1003),
    "W18 an empty binary message": (frame(BINARY, b""), 1003),
    "W18 a binary message in fragments": (
        frame(BINARY, "{", fin=False) + frame(CONT, "}"), 1003),
    "W13 close code 999": (close_frame(999), 1002),
    "W13 close code 1004": (close_frame(1004), 1002),
    "W13 close code 1005": (close_frame(1005), 1002),
    "W13 close code 1006": (close_frame(1006), 1002),
    "W13 close code 1016": (close_frame(1016), 1002),
    "W14 a close reason that is not UTF-8": (close_frame(1000, b"\xff\xfe"), (1002, 1007)),
}

# libwebsockets ends these by itself without a close code, or with an echo: what matters is that the
# connection ends at once and that nothing of it reaches anybody.
CLOSED_ANYHOW = {
    "W4 a PING of 126 bytes": frame(PING, b"x" * 126),
    "W4 a CLOSE of 126 bytes": frame(CLOSE, b"\x03\xe8" + b"x" * 124),
    "W9 a length of 2^63": frame(TEXT, "abc", claim=2**63),
    "W12 a CLOSE of one byte": frame(CLOSE, b"\x03"),
    "W13 close code 0": close_frame(0),
    "W13 close code 5000": close_frame(5000),
    "W13 close code 65535": close_frame(65535),
}

# Unusual, and to be served.
SERVED = {
    "a message in three fragments": (
        frame(TEXT, '{"ty', fin=False) + frame(CONT, 'pe":"p', fin=False) + frame(CONT, 'ing"}')),
    "a PING between fragments": (
        frame(TEXT, '{"type"', fin=False) + frame(PING, "x") + frame(CONT, ':"ping"}')),
    "a PONG between fragments": (
        frame(TEXT, '{"type"', fin=False) + frame(PONG, "x") + frame(CONT, ':"ping"}')),
    "empty fragments around it": (
        frame(TEXT, "", fin=False) + frame(CONT, PING_TEXT, fin=False) + frame(CONT, "")),
    "W8 a character split over fragments": (
        frame(TEXT, b'{"type":"ping","x":"\xe2', fin=False) + frame(CONT, b'\x82\xac"}')),
    "a mask of zeros": bytes([0x81, 0x80 | len(PING_TEXT), 0, 0, 0, 0]) + PING_TEXT.encode(),
    "W20 an unsolicited PONG before": frame(PONG, "x") + frame(TEXT, PING_TEXT),
    "W16 a message of exactly the limit": frame(
        TEXT, '{"type":"ping","x":"' + "x" * (MAX - len('{"type":"ping","x":""}')) + '"}'),
}


def _assert_serves(port):
    with Client(port) as client:
        client.ping()


def _assert_closed(port, rows):
    """Sends every row on a connection of its own, all at once; each must end with one of its codes.
    Where libwebsockets closes by itself it does not see our CLOSE, and the gateway hangs up 2 s
    later."""
    wrong = []
    with connections([port], len(rows)) as clients:
        for client, (data, _) in zip(clients, rows.values()):
            client.send_bytes(data)
        for client, (what, (_, codes)) in zip(clients, rows.items()):
            try:
                client.expect_close(codes, timeout_s=8)
                assert not client.inbox, client.inbox
            except AssertionError as error:
                wrong.append(f"{what}: {error}")
    assert not wrong, "\n" + "\n".join(wrong)
    _assert_serves(port)


@test("memory", "haproxy")
def a_wrong_frame_is_closed_with_its_code(cluster):
    _assert_closed(cluster.port, CLOSED)


@test("memory", "haproxy")
def a_close_says_why_in_a_word(cluster):
    for what, code, reason in (("W8 invalid UTF-8", 1007, "utf8"),
                               ("W16 one byte more than the limit", 1009, "too_big"),
                               ("W16 more than the limit in fragments", 1009, "too_big"),
                               ("W18 a binary message", 1003, "binary")):
        with Client(cluster.port) as client:
            client.send_bytes(CLOSED[what][0])
            client.expect_close(code, reason)


@test("memory", "haproxy")
def a_frame_that_the_library_refuses_ends_the_connection(cluster):
    _assert_closed(cluster.port, {what: (data, None) for what, data in CLOSED_ANYHOW.items()})


@test("memory", "haproxy")
def an_unusual_frame_is_served(cluster):
    wrong = []
    for what, data in SERVED.items():
        with Client(cluster.port) as client:
            client.send_bytes(data)
            try:
                client.expect("pong")
            except AssertionError as error:
                wrong.append(f"{what}: {error}")
    assert not wrong, "\n" + "\n".join(wrong)


@test("memory")
def the_rules_hold_for_bytes_that_come_one_by_one(cluster):
    with Client(cluster.port) as client:
        for byte in SERVED["a PING between fragments"]:
            client.sock.settimeout(5)
            client.sock.send(bytes([byte]))
        client.expect("pong")
        client.wait(lambda: client.pongs, "the PONG")  # which of the two comes first is not said anywhere
        assert client.pongs == [b"x"]


@test("memory")
def an_unmasked_frame_reaches_nobody_or_is_closed(cluster):
    # W1: RFC 6455 section 5.1 wants a close; older libwebsockets accept it. Documented either way.
    with Client(cluster.port) as client:
        client.send_bytes(frame(TEXT, PING_TEXT, masked=False))
        try:
            client.expect("pong", timeout_s=2)
        except AssertionError:
            assert client.closed and client.close_code in (1002, None), client.close_code
    _assert_serves(cluster.port)


@test("memory")
def lengths_that_are_not_minimal_never_harm(cluster):
    # W11: RFC 6455 section 5.2 wants the shortest form; libwebsockets accepts the longer ones.
    for length_bytes in (2, 8):
        with Client(cluster.port) as client:
            client.send_bytes(frame(TEXT, PING_TEXT, length_bytes=length_bytes))
            try:
                client.expect("pong", timeout_s=2)
            except AssertionError:
                assert client.closed, "neither an answer nor a close"
    _assert_serves(cluster.port)


@test("memory", "haproxy")
def a_close_is_answered_and_what_follows_is_ignored(cluster):
    room = fresh("room")
    with Client(cluster.port) as bob:
        bob.join(room, "bob")
        for code in (1000, 1001, 3000, 4999, None):
            with Client(cluster.port) as client:
                client.join(room, "alice")
                client.send_bytes(close_frame(code) + frame(
                    TEXT, '{"type":"chat","data":{"room":"%s","text":"late"}}' % room))
                client.expect_close(code if code else (1000, 1005))
        bob.ping()
        bob.wait_online(room, 1)
        assert not bob.take_all("chat"), "what came after the CLOSE was published"


@test("memory")
def a_client_that_never_answers_a_close_is_hung_up_on(cluster):
    # W25: the gateway's own limit is 2 s. recv() gives the CLOSE frame, and then the end.
    with Client(cluster.port) as client:
        started = time.monotonic()
        client.sock.sendall(frame(BINARY, b"x"))
        client.sock.settimeout(6)
        data = b""
        while more := client.sock.recv(4096):
            data += more
        assert data[:4] == b"\x88" + bytes([len(data) - 2]) + b"\x03\xeb", data
        assert time.monotonic() - started < 5


@test("memory")
def nothing_follows_the_close_of_a_wrong_frame(cluster):
    # RFC 6455 section 5.5.1. libwebsockets sends this CLOSE by itself, and then waits for ours.
    gateway, room = cluster.gateways[0], fresh("room")
    with Client(gateway.port) as bob, Client(gateway.port) as client:
        bob.join(room, "bob")
        client.join(room, "alice")
        before = gateway.metrics().total("parley_connections_closed_total", reason="bad_frame")
        started = time.monotonic()
        client.send_bytes(frame(TEXT, "x", rsv=2))
        while client.close_code is None:
            assert client.pump(started + 5), "no CLOSE"
        bob.chat(room, "to whoever is still there")
        client.expect_close(1002)  # fails for any frame after CLOSE
        assert time.monotonic() - started < 4, "the gateway's own limit is 2 s"
        bob.wait_online(room, 1)
        after = gateway.metrics().total("parley_connections_closed_total", reason="bad_frame")
        assert after == before + 1, (before, after)


@test("memory")
def a_hundred_pings_in_one_packet_are_answered(cluster):
    with Client(cluster.port) as client:
        client.send_bytes(frame(PING, "x") * 100)
        client.wait(lambda: client.pongs, "at least one PONG")
        client.ping()
        assert len(client.pongs) <= 100


@test("memory")
def connections_that_break_off_in_the_middle_are_cleaned_up(cluster):
    room = fresh("room")
    whole = frame(TEXT, '{"type":"chat","data":{"room":"%s","text":"half"}}' % room)
    with party(cluster.ports(1), room, "alice") as (alice,):
        for cut in (1, 2, 5, 6, 20, len(whole) - 1):
            for end in ("reset", "fin", "half"):
                client = Client(cluster.port)
                client.join(room, "bob")
                client.sock.sendall(whole[:cut])
                if end == "reset":
                    client.reset()
                elif end == "fin":
                    client.drop()
                else:
                    client.sock.shutdown(socket.SHUT_WR)
                    client.expect_close()
                    client.drop()
        alice.wait_online(room, 1)
        alice.ping()
        assert not alice.take_all("chat"), "half a message was published"


@test("memory")
def random_bytes_never_end_the_gateway(cluster):
    seed = 20240229
    rng = random.Random(seed)
    for round_ in range(150):
        with Client(cluster.port, check=False) as client:
            data = bytearray(frame(rng.choice([TEXT, CONT, BINARY, PING, CLOSE]),
                                   bytes(rng.randrange(256) for _ in range(rng.randrange(200)))))
            for _ in range(rng.randrange(1, 6)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            client.send_bytes(bytes(data))
        assert cluster.gateways[0].running, f"seed {seed}, round {round_}"
    _assert_serves(cluster.port)


@test("memory")
def fast_reconnects_leave_nothing_behind(cluster):
    gateway, room = cluster.gateways[0], fresh("room")
    with party(cluster.ports(1), room, "alice") as (alice,):
        before = gateway.open_files()
        for _ in range(200):
            with Client(gateway.port) as client:
                client.send("join", room=room, user="bob")
        alice.wait_online(room, 1)
        until(lambda: gateway.open_files() <= before, 5, "the sockets are closed")
        assert gateway.metrics().total("parley_memberships") in (0, 1)
