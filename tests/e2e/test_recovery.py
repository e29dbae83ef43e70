# SPDX-License-Identifier: MIT
"""Coming back with `since`, joining with `history`, asking for it: what was missed, once and in order."""

import threading

from party import fresh, party
from runner import test
from ws import Client

SETTINGS = {"room.history_size": "200"}
CLUSTERS = {
    "redis": dict(gateways=2, haproxy=False, settings=SETTINGS),
    "memory": dict(gateways=1, redis=False, haproxy=False, settings=SETTINGS),
    "short": dict(gateways=1, redis=False, haproxy=False, settings={"room.history_size": "5"}),
    "big": dict(gateways=1, redis=False, haproxy=False, settings=SETTINGS),
    "none": dict(gateways=1, redis=False, haproxy=False, settings={"room.history_size": "0"}),
}


def _texts(client, count):
    return [client.expect("chat")["data"]["text"] for _ in range(count)]


def _place(ack):
    return {"epoch": ack["epoch"], "offset": ack["offset"]}


@test("redis", "memory")
def who_comes_back_hears_each_missed_message_once_and_then_live_ones(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        seen = _place(alice.chat(room, "0"))
        bob.expect("chat", text="0")
        bob.close()
        for n in range(1, 71):
            alice.chat(room, str(n))
        with Client(cluster.ports(2)[-1]) as again:
            welcome = again.join(room, "bob", since=seen)
            assert welcome["recovered"] is True and welcome["offset"] == seen["offset"] + 70, welcome
            alice.chat(room, "live")
            assert _texts(again, 71) == [str(n) for n in range(1, 71)] + ["live"]
            assert not again.take_all("gap")


@test("redis", "memory")
def who_missed_nothing_is_recovered_at_once(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        seen = _place(alice.chat(room, "0"))
        bob.expect("chat", text="0")
        bob.close()
        with Client(cluster.ports(2)[-1]) as again:
            assert again.join(room, "bob", since=seen)["recovered"] is True
            again.expect_nothing(("chat", "gap"), 0.3)


@test("redis", "memory")
def another_epoch_is_told_as_a_reset(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "alice") as (alice,):
        alice.chat(room, "0")
        with Client(cluster.ports(1)[0]) as bob:
            welcome = bob.join(room, "bob", since={"epoch": "0123456789abcdef", "offset": 1})
            assert welcome["recovered"] is False, welcome
            gap = bob.expect("gap")["data"]
            assert (gap["why"], gap["from"], gap["to"]) == ("reset", 0, welcome["offset"]), gap
            assert gap["epoch"] == welcome["epoch"], gap


@test("short")
def what_is_not_kept_any_more_is_told_as_a_gap_and_the_rest_is_replayed(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "alice") as (alice,):
        seen = _place(alice.chat(room, "0"))
        for n in range(1, 400):
            alice.chat(room, str(n))
        with Client(cluster.ports(1)[0]) as bob:
            welcome = bob.join(room, "bob", since=seen)
            assert welcome["recovered"] is False, welcome
            gap = bob.expect("gap")["data"]
            assert gap["why"] == "history" and gap["from"] == seen["offset"] + 1, gap
            kept = welcome["offset"] - gap["to"]
            assert kept >= 5, gap
            assert _texts(bob, kept) == [str(n) for n in range(400 - kept, 400)]


@test("redis", "memory")
def history_on_joining_gives_the_newest_messages_in_order(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "alice") as (alice,):
        for n in range(10):
            alice.chat(room, str(n))
        with Client(cluster.ports(2)[-1]) as bob:
            assert bob.join(room, "bob", history=4)["offset"] == 10
            alice.chat(room, "live")
            assert _texts(bob, 5) == ["6", "7", "8", "9", "live"]
        with Client(cluster.ports(1)[0]) as carol:
            carol.join(room, "carol", history=1000)
            assert _texts(carol, 11) == [str(n) for n in range(10)] + ["live"]
        with Client(cluster.ports(1)[0]) as dave:
            dave.join(room, "dave", history=0)
            dave.expect_nothing(("chat", "gap"), 0.3)


@test("redis", "memory")
def the_history_can_be_read_backwards_in_pages(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        for n in range(25):
            alice.chat(room, str(n))
        bob.expect("chat", text="24")
        found, before = [], None
        while True:
            wish = {"limit": 10} | ({"before": before} if before else {})
            page = bob.request("history", room=room, **wish)
            assert page["type"] == "history", page
            messages = page["data"]["messages"]
            assert all(m["type"] == "chat" and m["data"]["room"] == room for m in messages), page
            found = [m["data"]["text"] for m in messages] + found
            if not page["data"]["more"]:
                break
            before = messages[0]["offset"]
        assert found == [str(n) for n in range(25)], found
        for wish in ({"limit": 0}, {"limit": 257}, {"limit": "x"}, {"before": -1}):
            assert bob.error_of("history", room=room, **wish)["code"] == "bad_envelope", wish
        assert bob.error_of("history", room=fresh("room"))["code"] == "not_joined"
        assert bob.request("history", room=room, before=1)["data"]["messages"] == []
        assert bob.request("history", room=room, before=10**12)["data"]["messages"][-1]["offset"] == 25


@test("big")
def a_replay_larger_than_the_hard_limit_reaches_a_reader_that_reads(cluster):
    room, text = fresh("room"), "x" * 15000
    with party(cluster.ports(1), room, "alice") as (alice,):
        seen = _place(alice.chat(room, "0"))
        for n in range(150):  # 2 MB; backlog_hard is 1 MB
            alice.chat(room, f"{n} {text}")
        with Client(cluster.ports(1)[0]) as bob:
            assert bob.join(room, "bob", since=seen)["recovered"] is True
            assert [t.split()[0] for t in _texts(bob, 150)] == [str(n) for n in range(150)]
            for _ in range(4):
                pages = [bob.ask("history", room=room, limit=100) for _ in range(3)]
                for id_ in pages:
                    page = bob.reply_to(id_)["data"]
                    assert page["more"] and len(page["messages"]) >= 15, len(page["messages"])


@test("none")
def without_history_nothing_is_replayed_and_the_gap_is_told(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "alice") as (alice,):
        seen = _place(alice.chat(room, "0"))
        alice.chat(room, "1")
        assert alice.error_of("history", room=room)["code"] == "history_disabled"
        with Client(cluster.ports(1)[0]) as bob:
            assert bob.join(room, "bob", since=seen)["recovered"] is False
            gap = bob.expect("gap")["data"]
            assert (gap["why"], gap["from"], gap["to"]) == ("history", 2, 2), gap


@test("redis", "memory")
def resuming_while_others_speak_leaves_no_hole_and_repeats_nothing(cluster):
    # The client checks every offset it hears: see tests/lib/promises.py.
    room = fresh("room")
    stop = threading.Event()
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        last = _place(alice.chat(room, "0"))
        bob.close()

        def speak():
            while not stop.is_set():
                alice.chat(room, "more")
        speaker = threading.Thread(target=speak)
        speaker.start()
        try:
            for n in range(15):
                with Client(cluster.ports(2)[n % len(cluster.ports(2))]) as again:
                    assert again.join(room, "bob", since=last)["recovered"] is True
                    heard = [again.expect("chat")["offset"] for _ in range(8)]
                    assert heard == list(range(last["offset"] + 1, last["offset"] + 9)), (last, heard)
                    last["offset"] = heard[-1]
        finally:
            stop.set()
            speaker.join()
