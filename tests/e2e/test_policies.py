# SPDX-License-Identifier: MIT
"""Policies of kinds of rooms: each key of a section [room "…"] beside rooms that have another."""

import json
import time

from party import fresh, party
from runner import test
from wait import until
from ws import Client, pump_all

CONFIG = """
[room]
presence_interval = 100ms
rejoin_grace = 300ms
[room "count:*"]
presence = count
[room "off:*"]
presence = off
[room "news:*"]
publish = server
[room "plain:*"]
history_size = 0
[room "short:*"]
history_ttl = 1s
[room "small:*"]
max_members = 2
[room "forgetful:*"]
dedupe_ttl = 1s
[room "patient:*"]
rejoin_grace = 60s
[room "calm:*"]
presence_interval = 2s
[room "room-exactly"]
max_members = 1
"""
CLUSTERS = {
    "redis": dict(gateways=2, haproxy=False, config=CONFIG,
                  settings={"redis.tick": "50ms", "redis.lease": "2s"}),
    "memory": dict(gateways=1, redis=False, haproxy=False, config=CONFIG),
}
WEIGHT = {"redis": 12, "memory": 8}
GRACE_S = 0.3


def _key(room, rest):
    return f"parley:room:{{{room}}}{rest}"


def _names(client, room):
    """Whoever a digest of the room named so far."""
    return [name for m in client.inbox if m["type"] == "presence" and m["data"]["room"] == room
            for name in m["data"].get("joined", []) + m["data"].get("left", [])]


@test("redis", "memory")
def a_room_that_counts_tells_the_number_and_no_names(cluster):
    room = fresh("count:room")
    with party(cluster.ports(3), room, "alice", "bob", "carol") as (alice, bob, carol):
        assert bob.join(room, "bob")["online"] == 3
        carol.request("leave", room=room)
        for client in (alice, bob):
            client.wait_online(room, 2)
        bob.drop()
        alice.wait_online(room, 1)
        alice.idle(2 * GRACE_S)
        assert _names(alice, room) == [], alice.inbox
        assert all(m["data"]["joined"] == m["data"]["left"] == [] for m in alice.inbox
                   if m["type"] == "presence"), alice.inbox


