# SPDX-License-Identifier: MIT
"""Direct messages: to every connection of a user, on any gateway, and to nobody else."""

import time

from party import connections, fresh, party
from runner import test
from ws import Client
from wait import until

CLUSTERS = {
    "redis": dict(gateways=3, haproxy=False),
    "memory": dict(gateways=1, redis=False, haproxy=False),
}


@test("redis", "memory")
def a_direct_message_reaches_every_connection_of_its_addressee(cluster):
    room, other = fresh("room"), fresh("room")
    alice_name, bob_name = fresh("alice"), fresh("bob")
    with party(cluster.ports(2), room, alice_name, "carol") as (alice, carol), \
            connections(cluster.ports(3), 3) as tabs:
        for tab in tabs:
            tab.join(other, bob_name)
        reply = alice.request("direct", to=bob_name, text="psst", meta={"n": 1})
        assert reply["type"] == "ack" and reply["data"]["to"] == bob_name, reply
        for tab in tabs:
            message = tab.expect("direct")
            data = message["data"]
            assert (data["from"], data["to"], data["text"]) == (alice_name, bob_name, "psst")
            assert data["meta"] == {"n": 1} and abs(data["ts"] - time.time()) < 5, data
            assert "offset" not in message, message
        for outsider in (carol, alice):
            outsider.ping()
            assert not outsider.take_all("direct"), "only the addressee gets it"


@test("redis", "memory")
def a_direct_message_comes_once_however_many_rooms_are_shared(cluster):
    rooms, bob_name = [fresh("room") for _ in range(3)], fresh("bob")
    with party(cluster.ports(2), rooms[0], fresh("alice"), bob_name) as (alice, bob):
        for room in rooms[1:]:
            bob.join(room, bob_name)
        alice.request("direct", to=bob_name, text="once")
        bob.expect("direct")
        alice.request("direct", to=bob_name, text="barrier")
        assert bob.expect("direct")["data"]["text"] == "barrier"


@test("redis", "memory")
def a_thousand_addressees_get_a_thousand_answers(cluster):
    # P11: some are there, on all gateways and in a room of their own, most are not.
    names = [fresh("bob") for _ in range(1000)]
    with party(cluster.ports(1), fresh("room"), fresh("alice")) as (alice,), \
            connections(cluster.ports(3), 20) as present:
        for client, name in zip(present, names):
            client.join(fresh("room"), name)
        alice.timeout_s = 20
        ids = [alice.ask("direct", to=name, text=name) for name in reversed(names)]
        for id_, name in zip(ids, reversed(names)):
            data = alice.reply_to(id_)["data"]
            there = name in names[:len(present)]
            assert data == {"to": name} if there else data["code"] == "not_online", (name, data)
        for client, name in zip(present, names):
            assert client.expect("direct")["data"]["text"] == name
            client.ping()
            assert not client.take_all("direct"), "what was meant for another"


@test("redis", "memory")
def nobody_there_is_not_online(cluster):
    with party(cluster.ports(1), fresh("room"), fresh("alice")) as (alice,):
        error = alice.error_of("direct", to=fresh("nobody"), text="x")
        assert error["code"] == "not_online", error
        # Without an id an error is still told.
        alice.send("direct", to=fresh("nobody"), text="x")
        assert alice.expect("error")["data"]["code"] == "not_online"


@test("redis", "memory")
def one_can_write_to_oneself(cluster):
    name = fresh("alice")
    with party(cluster.ports(2), fresh("room"), name, name) as (alice, tab):
        alice.request("direct", to=name, text="note")
        assert tab.expect("direct")["data"]["text"] == "note"
        assert alice.expect("direct")["data"]["from"] == name


@test("redis", "memory")
def after_the_last_connection_left_the_user_is_not_online(cluster):
    bob_name = fresh("bob")
    with party(cluster.ports(1), fresh("room"), fresh("alice")) as (alice,):
        with Client(cluster.ports(2)[1]) as bob:
            bob.join(fresh("room"), bob_name)
            assert alice.request("direct", to=bob_name, text="x")["type"] == "ack"
        until(lambda: alice.request("direct", to=bob_name, text="x")["type"] == "error", 3,
              "bob is not online any more")


@test("redis", "memory")
def a_key_passes_a_direct_message_on_once(cluster):
    alice_name, bob_name = fresh("alice"), fresh("bob")
    with party(cluster.ports(3), fresh("room"), alice_name, alice_name, bob_name) as (alice, tab, bob):
        for sender in (alice, alice, tab):
            assert sender.request("direct", to=bob_name, text="x", key="k")["type"] == "ack"
        alice.request("direct", to=bob_name, text="last")
        bob.expect("direct", text="last")
        assert len(bob.take_all("direct")) == 1


@test("redis", "memory")
def one_pair_of_users_keeps_its_order(cluster):
    bob_name = fresh("bob")
    with party(cluster.ports(2), fresh("room"), fresh("alice"), bob_name) as (alice, bob):
        for n in range(50):
            alice.send("direct", to=bob_name, text=str(n))
        assert [bob.expect("direct")["data"]["text"] for _ in range(50)] == [str(n) for n in range(50)]


@test("redis", "memory")
def without_a_name_one_cannot_write(cluster):
    bob_name = fresh("bob")
    with party(cluster.ports(1), fresh("room"), bob_name) as (bob,), \
            Client(cluster.ports(1)[0]) as stranger:
        error = stranger.error_of("direct", to=bob_name, text="x")
        assert error["code"] in ("not_joined", "bad_user", "unauthorized"), error
        bob.ping()
        assert not bob.take_all("direct")


@test("redis", "memory")
def a_wrong_addressee_is_bad_user(cluster):
    with party(cluster.ports(1), fresh("room"), fresh("alice")) as (alice,):
        for to in ("", "x" * 65, "a\nb", "{x}", " x", "x "):
            assert alice.error_of("direct", to=to, text="x")["code"] == "bad_user", to
        for to in (7, None, ["bob"], {}):
            assert alice.error_of("direct", to=to, text="x")["code"] in ("bad_user", "bad_envelope")
