# SPDX-License-Identifier: MIT
"""Joining, chat, acks, keys, order, leaving: what protocol.md says of rooms."""

import time

from party import connections, fresh, party
from runner import test
from ws import Client, until_all

CLUSTERS = {
    "redis": dict(gateways=3, haproxy=False),
    "memory": dict(gateways=1, redis=False, haproxy=False),
}

STRANGE_TEXTS = {
    "emoji": "\U0001F600\U0001F1E9\U0001F1EA",
    "family": "\U0001F468\u200D\U0001F469\u200D\U0001F467",
    "right_to_left": "\u05e9\u05dc\u05d5\u05dd \u202eabc",
    "combining": "a" + "\u0301" * 100,
    "markup": "<script>alert('x')</script>&amp;\"",
    "backslashes": "\\u0041 \\n \\\\ /",
    "controls": "tab\t newline\n return\r bell\x07 delete\x7f",
    "separators": "line\u2028paragraph\u2029end",
    "format": "%s %n %b {} ${x}",
    "spaces": "   ",
}


@test("redis", "memory")
def welcome_says_who_and_where_one_is(cluster):
    room = fresh("room")
    with Client(cluster.gateways[0].port) as alice:
        data = alice.join(room, "alice")
        assert data["user"] == "alice" and data["online"] == 1, data
        assert data["offset"] == 0 and data["recovered"] is False, data
        assert len(data["epoch"]) == 16 and data["heartbeat"] == 25, data
        assert data["gateway"].startswith("gw-1"), data
        assert data["connection"], data


@test("redis", "memory")
def a_reply_repeats_the_id_as_it_was_given(cluster):
    room = fresh("room")
    with Client(cluster.gateways[0].port) as alice:
        for id_ in ("a", "7", 7, 0, 2**53 - 1, "x" * 64, "\u00e4\"\\"):
            alice.send("join", id=id_, room=room, user="alice")
            reply = alice.expect("welcome")
            assert reply["id"] == id_ and type(reply["id"]) is type(id_), reply
            alice.send("ping", id=id_)
            assert alice.expect("pong")["id"] == id_


@test("redis", "memory")
def an_id_of_a_wrong_kind_is_refused(cluster):
    with Client(cluster.gateways[0].port) as alice:
        for text in ('{"type":"ping","id":"%s"}' % ("x" * 65), '{"type":"ping","id":1.5}',
                     '{"type":"ping","id":{}}', '{"type":"ping","id":true}',
                     '{"type":"ping","id":[1]}', '{"type":"ping","id":null}'):
            alice.send_text(text)
            error = alice.expect("error")
            assert error["data"]["code"] in ("bad_envelope", "too_long"), (text, error)
        alice.ping()


@test("redis", "memory")
def a_connection_is_a_member_of_several_rooms(cluster):
    one, two = fresh("room"), fresh("room")
    with party(cluster.ports(2), one, "alice", "bob") as (alice, bob):
        alice.join(two, "alice")
        bob.join(two, "bob")
        bob.chat(one, "in one")
        bob.chat(two, "in two")
        assert alice.expect("chat", room=one)["data"]["text"] == "in one"
        assert alice.expect("chat", room=two)["data"]["text"] == "in two"


