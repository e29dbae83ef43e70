# SPDX-License-Identifier: MIT
"""A Redis that has no room left, on its disk or in its memory: what is refused is not delivered, nobody
living is given up, and all is right again when there is room."""

import contextlib
import os

from cluster import Cluster
from namespaces import is_root, small_disk
from party import fresh, party
from runner import test
from wait import until
from ws import Client, pump_all, until_all

SETTINGS = {"redis.reconnect_max": "500ms", "room.rejoin_grace": "500ms"}
CLUSTERS = {"main": dict(gateways=3, haproxy=False, settings=SETTINGS)}
USERS = ("alice", "bob", "carol")


def _texts(client):
    return [m["data"]["text"] for m in client.inbox if m["type"] == "chat"]


def _left(client):
    return [name for m in client.inbox if m["type"] == "presence" and "id" not in m
            for name in m["data"].get("left", [])]


def _acked(client, room, text):
    def try_it():
        reply = client.request("chat", room=room, text=text, key=text)
        return reply["data"] if reply["type"] == "ack" else None
    return until(try_it, 15, f"{text} is acked", every_s=0.1)


def _refused(clients, room, word):
    """Everybody's chat is refused, as certainly not done; returns the texts."""
    texts = []
    for number in range(4):
        for client in clients:
            texts.append(f"{word} {number} {client.user}")
            reply = client.request("chat", room=room, text=texts[-1])
            assert reply["type"] == "error" and reply["data"]["code"] == "unavailable", reply
            assert reply["data"]["retry_after"] > 0, reply
    return texts


def _resumes(port, room, before):
    """Who missed the message hears it: to read is no write."""
    with Client(port) as client:
        since = {"epoch": before["epoch"], "offset": before["offset"] - 1}
        client.send("join", room=room, user="gina", since=since)
        welcome = client.take(lambda m: m["type"] in ("welcome", "error"), "an answer to the join", 8)
        assert welcome["type"] == "welcome" and welcome["data"]["recovered"], welcome
        client.wait(lambda: _texts(client) == ["before"], "what was missed")
        assert not [m for m in client.inbox if m["type"] == "gap"], client.inbox
        assert client.request("leave", room=room)["type"] == "left"


def _live_through(cluster, begin, end, error):
    """One room while Redis refuses to write, a member who leaves, and one who is lost meanwhile."""
    room, first = fresh("room"), cluster.gateways[0]
    with party(cluster.ports(3), room, *USERS) as members, contextlib.ExitStack() as stack:
        dave, erin = (stack.enter_context(Client(cluster.ports(3)[n])) for n in (1, 2))
        for client, user in ((dave, "dave"), (erin, "erin")):
            client.join(room, user)
        until_all(members, lambda: all(m.online[room] == 5 for m in members), 5, "five are there")
        before = members[0].chat(room, "before")
        for member in members:
            member.wait(lambda m=member: _texts(m) == ["before"], "the first message")
        mark = first.log_size()
        begin()
        refused = _refused(members, room, "refused")
        until(lambda: first.readyz() == 200, 5, "still ready: others are no better off")
        _resumes(cluster.ports(1)[0], room, before)
        assert dave.request("leave", room=room)["type"] == "left"
        erin.close()
        joins = stack.enter_context(Client(cluster.ports(1)[0]))
        joins.send("join", room=room, user="frank")
        answer = joins.take(lambda m: m["type"] in ("welcome", "error"), "an answer to the join", 8)
        pump_all(members, 6)  # longer than a lease
        refused += _refused(members, room, "later")
        end()
        after = _acked(members[1], room, "after")
        for member in members:
            member.wait(lambda m=member: "after" in _texts(m), "after", 8)
            assert _texts(member) == ["before", "after"], _texts(member)
            assert not set(_left(member)) & set(USERS), f"given up while alive: {_left(member)}"
        assert (after["epoch"], after["offset"]) == (before["epoch"], before["offset"] + 1), after
        there = {**{u: 1 for u in USERS}, **({"frank": 1} if answer["type"] == "welcome" else {})}

        def people(client):
            reply = client.request("presence", room=room)
            return {m["user"]: m["connections"] for m in reply["data"]["members"]}
        until(lambda: all(people(m) == there for m in members), 45,
              lambda: f"{there}; there are {[people(m) for m in members]}", every_s=0.3)
        until_all(members, lambda: all(m.online[room] == len(there) for m in members), 5,
                  lambda: f"{len(there)} online: {[m.online for m in members]}")
        log = [line for line in first.log(mark).splitlines() if "event=redis_error" in line]
        assert 1 <= len(log) <= 10, "\n".join(log)
        assert first.metrics().total("parley_redis_errors_total", error=error) > 0


