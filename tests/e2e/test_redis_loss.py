# SPDX-License-Identifier: MIT
"""Redis that stands still, restarts empty, or cuts its links: nobody is lost, no ack is false."""

import time

from party import fresh, party
from runner import test
from wait import until
from ws import pump_all, until_all

SETTINGS = {"room.rejoin_grace": "500ms"}
CLUSTERS = {"main": dict(gateways=3, haproxy=False, settings=SETTINGS)}
WEIGHT = {"main": 40}
USERS = ("alice", "bob", "carol")


def _people(cluster, clients, room):
    """What each gateway answers to who is there."""
    return [{m["user"]: m["connections"] for m in
             c.request("presence", room=room)["data"]["members"]} for c in clients]


def _all_ready(cluster, timeout_s=10):
    for gateway in cluster.gateways:
        gateway.wait_ready(timeout_s)


def _chat_until_acked(client, room, text, timeout_s=10):
    def acked():
        reply = client.request("chat", room=room, text=text, key=text)
        return reply["data"] if reply["type"] == "ack" else None
    return until(acked, timeout_s, "the chat is acked again", every_s=0.1)


@test("main", long=True)
def a_redis_that_stands_still_for_eight_seconds_costs_nobody_anything(cluster):
    room = fresh("room")
    with party(cluster.ports(3), room, *USERS) as members:
        members[0].chat(room, "before")
        pump_all(members, 0.5)
        for member in members:
            member.take_all("presence")
        cluster.redis.freeze()
        frozen = time.monotonic()
        asked = [(m, m.ask("chat", room=room, text=f"during {n}")) for n, m in enumerate(members)]
        answers = []
        while time.monotonic() - frozen < 8:
            for member in members:
                started = time.monotonic()
                member.ping()
                assert time.monotonic() - started < 0.5, "the gateway stood still with Redis"
            pump_all(members, 0.3)
        for member, id_ in asked:
            reply = member.reply_to(id_, 0.1)
            assert reply["type"] == "error", f"a false ack: {reply}"
            assert reply["data"]["code"] in ("unavailable", "unknown_outcome"), reply
            answers.append(reply["data"]["code"])
        late = members[0].request("chat", room=room, text="late")
        assert late["type"] == "error" and late["data"]["code"] in ("unavailable", "unknown_outcome")
        if late["data"]["code"] == "unavailable":
            assert late["data"]["retry_after"] > 0, late
        cluster.redis.thaw()
        _all_ready(cluster)
        _chat_until_acked(members[1], room, "after")
        for member in members:
            member.expect("chat", text="after", timeout_s=5)
        pump_all(members, 2.5)
        for member in members:
            left = [name for m in member.inbox if m["type"] == "presence"
                    for name in m["data"].get("left", [])]
            assert not left, f"reaped: {left}"
            assert member.online[room] == 3, member.online
            texts = [m["data"]["text"] for m in member.inbox if m["type"] == "chat"]
            for n, code in enumerate(answers):
                assert code != "unavailable" or f"during {n}" not in texts, "refused, and delivered"
        assert _people(cluster, members, room) == [{u: 1 for u in USERS}] * 3


@test("main")
def a_redis_that_restarts_empty_is_filled_again(cluster):
    room = fresh("room")
    with party(cluster.ports(3), room, *USERS) as members:
        first = members[0].chat(room, "in the first epoch")
        for member in members:
            member.expect("chat", offset=first["offset"])
        cluster.redis.restart()
        _all_ready(cluster)
        again = _chat_until_acked(members[0], room, "in the second epoch")
        assert again["epoch"] != first["epoch"], "a new epoch after a loss"
        for member in members:
            gap = member.expect("gap", room=room)["data"]
            assert gap["why"] == "reset" and gap["epoch"] == again["epoch"], gap
            assert member.expect("chat", text="in the second epoch")["offset"] == again["offset"]
        until_all(members, lambda: all(m.online[room] == 3 for m in members), 5, "online is 3")
        until(lambda: _people(cluster, members, room) == [{u: 1 for u in USERS}] * 3, 5,
              "every register is back", every_s=0.1)
        reply = members[0].request("direct", to="carol", text="psst")
        assert reply["type"] == "ack", reply
        members[2].expect("direct", text="psst")


@test("main")
def while_redis_is_away_requests_get_unavailable_and_leave_succeeds(cluster):
    room, other = fresh("room"), fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        alice.join(other, "alice")
        cluster.redis.kill()
        started = time.monotonic()
        ids = {what: alice.ask(what, **data) for what, data in (
            ("chat", dict(room=room, text="x")), ("direct", dict(to="bob", text="x")),
            ("join", dict(room=fresh("room"), user="alice")))}
        left = alice.request("leave", room=other)
        assert left["type"] == "left" and time.monotonic() - started < 1, left
        for what, id_ in ids.items():
            reply = alice.reply_to(id_, 5)
            assert reply["type"] == "error", (what, reply)
            assert reply["data"]["code"] in ("unavailable", "unknown_outcome"), (what, reply)
            if reply["data"]["code"] == "unavailable":
                assert reply["data"]["retry_after"] > 0, reply
        assert time.monotonic() - started < 4, "answers within command_timeout"
        alice.ping()
        cluster.redis.start()
        _all_ready(cluster)
        _chat_until_acked(alice, room, "again")
        bob.expect("chat", text="again", timeout_s=5)