@test("redis", "memory")
def joining_again_is_a_fresh_welcome_and_one_membership(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        assert bob.chat(room, "first")["offset"] == 1
        alice.expect("chat", offset=1)
        again = alice.join(room, "alice")
        assert again["offset"] == 1 and again["online"] == 2, again
        bob.chat(room, "second")
        alice.expect("chat", offset=2)
        alice.ping()
        assert not alice.take_all("chat"), "a member twice gets messages twice"


@test("redis", "memory")
def chat_without_a_room_goes_to_the_room_joined_last(cluster):
    one, two = fresh("room"), fresh("room")
    with party(cluster.ports(2), one, "alice", "bob") as (alice, bob):
        alice.join(two, "alice")
        reply = alice.request("chat", text="where am I")
        assert reply["data"]["room"] == two, reply
        alice.join(one, "alice")
        assert alice.request("chat", text="and now")["data"]["room"] == one
        assert bob.expect("chat")["data"]["text"] == "and now"


@test("redis", "memory")
def an_ack_comes_only_with_an_id(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "alice") as (alice,):
        alice.send("chat", room=room, text="no id")
        alice.expect("chat", text="no id")
        alice.send("signal", room=room, kind="typing")
        alice.ping()
        assert not alice.take_all("ack")
        ack = alice.chat(room, "with id")
        chat = alice.expect("chat", text="with id")
        assert (ack["room"], ack["offset"], ack["ts"]) == (room, chat["offset"], chat["data"]["ts"])
        assert len(ack["epoch"]) == 16 and abs(ack["ts"] - time.time()) < 5, ack


@test("redis", "memory")
def the_sender_gets_its_own_message_too(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        alice.chat(room, "hello")
        for client in (alice, bob):
            data = client.expect("chat")["data"]
            assert (data["from"], data["text"], data["room"]) == ("alice", "hello", room)


@test("redis", "memory")
def a_key_publishes_once_and_repeats_the_first_offset(cluster):
    room = fresh("room")
    with party(cluster.ports(3), room, "alice", "alice", "bob") as (alice, tab, bob):
        first = alice.chat(room, "pay 5", key="k1")
        again = alice.chat(room, "pay 5", key="k1")
        elsewhere = tab.chat(room, "pay 5", key="k1")
        assert (first["epoch"], first["offset"]) == (again["epoch"], again["offset"])
        assert (first["epoch"], first["offset"]) == (elsewhere["epoch"], elsewhere["offset"])
        other_user = bob.chat(room, "pay 5", key="k1")
        assert other_user["offset"] == first["offset"] + 1, "keys of different users never meet"
        other_key = alice.chat(room, "done", key="k2")
        for client in (alice, tab, bob):
            client.expect("chat", offset=other_key["offset"])
            assert [m["data"]["from"] for m in client.take_all("chat")] == ["alice", "bob"]


@test("redis", "memory")
def a_key_used_for_another_text_is_acked_with_the_first_and_says_nothing(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        first = alice.chat(room, "the first", key="k")
        other = alice.chat(room, "another text", key="k")
        assert (other["epoch"], other["offset"]) == (first["epoch"], first["offset"]), other
        last = alice.chat(room, "last")
        bob.expect("chat", offset=last["offset"])
        assert [m["data"]["text"] for m in bob.take_all("chat")] == ["the first"]


@test("redis", "memory")
def a_key_repeated_in_one_burst_publishes_once(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        ids = [alice.ask("chat", room=room, text="again", key="same") for _ in range(5)]
        offsets = {alice.reply_to(i)["data"]["offset"] for i in ids}
        assert len(offsets) == 1, offsets
        last = alice.chat(room, "last")
        bob.expect("chat", offset=last["offset"])
        assert len(bob.take_all("chat")) == 1


@test("redis", "memory")
def a_key_counts_in_its_own_room_only(cluster):
    one, two = fresh("room"), fresh("room")
    with party(cluster.ports(1), one, "alice") as (alice,):
        alice.join(two, "alice")
        alice.chat(one, "x", key="k")
        alice.chat(two, "x", key="k")
        assert alice.expect("chat", room=one) and alice.expect("chat", room=two)


@test("redis", "memory")
def a_key_of_a_wrong_kind_is_refused(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "alice") as (alice,):
        for key in ("", "x" * 65, "a\nb", 7, {}, None):
            error = alice.error_of("chat", room=room, text="x", key=key)
            assert error["code"] in ("bad_envelope", "too_long"), (key, error)
        assert not alice.take_all("chat")
        assert alice.chat(room, "x", key="x" * 64)["offset"] == 1


@test("redis", "memory")
def offsets_are_consecutive_from_one(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "alice") as (alice,):
        ids = [alice.ask("chat", room=room, text=str(n)) for n in range(50)]
        acks = [alice.reply_to(i)["data"] for i in ids]
        assert [a["offset"] for a in acks] == list(range(1, 51))
        assert len({a["epoch"] for a in acks}) == 1
        alice.expect("chat", text="49")
        assert [m["data"]["text"] for m in alice.take_all("chat")] == [str(n) for n in range(49)]


@test("redis", "memory")
def every_member_on_every_gateway_sees_one_order(cluster):
    room, each = fresh("room"), 60
    with party(cluster.ports(3), room, "alice", "bob", "carol") as members:
        for n in range(each):
            for member in members:
                member.send("chat", room=room, text=f"{n}")
        until_all(members, lambda: all(
            sum(m["type"] == "chat" for m in c.inbox) == 3 * each for c in members), 20,
            "everybody has every message")
        seen = [[(m["offset"], m["data"]["from"], m["data"]["text"]) for m in c.take_all("chat")]
                for c in members]
        assert seen[0] == seen[1] == seen[2]
        for user in ("alice", "bob", "carol"):
            texts = [text for _, sender, text in seen[0] if sender == user]
            assert texts == [str(n) for n in range(each)], "one sender's messages keep their order"


@test("redis", "memory")
def text_passes_unchanged(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        for name, text in STRANGE_TEXTS.items():
            alice.chat(room, text)
            got = bob.expect("chat")["data"]["text"]
            assert got == text, (name, got)


@test("redis", "memory")
def meta_is_passed_on_as_it_was_meant(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        alice.send_text('{"type":"chat","data":{"room":"%s","text":"m","meta":{\n "b" : [1, 2.50 ],'
                        '\t"a":{"c":null}, "s": "x  y", "n": 1e2 } } }' % room)
        meta = bob.expect("chat")["data"]["meta"]
        assert meta == {"b": [1, 2.5], "a": {"c": None}, "s": "x  y", "n": 100}, meta
        for wrong in ([1], "text", 7, True):
            error = alice.error_of("chat", room=room, text="m", meta=wrong)
            assert error["code"] == "bad_envelope", (wrong, error)


@test("redis", "memory")
def from_ts_and_offset_of_a_client_are_not_believed(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        alice.send_json({"type": "chat", "offset": 77, "ts": 5, "from": "bob",
                         "data": {"room": room, "text": "x", "from": "bob", "ts": 5, "offset": 9}})
        chat = bob.expect("chat")
        assert chat["offset"] == 1 and chat["data"]["from"] == "alice", chat
        assert abs(chat["data"]["ts"] - time.time()) < 5 and "offset" not in chat["data"], chat


@test("redis", "memory")
def after_leave_nothing_of_the_room_arrives(cluster):
    room, other = fresh("room"), fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        for client, user in ((alice, "alice"), (bob, "bob")):
            client.join(other, user)
        reply = alice.request("leave", room=room)
        assert reply["type"] == "left" and reply["data"]["room"] == room, reply
        bob.wait_online(room, 1)
        bob.chat(room, "without alice")
        bob.chat(other, "with alice")
        alice.expect("chat", room=other)  # The client itself refuses what comes of a room it left.
        error = alice.error_of("chat", room=room, text="x")
        assert error["code"] == "not_joined", error


@test("redis", "memory")
def one_can_come_back_after_leaving(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        alice.request("leave", room=room)
        bob.wait_online(room, 1)
        bob.chat(room, "missed")
        welcome = alice.join(room, "alice")
        assert welcome["offset"] == 1 and welcome["online"] == 2, welcome
        bob.chat(room, "seen")
        assert alice.expect("chat")["offset"] == 2


@test("redis", "memory")
def signals_go_to_the_other_members_and_never_to_the_sender(cluster):
    room = fresh("room")
    with party(cluster.ports(3), room, "alice", "alice", "bob") as (alice, tab, bob):
        reply = alice.request("signal", room=room, kind="typing", meta={"on": True})
        assert reply["type"] == "ack", reply
        for other in (tab, bob):
            data = other.expect("signal")["data"]
            assert (data["from"], data["kind"], data["meta"]) == ("alice", "typing", {"on": True})
        bob.chat(room, "after the signal")
        alice.expect("chat", text="after the signal")
        assert not alice.take_all("signal"), "the sender got its own signal"
        bob.take_all("chat")
        assert not [m for m in bob.inbox if "offset" in m], "a signal has no offset"


@test("redis", "memory")
def a_signal_is_not_stored_and_takes_no_offset(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        alice.request("signal", room=room, kind="typing")
        bob.expect("signal")
        assert alice.chat(room, "first")["offset"] == 1


@test("redis", "memory")
def ping_is_answered_and_pong_is_not(cluster):
    with Client(cluster.gateways[0].port) as alice:
        alice.send_text('{"type":"pong"}')
        alice.send_text('{"type":"pong","data":{}}')
        alice.send_text('{"type":"ping"}')
        assert "id" not in alice.expect("pong")
        alice.ping()
        assert not alice.inbox, alice.inbox


@test("redis", "memory")
def the_subprotocol_is_echoed_when_offered(cluster):
    port = cluster.gateways[0].port
    with Client(port, protocols=["parley.v1"]) as alice:
        assert alice.response.headers.get("sec-websocket-protocol") == "parley.v1"
        alice.ping()
    with Client(port, protocols=["other", "parley.v1"]) as alice:
        assert alice.response.headers.get("sec-websocket-protocol") == "parley.v1"
    with Client(port) as alice:
        assert "sec-websocket-protocol" not in alice.response.headers


@test("redis", "memory")
def a_query_after_the_path_is_allowed(cluster):
    with Client(cluster.gateways[0].port, path="/ws?x=1&y") as alice:
        alice.ping()


@test("redis", "memory")
def since_never_harms_whatever_it_holds(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "alice") as (alice,):
        ack = alice.chat(room, "one")
        places = [{"epoch": ack["epoch"], "offset": 1}, {"epoch": "unknown", "offset": 1},
                  {"epoch": ack["epoch"], "offset": 10**9}, {"epoch": ack["epoch"], "offset": -1},
                  {"epoch": ack["epoch"], "offset": 2**63}, {"epoch": ack["epoch"], "offset": "1"},
                  {"epoch": 7, "offset": 1}, {}, 7, None, [], {"epoch": "x" * 5000, "offset": 1}]
        for place in places:
            reply = alice.request("join", room=room, user="alice", since=place)
            assert reply["type"] in ("welcome", "error"), reply
            if reply["type"] == "error":
                assert reply["data"]["code"] in ("bad_envelope", "too_long"), reply
        alice.chat(room, "still there")


@test("redis")
def a_user_may_be_on_several_pages(cluster):
    room = fresh("room")
    with connections(cluster.ports(4), 4) as tabs:
        for n, tab in enumerate(tabs):
            tab.join(room, "alice")
            tab.wait_online(room, n + 1)
        tabs[0].chat(room, "to all my pages")
        for tab in tabs:
            tab.expect("chat", text="to all my pages")
