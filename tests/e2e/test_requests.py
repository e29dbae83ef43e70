# SPDX-License-Identifier: MIT
"""Requests that are out of place: not joined, unknown, of the server, wrong texts."""

from party import connections, fresh, party
from runner import test
from wait import until
from ws import Client

CLUSTERS = {"redis": dict(gateways=2, haproxy=False),
            "memory": dict(gateways=1, redis=False, haproxy=False)}


@test("redis", "memory")
def before_a_join_one_cannot_speak(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "alice") as (alice,), Client(cluster.ports(2)[1]) as stranger:
        assert stranger.error_of("chat", text="x")["code"] == "not_joined"
        assert stranger.error_of("chat", room=room, text="x")["code"] == "not_joined"
        assert stranger.error_of("signal", room=room, kind="typing")["code"] == "not_joined"
        alice.ping()
        assert not alice.take_all("chat") and not alice.take_all("signal")


@test("redis", "memory")
def leaving_a_room_one_is_not_in_succeeds(cluster):
    with party(cluster.ports(1), fresh("room"), "alice") as (alice,):
        reply = alice.request("leave", room=fresh("elsewhere"))
        assert reply["type"] == "left", reply
        assert alice.error_of("leave")["code"] in ("bad_room", "bad_envelope")


@test("redis", "memory")
def an_unknown_type_is_told_and_the_connection_stays(cluster):
    with party(cluster.ports(1), fresh("room"), "alice") as (alice,):
        for type_ in ("shout", "Chat", "chat ", "join\n", "\u2603", "publish", "parley1_publish"):
            assert alice.error_of(type_)["code"] == "unknown_type", type_
        alice.ping()


@test("redis", "memory")
def types_of_the_gateway_are_unknown_from_a_client(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        for type_ in ("welcome", "ack", "error", "gap", "bye", "left"):
            error = alice.error_of(type_, room=room, online=99, code="x", message="y")
            assert error["code"] == "unknown_type", (type_, error)
        bob.ping()
        assert not bob.take_all("gap") and not bob.take_all("welcome")


@test("redis", "memory")
def a_presence_of_a_client_is_a_question_whatever_it_claims(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        reply = alice.request("presence", room=room, online=99, joined=["eve"], left=["bob"])
        assert reply["type"] == "presence" and reply["data"]["online"] == 2, reply
        bob.ping()
        assert bob.others(room) in ({}, {"alice": 1}) and bob.online[room] == 2, bob.people[room]


@test("redis", "memory")
def requests_that_need_data_are_refused_without(cluster):
    with party(cluster.ports(1), fresh("room"), "alice") as (alice,):
        for type_ in ("join", "leave", "chat", "direct", "signal", "presence", "history"):
            assert alice.error_of(type_)["code"] == "bad_envelope", type_
        for type_ in ("ping", "pong"):
            alice.send_text('{"type":"%s"}' % type_)
        alice.expect("pong")


@test("redis", "memory")
def texts_are_checked(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        assert alice.error_of("chat", room=room, text="")["code"] == "bad_text"
        assert alice.error_of("direct", to="bob", text="")["code"] == "bad_text"
        for text in (7, None, True, [], {}, ["x"]):
            error = alice.error_of("chat", room=room, text=text)
            assert error["code"] in ("bad_text", "bad_envelope"), (text, error)
        assert alice.error_of("chat", room=room)["code"] in ("bad_text", "bad_envelope")
        assert alice.error_of("direct", to="bob")["code"] in ("bad_text", "bad_envelope")
        assert alice.chat(room, " ")["offset"] == 1, "spaces are a text"
        bob.expect("chat", text=" ")
        assert not bob.inbox or all(m["type"] == "presence" for m in bob.inbox), bob.inbox


@test("redis", "memory")
def the_longest_message_passes_to_everybody(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        text = "x" * (16 * 1024 - 200)
        alice.chat(room, text)
        assert bob.expect("chat")["data"]["text"] == text
        # What is escaped grows on its way: the limit is on what a client sends.
        text = "\x07" * 2500
        alice.chat(room, text)
        assert bob.expect("chat")["data"]["text"] == text


@test("redis", "memory")
def a_pong_with_any_content_is_ignored(cluster):
    with party(cluster.ports(1), fresh("room"), "alice") as (alice,):
        for text in ('{"type":"pong","id":99}', '{"type":"pong","data":{"x":1}}'):
            alice.send_text(text)
        alice.send_text('{"type":"ping"}' )
        alice.expect("pong")
        assert not [m for m in alice.inbox if m["type"] != "presence"], alice.inbox


@test("redis", "memory")
def a_message_to_a_room_that_just_emptied_harms_nobody(cluster):
    room = fresh("room")
    for n in range(20):
        with connections(cluster.ports(2), 2) as (alice, bob):
            alice.join(room, "alice")
            bob.join(room, "bob")
            alice.send("chat", room=room, text=str(n))
            bob.send("leave", room=room)
            alice.send("leave", room=room)
            alice.expect("left")
            bob.expect("left")
    with Client(cluster.ports(1)[0]) as carol:
        welcome = carol.join(room, "carol")
        assert welcome["offset"] <= 20, welcome
        assert carol.chat(room, "on")["offset"] == welcome["offset"] + 1


@test("redis", "memory")
def requests_are_answered_in_a_burst_without_waiting(cluster):
    room = fresh("room")
    with Client(cluster.ports(1)[0]) as alice:
        # The join has not been answered when the rest is already there.
        ids = [alice.ask("join", room=room, user="alice"), alice.ask("ping"),
               alice.ask("chat", room=room, text="early"), alice.ask("chat", text="second")]
        replies = [alice.reply_to(i) for i in ids]
        assert [r["type"] for r in replies[:2]] == ["welcome", "pong"], replies
        for reply in replies[2:]:
            assert reply["type"] == "ack" or reply["data"]["code"] == "not_joined", reply


@test("redis", "memory")
def a_connection_that_ends_while_it_joins_leaves_nothing(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "watcher") as (watcher,):
        for n in range(40):
            client = Client(cluster.ports(2)[1])
            client.send("join", room=room, user=f"user-{n}")
            client.reset() if n % 2 else client.close()
        until(lambda: watcher.request("presence", room=room)["data"]["members"] == [
            {"user": "watcher", "connections": 1}], 5, "only the watcher is left", every_s=0.1)
        watcher.wait_online(room, 1)


@test("redis", "memory")
def reset_connections_with_unread_messages_harm_nobody(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "alice") as (alice,):
        for n in range(30):
            client = Client(cluster.ports(2)[1])
            client.join(room, "bob")
            for _ in range(5):
                alice.send("chat", room=room, text="x" * 2000)
            client.reset()
        last = alice.chat(room, "last")
        alice.expect("chat", offset=last["offset"])
        alice.wait_online(room, 1)