@test("redis", "memory")
def a_room_that_counts_answers_a_presence_request_without_members(cluster):
    room = fresh("count:room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, _):
        answer = alice.request("presence", room=room)
        assert answer["type"] == "presence", answer
        assert answer["data"] == {"room": room, "online": 2, "members": []}, answer
    named = fresh("room")
    with party(cluster.ports(2), named, "alice", "bob") as (alice, _):
        assert len(alice.request("presence", room=named)["data"]["members"]) == 2


@test("redis")
def of_a_room_that_counts_redis_has_no_names(cluster):
    room = fresh("count:room")
    with cluster.redis.monitor() as monitor, \
            party(cluster.ports(2), room, "alice", "bob") as (alice, _):
        assert len(cluster.redis.call("HGETALL", _key(room, ":online"))) == 4
        assert cluster.redis.call("KEYS", "*count:*:members:*") == []
        # Another test's room may still be told that its members left.
        call = f'"parley1_presence" "3" "{_key(room, ":online")}"'
        monitor.expect(call)
        told = [line for line in monitor.lines if call in line]
        assert not any("alice" in line or "bob" in line for line in told), told


@test("redis", fresh=True)
def a_killed_gateway_leaves_a_room_that_counts(cluster):
    room = fresh("count:room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, _):
        cluster.gateways[1].kill()
        alice.wait_online(room, 1, 15)
        until(lambda: len(cluster.redis.call("HGETALL", _key(room, ":online"))) == 2, 5,
              "the register of the dead gateway is gone")
        assert _names(alice, room) == []


@test("redis", "memory")
def a_room_without_presence_says_nothing_of_it_and_carries_messages(cluster):
    room = fresh("off:room")
    ports = cluster.ports(2)
    with Client(ports[0]) as alice, Client(ports[1]) as bob:
        assert alice.join(room, "alice")["online"] == 0
        assert bob.join(room, "bob")["online"] == 0
        assert alice.request("presence", room=room)["data"] == {
            "room": room, "online": 0, "members": []}
        assert alice.chat(room, "hello")["offset"] == 1
        bob.expect("chat", text="hello")
        bob.send("signal", room=room, kind="typing")
        alice.expect("signal", kind="typing")
        history = bob.request("history", room=room)["data"]
        assert [m["data"]["text"] for m in history["messages"]] == ["hello"]
        bob.drop()
        alice.expect_nothing("presence", 1.0)
        if cluster.redis:
            assert cluster.redis.call("KEYS", "*off:*:online") == []
            assert cluster.redis.call("KEYS", "*off:*:members:*") == []


@test("redis")
def the_epoch_of_a_room_without_presence_outlives_its_silence(cluster):
    room = fresh("off:room")
    with Client(cluster.ports(1)[0]) as alice:
        alice.join(room, "alice")
        alice.chat(room, "x")
        cluster.redis.call("PEXPIRE", _key(room, ":meta"), 60000)
        until(lambda: cluster.redis.call("PTTL", _key(room, ":meta")) > 3600000, 20,
              "somebody who follows the room keeps its epoch")


@test("redis", "memory")
def where_only_the_server_publishes_members_listen(cluster):
    room = fresh("news:room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        assert alice.error_of("chat", room=room, text="x")["code"] == "forbidden"
        assert alice.error_of("signal", room=room, kind="typing")["code"] == "forbidden"
        if cluster.redis:
            data = {"room": room, "from": "server", "text": "news", "ts": 1}
            cluster.redis.call("PUBLISH", _key(room, ""), json.dumps({"type": "chat", "data": data}))
            for client in (alice, bob):
                client.expect("chat", text="news")
            cluster.redis.call(
                "FCALL", "parley1_publish", 2, _key(room, ":log"), _key(room, ":meta"),
                _key(room, ""), "", "", 100, 3600000, 300000, 1, json.dumps({**data, "text": "old"}))
            for client in (alice, bob):
                assert client.expect("chat", text="old")["offset"] == 1
        other = fresh("room")
        alice.join(other)
        assert alice.chat(other, "here I may")["offset"] == 1


@test("redis", "memory")
def a_room_without_history_has_offsets_and_tells_what_is_missed(cluster):
    room = fresh("plain:room")
    ports = cluster.ports(2)
    with party(ports, room, "alice", "bob") as (alice, bob):
        first = alice.chat(room, "one")
        bob.expect("chat", text="one")
        assert bob.error_of("history", room=room)["code"] == "history_disabled"
        bob.drop()
        assert alice.chat(room, "two")["offset"] == 2
        with Client(ports[1]) as again:
            since = {"epoch": first["epoch"], "offset": 1}
            welcome = again.join(room, "bob", since=since)
            assert not welcome["recovered"] and welcome["offset"] == 2, welcome
            gap = again.expect("gap", room=room)["data"]
            assert (gap["why"], gap["from"], gap["to"]) == ("history", 2, 2), gap
            assert again.join(room, "bob", since={**since, "offset": 2})["recovered"]
            assert alice.chat(room, "three")["offset"] == 3
            again.expect("chat", text="three")
            again.expect_nothing("gap", 0.2)
        if cluster.redis:
            assert cluster.redis.call("EXISTS", _key(room, ":log")) == 0


@test("redis", "memory")
def messages_are_kept_as_long_as_the_kind_says(cluster):
    short, long = fresh("short:room"), fresh("room")
    with Client(cluster.ports(1)[0]) as alice:
        for room in (short, long):
            alice.join(room, "alice")
            alice.chat(room, "x")
        said = time.monotonic()
        assert len(alice.request("history", room=short)["data"]["messages"]) == 1 \
            or time.monotonic() - said > 0.9

        def is_gone():
            return alice.request("history", room=short)["data"]["messages"] == []
        until(is_gone, 5, "the message is too old", every_s=0.1)
        assert time.monotonic() - said > 0.9, "it was gone too early"
        assert len(alice.request("history", room=long)["data"]["messages"]) == 1


@test("redis", "memory")
def a_kind_has_its_own_limit_of_members(cluster):
    small, large = fresh("small:room"), fresh("room")
    with party(cluster.ports(2), small, "alice", "bob"), Client(cluster.ports(3)[2]) as carol:
        assert carol.error_of("join", room=small, user="carol")["code"] == "room_full"
        with party(cluster.ports(2), large, "alice", "bob"):
            assert carol.join(large, "carol")["online"] == 3


@test("redis", "memory")
def a_pattern_without_a_star_is_one_room(cluster):
    with Client(cluster.ports(1)[0]) as alice, Client(cluster.ports(1)[0]) as bob:
        alice.join("room-exactly", "alice")
        assert bob.error_of("join", room="room-exactly", user="bob")["code"] == "room_full"
        alice.join("room-exactly-not", "alice")
        bob.join("room-exactly-not", "bob")


@test("redis", "memory")
def a_key_counts_as_long_as_the_kind_says(cluster):
    short, long = fresh("forgetful:room"), fresh("room")
    with Client(cluster.ports(1)[0]) as alice:
        for room in (short, long):
            alice.join(room, "alice")
            assert alice.chat(room, "x", key="k")["offset"] == 1
        until(lambda: alice.chat(short, "x", key="k")["offset"] == 2, 5, "the key is forgotten",
              every_s=0.2)
        assert alice.chat(long, "x", key="k")["offset"] == 1


@test("redis", "memory")
def a_lost_member_is_missed_after_the_grace_of_the_kind(cluster):
    patient, hasty = fresh("patient:room"), fresh("room")
    with party(cluster.ports(2), patient, "alice", "bob") as (alice, bob):
        alice.join(hasty)
        bob.join(hasty)
        alice.wait_online(hasty, 2)
        pump_all([alice], 0.3)
        bob.drop()
        alice.wait(lambda: alice.people[hasty]["bob"] == 0, "the hasty room misses bob")
        alice.wait_online(patient, 1)
        alice.idle(3 * GRACE_S)
        assert alice.people[patient]["bob"] == 1, "the patient room was told already"


@test("redis", "memory")
def digests_come_in_the_interval_of_the_kind(cluster):
    calm = fresh("calm:room")
    with party(cluster.ports(1), calm, "alice") as (alice,), Client(cluster.ports(2)[1]) as bob:
        alice.idle(2.2)
        alice.take_all("presence")
        started = time.monotonic()
        for _ in range(5):
            bob.join(calm, "bob")
            bob.request("leave", room=calm)
            pump_all([alice, bob], 0.25)
        assert len(alice.take_all("presence")) <= 1 + (time.monotonic() - started) // 2