@test("main", long=True)
def a_redis_without_memory_refuses_and_delivers_nothing(cluster):
    _live_through(cluster, lambda: cluster.redis.call("CONFIG", "SET", "maxmemory", "1"),
                  lambda: cluster.redis.call("CONFIG", "SET", "maxmemory", "0"), "oom")


@test("main", long=True)
def who_is_killed_while_redis_has_no_memory_is_reaped_when_it_has(cluster):
    room = fresh("room")
    third = cluster.gateways[2]
    with party(cluster.ports(3), room, *USERS) as members:
        cluster.redis.call("CONFIG", "SET", "maxmemory", "1")
        try:
            third.kill()
            pump_all(members[:2], 3)
        finally:
            cluster.redis.call("CONFIG", "SET", "maxmemory", "0")
        for member in members[:2]:
            member.wait_online(room, 2, 20)
            assert _left(member) == ["carol"], _left(member)
    third.restart()


@test("main", long=True)
def what_redis_evicts_is_told_or_built_again(cluster):
    room = fresh("room")
    base = f"parley:room:{{{room}}}"
    with party(cluster.ports(3), room, *USERS) as members:
        before = members[0].chat(room, "before")
        for member in members:
            member.wait(lambda m=member: _texts(m) == ["before"], "the first message")
        used = int(cluster.redis.call("INFO", "memory").split("used_memory:")[1].split()[0])
        cluster.redis.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        cluster.redis.call("CONFIG", "SET", "maxmemory", str(used + (2 << 20)))
        try:
            number = 0

            def gone():
                nonlocal number
                for _ in range(50):
                    number += 1
                    cluster.redis.call("SET", f"filler:{number}", "x" * 20000)
                return not cluster.redis.call("EXISTS", f"{base}:meta", f"{base}:log", f"{base}:online")
            until(gone, 30, "the room is evicted")
        finally:
            cluster.redis.call("CONFIG", "SET", "maxmemory", "0")
            cluster.redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
            for n in range(1, number + 1):
                cluster.redis.call("DEL", f"filler:{n}")
        after = _acked(members[1], room, "after")
        assert after["epoch"] != before["epoch"], after
        for member in members:
            member.wait(lambda m=member: _texts(m) == ["before", "after"], "the message after", 8)
            gaps = [m["data"]["why"] for m in member.inbox if m["type"] == "gap"]
            assert gaps == ["reset"], gaps

        def people(client):
            return sum(m["connections"] for m in client.request("presence", room=room)["data"]["members"])
        until(lambda: all(people(m) == 3 for m in members), 60,
              lambda: f"three people; there are {[people(m) for m in members]}", every_s=0.5)
        until_all(members, lambda: all(m.online[room] == 3 for m in members), 5, "three online")


@test(long=True)
def a_redis_whose_disk_is_full_refuses_and_delivers_nothing(build):
    if not is_root():
        print("skipped: a small disk wants root")
        return
    with small_disk("3m") as disk:
        filler = os.path.join(disk, "filler")
        with Cluster(build, gateways=3, haproxy=False, settings=SETTINGS,
                     redis_args=("--dir", disk, "--appendonly", "yes")) as cluster:
            def fill():
                with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                    while file.write(b"x" * 4096):
                        pass

                # The write that finds the disk full is the last that Redis takes.
                def refuses():
                    with contextlib.suppress(Exception):
                        cluster.redis.call("SET", "filler", "x" * 1000)
                        return False
                    return "MISCONF" in _error_of(cluster.redis, "SET", "filler", "x")
                until(refuses, 10, "Redis refuses to write", every_s=0.05)

            def free():
                os.unlink(filler)
                until(lambda: not _error_of(cluster.redis, "SET", "filler", "x"), 10, "Redis writes again")
            _live_through(cluster, fill, free, "misconf")


def _error_of(redis, *words):
    try:
        redis.call(*words)
        return ""
    except Exception as error:  # resp.RedisError
        return str(error)
