# SPDX-License-Identifier: MIT
"""Who is there: digests, `online`, grace for lost connections, the presence request."""

import time

from party import connections, fresh, party
from runner import test
from ws import Client, pump_all, until_all

# The grace is long beside the interval, so that "at once" and "after the grace" can be told apart.
SETTINGS = {"room.presence_interval": "100ms", "room.rejoin_grace": "1500ms"}
GRACE_S = 1.5
CLUSTERS = {
    "redis": dict(gateways=3, haproxy=False, settings=SETTINGS),
    "memory": dict(gateways=1, redis=False, haproxy=False, settings=SETTINGS),
}
WEIGHT = {"redis": 10, "memory": 10}


@test("redis", "memory")
def a_join_and_a_leave_are_told_on_every_gateway(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        with Client(cluster.ports(3)[2]) as carol:
            carol.join(room, "carol")
            for client in (alice, bob):
                client.wait_online(room, 3)
                client.wait(lambda c=client: c.people[room]["carol"] == 1, "carol is told")
            carol.request("leave", room=room)
            started = time.monotonic()
            for client in (alice, bob):
                client.wait_online(room, 2)
                client.wait(lambda c=client: c.people[room]["carol"] == 0, "carol's leave is told")
            assert time.monotonic() - started < GRACE_S, "a leave is told at once, without grace"


@test("redis", "memory")
def online_falls_at_once_and_the_name_after_the_grace(cluster):
    room = fresh("room")
    with party(cluster.ports(3), room, "alice", "bob", "carol") as (alice, bob, carol):
        pump_all([alice, bob], 0.3)
        dropped = time.monotonic()
        carol.drop()
        for client in (alice, bob):
            client.wait_online(room, 2, 2)
        assert time.monotonic() - dropped < GRACE_S, "online is the truth at once"
        told = []
        for client in (alice, bob):
            client.wait(lambda c=client: any("carol" in m["data"].get("left", [])
                                             for m in c.inbox if m["type"] == "presence"),
                        "carol's leave is told")
            told.append(time.monotonic() - dropped)
        assert min(told) > GRACE_S - 0.3, f"told before the grace was over: {told}"


@test("redis", "memory")
def who_is_back_within_the_grace_was_never_gone(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        pump_all([alice], 0.3)
        alice.take_all("presence")
        bob.drop()
        alice.wait_online(room, 1, 2)
        with Client(cluster.ports(3)[2]) as bob_again:
            bob_again.join(room, "bob")
            alice.wait_online(room, 2, 2)
            alice.idle(GRACE_S + 0.5)
            for message in alice.take_all("presence"):
                data = message["data"]
                assert "bob" not in data.get("joined", []) + data.get("left", []), message
            assert alice.online[room] == 2


@test("redis", "memory")
def a_name_counts_once_for_each_connection(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "watcher") as (watcher,), \
            connections(cluster.ports(3), 3) as tabs:
        for tab in tabs:
            tab.join(room, "alice")
        watcher.wait_people(room, {"alice": 3})
        watcher.wait_online(room, 4)
        tabs[0].request("leave", room=room)
        watcher.wait_people(room, {"alice": 2})
        watcher.wait_online(room, 3)
        for tab in tabs[1:]:
            tab.request("leave", room=room)
        watcher.wait_people(room, {})
        watcher.wait_online(room, 1)


@test("redis", "memory")
def digests_come_at_most_one_an_interval(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "watcher") as (watcher,), \
            connections(cluster.ports(3), 20) as crowd:
        watcher.idle(0.3)
        watcher.take_all("presence")
        started = time.monotonic()
        for n, client in enumerate(crowd):
            client.send("join", room=room, user=f"user-{n}")
        watcher.wait_people(room, {f"user-{n}": 1 for n in range(20)})
        watcher.wait_online(room, 21)
        digests = watcher.take_all("presence")
        allowed = (time.monotonic() - started) / 0.1 + 2
        assert len(digests) <= allowed, f"{len(digests)} digests, {allowed:.1f} intervals"


@test("redis")
def online_is_the_same_on_all_gateways_within_two_seconds(cluster):
    room = fresh("room")
    with connections(cluster.ports(9), 9) as crowd:
        for n, client in enumerate(crowd):
            client.send("join", room=room, user=f"user-{n}")
        until_all(crowd, lambda: all(c.online.get(room) == 9 for c in crowd), 2, "online is 9")
        for client in crowd[:4]:
            client.send("leave", room=room)
        until_all(crowd, lambda: all(c.online.get(room) == 5 for c in crowd[4:]), 2, "online is 5")


@test("redis", "memory")
def the_request_lists_members_and_counts_users(cluster):
    room = fresh("room")
    with party(cluster.ports(3), room, "alice", "alice", "bob") as (alice, _tab, _bob):
        data = alice.request("presence", room=room)["data"]
        assert data["room"] == room and data["online"] == 3 and data["users"] == 2, data
        assert "cursor" not in data, data
        listed = {}
        for member in data["members"]:
            listed[member["user"]] = listed.get(member["user"], 0) + member["connections"]
        assert listed == {"alice": 2, "bob": 1}, data


@test("redis", "memory")
def the_request_can_be_paged(cluster):
    room, count = fresh("room"), 25
    with connections(cluster.ports(3), count) as crowd:
        for n, client in enumerate(crowd):
            client.send("join", room=room, user=f"user-{n}")
        crowd[0].wait_online(room, count)
        listed, cursor, pages = {}, None, 0
        while True:
            more = {"cursor": cursor} if cursor is not None else {}
            data = crowd[0].request("presence", room=room, limit=4, **more)["data"]
            assert len(data["members"]) <= 4 and data["online"] == count, data
            assert "users" not in data, "users is for an answer of one whole page"
            for member in data["members"]:
                listed[member["user"]] = listed.get(member["user"], 0) + member["connections"]
            pages += 1
            cursor = data.get("cursor")
            if cursor is None:
                break
            assert isinstance(cursor, str) and cursor and pages < 60, data
        assert listed == {f"user-{n}": 1 for n in range(count)}, listed


@test("redis", "memory")
def a_strange_cursor_or_limit_never_harms(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "alice") as (alice,):
        for more in ({"limit": 0}, {"limit": -1}, {"limit": 2**60}, {"limit": "x"}, {"limit": None},
                     {"cursor": "nonsense"}, {"cursor": ""}, {"cursor": "x" * 3000},
                     {"cursor": "0:18446744073709551616"}, {"cursor": 7}, {"limit": 1.5}):
            reply = alice.request("presence", room=room, **more)
            assert reply["type"] in ("presence", "error"), (more, reply)
            if reply["type"] == "error":
                assert reply["data"]["code"] in ("bad_envelope", "too_long"), (more, reply)
        assert alice.request("presence", room=room)["data"]["online"] == 1


@test("redis", "memory")
def a_connection_that_ends_leaves_all_its_rooms(cluster):
    rooms = [fresh("room") for _ in range(3)]
    with party(cluster.ports(1), rooms[0], "watcher") as (watcher,):
        for room in rooms[1:]:
            watcher.join(room, "watcher")
        with Client(cluster.ports(2)[1]) as alice:
            for room in rooms:
                alice.join(room, "alice")
                watcher.wait_online(room, 2)
        for room in rooms:
            watcher.wait_online(room, 1)


@test("redis", "memory")
def a_storm_of_joins_and_leaves_ends_in_the_truth(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "watcher") as (watcher,), \
            connections(cluster.ports(3), 3) as crowd:
        for _ in range(30):
            for client in crowd:
                client.send("join", room=room, user="alice")
                client.send("leave", room=room)
        for client in crowd:
            client.ping()
        watcher.wait(lambda: watcher.online[room] == 1 and not watcher.others(room),
                     lambda: f"alone again: {watcher.online[room]}, {watcher.people[room]}")
        watcher.idle(0.5)
        assert watcher.online[room] == 1 and not watcher.others(room), watcher.people[room]
        assert watcher.request("presence", room=room)["data"]["members"] == [
            {"user": "watcher", "connections": 1}]
