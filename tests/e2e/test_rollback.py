# SPDX-License-Identifier: MIT
"""Redis that loses what it had: members are told, and no two texts ever stand at one place.

The scenario of each: 1 to 5 are published, then comes the point that Redis may fall back to, then 6 and
7; then the loss; then 8 and 9. Members stay connected to all gateways throughout; one more has seen all
seven and comes back after, another only five."""

import contextlib
import os

from party import fresh, party
from redisserver import RedisServer
from runner import test
from wait import until
from ws import Client, until_all

SETTINGS = {"redis.reconnect_max": "500ms", "room.rejoin_grace": "500ms"}
CLUSTERS = {"main": dict(gateways=3, haproxy=False, settings=SETTINGS, proxy=True)}
USERS = ("alice", "bob", "carol")


class Book:
    """Which text stands at which place, by all that anybody was told."""

    def __init__(self):
        self._texts = {}

    def write(self, epoch, offset, text):
        known = self._texts.setdefault((epoch, offset), text)
        assert known == text, f"two texts at {epoch} {offset}: {known!r} and {text!r}"

    def read(self, client, epoch):
        """All that a client heard since its welcome, which said this epoch."""
        for message in client.inbox:
            if message["type"] == "gap":
                epoch = message["data"]["epoch"]
            elif message["type"] == "chat":
                self.write(epoch, message["offset"], message["data"]["text"])


def _ready(cluster):
    for gateway in cluster.gateways:
        gateway.wait_ready(15)


def _acked(client, room, text):
    def try_it():
        reply = client.request("chat", room=room, text=text, key=text)
        return reply["data"] if reply["type"] == "ack" else None
    return until(try_it, 15, f"{text} is acked", every_s=0.1)


def _texts(client):
    return [m["data"]["text"] for m in client.inbox if m["type"] == "chat"]


def _gaps(client):
    return [(m["data"]["why"], m["data"]["from"], m["data"]["to"]) for m in client.inbox
            if m["type"] == "gap"]


def _resume(cluster, number, room, epoch, offset):
    client = Client(cluster.ports(number + 1)[number])
    welcome = client.join(room, "dave", since={"epoch": epoch, "offset": offset})
    client.idle(0.3)
    return client, welcome


def _before(cluster, room, members, save):
    """1 to 5, the point of return, 6 and 7; returns the epoch and everybody's first."""
    acks = [members[n % 3].chat(room, str(n)) for n in range(1, 6)]
    save(cluster, room)
    acks += [members[n % 3].chat(room, str(n), key=f"key {n}") for n in (6, 7)]
    for member in members:
        member.wait(lambda m=member: len(_texts(m)) == 7, "seven messages")
        assert _texts(member) == list("1234567")
    assert [a["offset"] for a in acks] == [acks[0]["offset"] + n for n in range(7)], acks
    return acks


def _scenario(cluster, save, lose, new_epoch, kept=True):
    room, book = fresh("room"), Book()
    with party(cluster.ports(3), room, *USERS) as members, contextlib.ExitStack() as stack:
        acks = _before(cluster, room, members, save)
        epoch, seventh = acks[0]["epoch"], acks[-1]["offset"]
        for ack, text in zip(acks, "1234567"):
            book.write(ack["epoch"], ack["offset"], text)
        lose(cluster, room)
        _ready(cluster)
        if lose in (_crash, _start_empty):
            # A gateway that reads the room's state later would tell 8 as a part of the reset.
            for member in members:
                member.wait(lambda m=member: _gaps(m), "the reset", 8)
        more = [_acked(members[n % 3], room, str(n)) for n in (8, 9)]
        for ack, text in zip(more, "89"):
            book.write(ack["epoch"], ack["offset"], text)
        for member in members:
            member.wait(lambda m=member: _texts(m)[-1] == "9", "the last message", 8)
            assert _texts(member) == list("123456789"), _texts(member)
            book.read(member, epoch)
            told = [gap[0] for gap in _gaps(member)]
            assert told == (["reset"] if new_epoch else []), _gaps(member)
        assert (more[0]["epoch"] != epoch) == new_epoch, (more, epoch)
        assert more[1]["epoch"] == more[0]["epoch"], more
        if not new_epoch:
            assert more[0]["offset"] == seventh + 1, (more, acks)
        for number, seen in enumerate((seventh, seventh - 2)):
            client, welcome = _resume(cluster, number, room, epoch, seen)
            stack.enter_context(client)
            if new_epoch:
                assert welcome["recovered"] is False and _gaps(client)[0][0] == "reset", _gaps(client)
            elif kept:
                assert welcome["recovered"] is True and not _gaps(client), _gaps(client)
                assert _texts(client) == list("6789")[-2 if seen == seventh else -4:], _texts(client)
            else:
                whole = seen == seventh
                assert welcome["recovered"] is whole, (welcome, _gaps(client))
                assert _gaps(client) == ([] if whole else [("history", seventh - 1, seventh)])
                assert _texts(client) == ["8", "9"], _texts(client)
            book.read(client, welcome["epoch"])
        # Registers that somebody deletes by hand are found by the background check; see test_full.py.
        if lose is not LOST_REGISTERS:
            until(lambda: _people(members, room) == 5, 60,
                  lambda: f"five people; there are {_people(members, room)}", every_s=0.2)
            until_all(members, lambda: all(m.online[room] == 5 for m in members), 10,
                      lambda: f"five online: {[m.online for m in members]}")