@test("main")
def a_chat_that_redis_comes_back_for_in_time_is_acked(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        cluster.redis.freeze()
        id_ = alice.ask("chat", room=room, text="patience")
        alice.idle(1)
        cluster.redis.thaw()
        assert alice.reply_to(id_)["type"] == "ack"
        bob.expect("chat", text="patience")
        _all_ready(cluster)


@test("main", long=True)
def a_message_beside_a_second_look_at_the_room_is_not_held_back(cluster):
    # After a gateway took a new id the rooms' states are read again. A message that is published just
    # before such a read, and arrives just after its answer, must be passed on all the same.
    room = fresh("room")
    with party(cluster.ports(3), room, *USERS) as members:
        for round_ in range(5):
            cluster.redis.call("DEL", "parley:gateways")
            until(lambda: cluster.redis.call("HLEN", "parley:gateways") == 3, 5, "the new ids are there")
            cluster.redis.freeze()
            id_ = members[0].ask("chat", room=room, text=f"round {round_}")
            members[0].idle(1.7)  # The second look falls into this time.
            cluster.redis.thaw()
            assert members[0].reply_to(id_)["type"] == "ack"
            for member in members:
                member.expect("chat", text=f"round {round_}", timeout_s=2)


@test("main")
def a_cut_subscription_loses_no_message(cluster):
    room = fresh("room")
    with party(cluster.ports(3), room, *USERS) as members:
        for round_ in range(3):
            ids = [members[0].ask("chat", room=room, text=f"{round_}-{n}") for n in range(10)]
            cluster.redis.call("CLIENT", "KILL", "TYPE", "pubsub")
            ids += [members[0].ask("chat", room=room, text=f"{round_}-{n}") for n in range(10, 20)]
            for id_ in ids:
                assert members[0].reply_to(id_, 8)["type"] == "ack"
            # The clients check that no offset is left out, but for a gap that is told.
            for member in members:
                member.expect("chat", text=f"{round_}-19", timeout_s=8)
            _all_ready(cluster)
        pump_all(members, 0.5)
        for member in members:
            assert member.online[room] == 3


@test("main")
def a_cut_command_link_gives_no_false_answer(cluster):
    room = fresh("room")
    with party(cluster.ports(3), room, *USERS) as members:
        acked, unknown = [], 0
        for round_ in range(3):
            ids = {members[0].ask("chat", room=room, text=f"{round_}-{n}"): f"{round_}-{n}"
                   for n in range(20)}
            cluster.redis.call("CLIENT", "KILL", "TYPE", "normal")
            for id_, text in ids.items():
                reply = members[0].reply_to(id_, 8)
                if reply["type"] == "ack":
                    acked.append((reply["data"]["offset"], text))
                else:
                    assert reply["data"]["code"] in ("unavailable", "unknown_outcome"), reply
                    unknown += 1
            _all_ready(cluster)
        last = _chat_until_acked(members[1], room, "last")
        for member in members:
            member.expect("chat", offset=last["offset"], timeout_s=8)
            seen = {m["offset"]: m["data"]["text"] for m in member.take_all("chat")}
            for offset, text in acked:
                assert seen.get(offset) == text, f"acked and not delivered: {offset} {text}"
        assert acked, "nothing was acked at all"


@test("main")
def a_flushed_redis_is_noticed_and_filled_again(cluster):
    room = fresh("room")
    with party(cluster.ports(3), room, *USERS) as members:
        members[0].chat(room, "before")
        for member in members:
            member.expect("chat", text="before")
        cluster.redis.call("FLUSHALL")
        cluster.redis.call("FUNCTION", "FLUSH")
        ack = _chat_until_acked(members[1], room, "after")
        for member in members:
            assert member.expect("chat", text="after", timeout_s=5)["offset"] == ack["offset"]
        until(lambda: _people(cluster, members, room) == [{u: 1 for u in USERS}] * 3, 10,
              "every register is back", every_s=0.2)
        until_all(members, lambda: all(m.online[room] == 3 for m in members), 5, "online is 3")


@test("main", fresh=True)
def gateways_that_start_before_redis_become_ready_when_it_comes(cluster):
    cluster.redis.kill()
    gateway = cluster.gateways[0]
    gateway.kill()
    gateway.start()
    until(lambda: gateway.readyz() == 503, 5, "alive and not ready")
    cluster.redis.start()
    _all_ready(cluster)
    with party(cluster.ports(3), "general", *USERS) as members:
        members[0].chat("general", "hello")
        members[2].expect("chat", text="hello")
