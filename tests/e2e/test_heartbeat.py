# SPDX-License-Identifier: MIT
"""Life signs with short settings: who answers in any way stays, who is silent is closed."""

import contextlib
import time

import frames
from party import fresh
from runner import test
from ws import Client, until_all

SETTINGS = {"client.heartbeat": "2s", "client.heartbeat_timeout": "1s", "client.join_timeout": "3s"}
CLUSTERS = {"memory": dict(gateways=1, redis=False, haproxy=False, settings=SETTINGS)}
WEIGHT = {"memory": 16}


class Member:
    """A member that answers as `answer` (json, frame, chat or none) says; notes when it ended."""

    def __init__(self, port, room, answer):
        self.client = Client(port, auto_pong=False)
        self.answer = answer
        self.welcome = self.client.join(room, answer)
        self.started = time.monotonic()
        self.ended_s = None
        self.asked = 0

    def turn(self):
        if self.client.closed:
            self.ended_s = self.ended_s or time.monotonic() - self.started
            return
        asked = len(self.client.take_all("ping"))
        self.asked += asked
        if asked and self.answer == "json":
            self.client.send("pong")
        elif asked and self.answer == "chat":
            self.client.send("signal", room=self.welcome["room"], kind="alive")
        elif self.client.pings and self.answer == "frame":
            self.client.send_bytes(frames.frame(frames.PONG, self.client.pings.pop()))


@test("memory", long=True)
def who_answers_in_any_way_stays_and_who_is_silent_is_closed_with_4001(cluster):
    port = cluster.port
    members = [Member(port, fresh("room"), how) for how in ("json", "frame", "chat", "none")]
    half = Member(port, fresh("room"), "half")
    half.client.send_bytes(frames.frame(frames.TEXT, '{"type":"ping"}')[:9])
    everyone = members + [half]
    with contextlib.ExitStack() as stack:
        for member in everyone:
            stack.callback(member.client.close)
        deadline = time.monotonic() + 9

        def over():
            for member in everyone:
                member.turn()
            return time.monotonic() >= deadline
        until_all([m.client for m in everyone], over, 12, "nine seconds")
    for member in members[:3]:
        assert member.ended_s is None, f"{member.answer}: closed after {member.ended_s} s"
        assert member.asked >= 2, f"{member.answer}: asked only {member.asked} times in 9 s"
        assert member.welcome["heartbeat"] == 2, member.welcome
    for member in (members[3], half):
        assert member.client.close_code == 4001, (member.answer, member.client.close_code)
        assert member.client.close_reason == "heartbeat"
        assert 2.5 <= member.ended_s <= 5.5, f"{member.answer}: closed after {member.ended_s} s"


@test("memory", long=True)
def a_heartbeat_is_a_ping_frame_and_a_json_ping(cluster):
    with Client(cluster.port, auto_pong=False) as alice:
        alice.join(fresh("room"), "alice")
        message = alice.expect("ping", timeout_s=5)
        assert "id" not in message or isinstance(message["id"], (str, int))
        alice.wait(lambda: alice.pings, "a PING frame with it", 0.5)


@test("memory", long=True)
def who_joins_no_room_is_closed_with_4408(cluster):
    started = time.monotonic()
    with Client(cluster.port) as silent, Client(cluster.port) as busy, Client(cluster.port) as joined:
        joined.join(fresh("room"), "alice")

        def over():
            if busy.take_all("pong") or busy.take_all("ping"):
                pass
            if joined.take_all("ping"):
                joined.send("pong")
            return silent.closed and busy.closed
        busy.send("ping")
        until_all([silent, busy, joined], over, 7, "both are closed")
        took = time.monotonic() - started
        for client in (silent, busy):
            client.expect_close(4408, "join_timeout")
        assert 2.5 <= took <= 5, f"closed after {took:.1f} s"
        assert not joined.closed
        joined.ping()


@test("memory")
def a_ping_frame_is_answered_with_its_payload(cluster):
    with Client(cluster.port) as alice:
        for payload in (b"", b"x", b"y" * 125):
            alice.pongs.clear()
            alice.send_bytes(frames.frame(frames.PING, payload))
            alice.wait(lambda: alice.pongs, "a PONG")
            assert alice.pongs == [payload]
        alice.send_bytes(frames.frame(frames.PONG, b"unsolicited"))
        alice.ping()