def _people(members, room):
    """The least number of people that a gateway counts."""
    return min(sum(m["connections"] for m in c.request("presence", room=room)["data"]["members"])
               for c in members)


def _nothing(_cluster, _room):
    pass


def _save(cluster, _room):
    cluster.redis.call("SAVE")


def _crash(cluster, _room):
    cluster.redis.restart()


def _crash_twice(cluster, room):
    cluster.redis.restart()
    _ready(cluster)
    with Client(cluster.ports(1)[0]) as client:
        client.join(room, "eve")
        _acked(client, room, "between")
    cluster.redis.restart()


def _start_empty(cluster, _room):
    cluster.redis.kill()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(cluster.redis.data, "dump.rdb"))
    cluster.redis.start()


def _command(*words):
    return lambda cluster, room: cluster.redis.call(*(w.replace("ROOM", f"parley:room:{{{room}}}")
                                                      for w in words))


LOST_REGISTERS = _command("DEL", "ROOM:online")

# name, how the point of return is made, the loss, whether a new epoch begins, whether the log is kept
LOSSES = (
    ("a_snapshot_reloaded", _save, _crash, True, True),
    ("an_empty_restart", _nothing, _start_empty, True, False),
    ("a_flush", _nothing, _command("FLUSHALL"), True, False),
    ("a_deleted_meta", _nothing, _command("DEL", "ROOM:meta"), True, True),
    ("a_deleted_meta_and_log", _nothing, _command("DEL", "ROOM:meta", "ROOM:log"), True, False),
    ("a_deleted_log", _nothing, _command("DEL", "ROOM:log"), False, False),
    ("deleted_registers", _nothing, LOST_REGISTERS, False, True),
    ("deleted_gateways", _nothing, _command("DEL", "parley:gateways"), False, True),
    ("flushed_functions", _nothing, _command("FUNCTION", "FLUSH"), False, True),
    ("a_meta_of_rubbish", _nothing, _command("HSET", "ROOM:meta", "offset", "x"), True, True),
    ("an_offset_set_back", _nothing, _command("HSET", "ROOM:meta", "offset", "2"), True, True),
)


def _make(name, *how):
    def check(cluster):
        _scenario(cluster, *how)
    check.__name__ = f"{name}_puts_no_two_texts_at_one_place"
    return check


for _name, *_how in LOSSES:
    test("main")(_make(_name, *_how))


@test("main")
def one_snapshot_reloaded_twice_gives_two_new_epochs(cluster):
    room, book = fresh("room"), Book()
    with party(cluster.ports(3), room, *USERS) as members:
        acks = _before(cluster, room, members, _save)
        epochs = [acks[0]["epoch"]]
        for ack, text in zip(acks, "1234567"):
            book.write(ack["epoch"], ack["offset"], text)
        for round_ in range(2):
            cluster.redis.restart()
            _ready(cluster)
            for n in range(3):
                text = f"{round_} {n}"
                ack = _acked(members[n], room, text)
                book.write(ack["epoch"], ack["offset"], text)
            epochs.append(ack["epoch"])
            for member in members:
                member.wait(lambda m=member, t=text: t in _texts(m), text, 8)
        assert len(set(epochs)) == 3, epochs
        for member in members:
            book.read(member, epochs[0])
            assert [gap[0] for gap in _gaps(member)] == ["reset"] * 2, _gaps(member)


@test("main", fresh=True, long=True)
def a_failover_that_forgot_and_the_way_back_are_new_epochs(cluster):
    room, silent, book = fresh("room"), fresh("room"), Book()
    old = cluster.redis
    new = RedisServer(cluster.folder)
    new.start()

    def lead_to(redis):
        cluster.proxy.redis_port = redis.port
        cluster.proxy.cut()

    def in_step():
        return f"offset={new.call('INFO', 'replication').split('slave_repl_offset:')[1].split()[0]}," in \
            old.call("INFO", "replication")

    def leave_behind(_cluster, _room):
        """What follows reaches the old one only."""
        new.call("REPLICAOF", "127.0.0.1", str(old.port))
        until(lambda: "master_link_status:up" in new.call("INFO", "replication"), 15, "a replica")
        until(in_step, 5, "the replica has everything")
        new.call("REPLICAOF", "NO", "ONE")
    try:
        with Client(cluster.ports(1)[0]) as speaker, party(cluster.ports(3), room, *USERS) as members:
            speaker.join(silent, "eve")
            acks = _before(cluster, room, members, leave_behind)
            alone = [speaker.chat(silent, str(n)) for n in range(3)]
            # Nobody is in this room while the new one is the master.
            assert speaker.request("leave", room=silent)["type"] == "left"
            lead_to(new)
            old.call("REPLICAOF", "127.0.0.1", str(new.port))
            _ready(cluster)
            there = _acked(members[0], room, "there")
            for member in members:
                member.wait(lambda m=member: "there" in _texts(m), "heard from the new master", 8)
            until(lambda: "master_link_status:up" in old.call("INFO", "replication"), 15, "the old follows")
            # It is no use before it is the master, and is not taken for the one that it was.
            lead_to(old)
            until(lambda: all(g.readyz() == 503 for g in cluster.gateways), 5, "a replica will not do")
            until(lambda: "READONLY" in cluster.gateways[0].log(), 5, "and the log says so")
            reply = members[0].request("chat", room=room, text="x")
            assert reply["data"]["code"] == "unavailable", reply
            old.call("REPLICAOF", "NO", "ONE")
            _ready(cluster)
            back = _acked(members[1], room, "back")
            epochs = {acks[0]["epoch"], there["epoch"], back["epoch"]}
            assert len(epochs) == 3, epochs
            for ack, text in (*zip(acks, "1234567"), (there, "there"), (back, "back")):
                book.write(ack["epoch"], ack["offset"], text)
            for member in members:
                member.wait(lambda m=member: "back" in _texts(m), "heard from the old master", 8)
                book.read(member, acks[0]["epoch"])
                assert [gap[0] for gap in _gaps(member)] == ["reset"] * 2, _gaps(member)
            welcome = speaker.join(silent, "eve",
                                   since={k: alone[-1][k] for k in ("epoch", "offset")})
            assert welcome["recovered"] is False and welcome["epoch"] != alone[0]["epoch"], welcome
            # The master becomes a replica under gateways that stay connected to it.
            old.call("REPLICAOF", "127.0.0.1", str(new.port))
            until(lambda: all(g.readyz() == 503 for g in cluster.gateways), 5, "READONLY is noticed")
            old.call("REPLICAOF", "NO", "ONE")
            _ready(cluster)
            again = _acked(members[2], room, "again")
            assert again["epoch"] not in epochs, (again, epochs)
    finally:
        new.close()


@test("main")
def a_key_of_another_type_refuses_and_heals(cluster):
    room = fresh("room")
    base = f"parley:room:{{{room}}}"
    with party(cluster.ports(3), room, *USERS) as members:
        first = members[0].chat(room, "first")
        ids = cluster.redis.call("HKEYS", "parley:gateways")
        keys = [f"{base}:log", f"{base}:meta", f"{base}:online", f"{base}:key:5:alice:k",
                *(f"{base}:members:{id_}" for id_ in ids)]
        for number, key in enumerate(keys):
            cluster.redis.call("RENAME", key, f"{key}:kept") if cluster.redis.call("EXISTS", key) else None
            cluster.redis.call("RPUSH", key, "wrong")
            reply = members[0].request("chat", room=room, text=f"during {number}", key="k")
            if reply["type"] == "error":
                assert reply["data"]["code"] == "unavailable", reply
            with Client(cluster.ports(2)[1]) as dave:
                dave.send("join", room=room, user="dave")
                dave.take(lambda m: m["type"] in ("welcome", "error"), "an answer to the join")
            cluster.redis.call("DEL", key)
            if cluster.redis.call("EXISTS", f"{key}:kept"):
                cluster.redis.call("RENAME", f"{key}:kept", key)
            text = f"after {number}"
            last = _acked(members[1], room, text)
            for member in members:
                member.wait(lambda m=member, t=text: t in _texts(m), text, 8)
                refused = reply["type"] == "error" and f"during {number}" in _texts(member)
                assert not refused, f"refused, and delivered: {key}"
        assert last["offset"] > first["offset"]
        assert cluster.gateways[0].metrics().total("parley_redis_errors_total", error="wrongtype") > 0
        _ready(cluster)
        until(lambda: _people(members, room) == 3, 15, "everybody is there", every_s=0.2)
