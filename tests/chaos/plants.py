# SPDX-License-Identifier: MIT
"""Planted faults: each function takes the events of sound.py and breaks one promise."""

from sound import E1, ROOM

PLANTED = []


def plant(rule):
    """Registers a function as something that this rule must find."""
    def register(function):
        PLANTED.append((rule, function))
        return function
    return register


def find(events, kind, client=None, **members):
    for event in events:
        if event["k"] == kind and (client is None or event.get("c") == client) and \
                all(event.get(name) == value for name, value in members.items()):
            return event
    raise AssertionError(f"no {kind} {client} {members} in the sound record")


def drop(events, *args, **members):
    events.remove(find(events, *args, **members))


def beside(events, event, new, after=0):
    """Puts a new event before that one, or after it."""
    events.insert(events.index(event) + after, {**new, "t": event["t"]})


@plant("C0")
def nothing_acked(e):
    e[:] = [event for event in e if event["k"] != "ack"]


@plant("C0")
def no_barrier(e):
    drop(e, "final")


@plant("C0")
def nobody_at_the_end(e):
    e[:] = [event for event in e if event["k"] != "end"]


@plant("C0")
def presence_never_compared(e):
    e[:] = [event for event in e if event["k"] not in ("settling", "settled", "reading")]


@plant("C0")
def broken_frame(e):
    beside(e, find(e, "recv", "bob"), {"k": "wrong", "c": "bob", "n": 1, "what": "not JSON"})


@plant("C1")
def lost_at_the_end(e):
    drop(e, "recv", "bob", h="last")


@plant("C1")
def lost_in_a_resume_that_recovered(e):
    for h in ("m6", "m7"):
        drop(e, "recv", "carol", h=h)


@plant("C1")
def lost_by_everybody(e):
    e[:] = [event for event in e if event["k"] != "recv" or event["h"] != "m3"]


@plant("C1")
def not_recovered_without_reason(e):
    find(e, "welcome", "carol", n=2)["recovered"] = False


@plant("C1")
def reset_without_a_loss(e):
    drop(e, "loss")


@plant("C1")
def acked_and_gone_in_a_reset(e):
    """The loss ended before that was acked."""
    loss = find(e, "loss")
    loss["to"] = loss["from"]


@plant("C1")
def skipped_though_the_history_has_it(e):
    find(e, "gap", "carol", why="slow")["why"] = "history"


@plant("C1")
def skipped_though_nobody_is_slow(e):
    del find(e, "run")["bounds"]["slow_readers"]


@plant("C2")
def delivered_twice(e):
    again = {**find(e, "recv", "bob", h="m3"), "offset": 4}
    beside(e, find(e, "recv", "bob", h="m4"), again)


@plant("C2")
def direct_twice(e):
    first = find(e, "direct", "bob")
    beside(e, first, first)


@plant("C2")
def direct_twice_though_its_key_is_kept(e):
    """The loss begins only after what was heard first."""
    loss = find(e, "loss")
    loss["from"] = find(e, "direct", "bob", h="d2")["t"] + 1


@plant("C3")
def two_texts_in_one_place(e):
    find(e, "recv", "bob", h="m4")["h"] = "m1"


@plant("C3")
def an_offset_used_again(e):
    """As a Redis that was rolled back would: the same epoch, an old offset."""
    for event in e:
        if event.get("h") == "m7" and "offset" in event:
            event["offset"] = 6


@plant("C4")
def skipped_without_a_word(e):
    drop(e, "gap", "carol", why="slow")


@plant("C4")
def not_recovered_without_a_word(e):
    drop(e, "gap", "carol", why="history")


@plant("C4")
def a_hole_in_a_resume(e):
    drop(e, "recv", "carol", h="m6")


@plant("C4")
def back_in_time(e):
    first, second = find(e, "recv", "carol", h="m1"), find(e, "recv", "carol", h="m2")
    first["h"], second["h"] = second["h"], first["h"]
    first["offset"], second["offset"] = second["offset"], first["offset"]


@plant("C4")
def reset_within_an_epoch(e):
    find(e, "gap", "bob", why="reset")["epoch"] = E1


@plant("C4")
def back_to_an_old_epoch(e):
    last = find(e, "recv", "bob", h="m25")
    beside(e, last, {"k": "gap", "c": "bob", "n": 1, "room": ROOM, "epoch": E1, "from": 0, "to": 24, "why": "reset"})


@plant("C4")
def a_welcome_that_goes_back(e):
    welcome = find(e, "welcome", "carol", n=3)
    welcome["offset"] = 9


@plant("C5")
def invented(e):
    drop(e, "send", "bob", h="m7")


@plant("C5")
def another_sender(e):
    find(e, "recv", "carol", h="m24")["from"] = "mallory"


@plant("C5")
def heard_before_it_was_said(e):
    send = find(e, "send", "bob", h="m25")
    recv = find(e, "recv", "alice", h="m25")
    e.remove(send)
    beside(e, recv, send, after=1)


@plant("C5")
def acked_for_another_room(e):
    find(e, "ack", "alice", h="m8")["room"] = "room-2"


@plant("C6")
def order_against_time(e):
    for event in e:  # m24 was acked before m25 was said; now they change places
        if event.get("h") in ("m24", "m25") and "offset" in event:
            event["offset"] = 49 - event["offset"]


@plant("C7")
def refused_and_delivered(e):
    find(e, "ack", h="m9").update(k="nack", code="unavailable")


@plant("C8")
def another_place_in_the_ack(e):
    find(e, "ack", "alice", h="m8")["offset"] = 80


@plant("C8")
def the_retry_has_another_place(e):
    """The first try is acked after all, elsewhere."""
    ack = find(e, "ack", "alice", h="m8")
    beside(e, ack, {**ack, "id": find(e, "send", "alice", h="m8")["id"], "offset": 3})


@plant("C8")
def two_epochs_without_a_loss(e):
    drop(e, "loss")


@plant("C9")
def ghost_in_a_list(e):
    find(e, "reading", gateway="gw-2")["members"]["mallory"] = 1


@plant("C9")
def wrong_name_in_a_list(e):
    members = find(e, "reading", gateway="gw-2")["members"]
    del members["bob"]
    members["mallory"] = 1


@plant("C9")
def wrong_count(e):
    find(e, "reading", gateway="gw-2")["online"] = 4


@plant("C9")
def a_gateway_that_did_not_answer(e):
    drop(e, "reading", gateway="gw-2")


@plant("C9")
def presence_late(e):
    find(e, "settled")["after_ms"] = 2001


@plant("C9")
def never_settled(e):
    drop(e, "settled")


@plant("C9")
def fold_differs(e):
    find(e, "fold", "bob")["members"]["carol"] = 2


@plant("C10")
def direct_to_another(e):
    find(e, "direct", "bob")["c"] = "carol"


@plant("C10")
def heard_after_leaving(e):
    left = find(e, "left", "bob")
    beside(e, left, {"k": "presence", "c": "bob", "n": 1, "room": ROOM, "online": 2, "joined": [], "left": ["bob"]},
           after=1)


@plant("C10")
def heard_of_another_room(e):
    recv = find(e, "recv", "bob", h="m3")
    beside(e, recv, {**recv, "room": "room-2"})


@plant("C11")
def descriptors_leak(e):
    find(e, "sample", name="gw-1", when="end")["fds"] = 200


@plant("C11")
def keys_leak(e):
    find(e, "sample", name="redis", when="end")["keys"] = 900


@plant("C11")
def subscriptions_leak(e):
    find(e, "sample", name="redis", when="end")["subscriptions"] = 2


@plant("C11")
def memory_grows(e):
    find(e, "sample", name="gw-1", when="end")["rss"] = 900000


@plant("C12")
def never_calm(e):
    find(e, "probe").update(ms=None, ok=False)


@plant("C12")
def slow_after_the_heal(e):
    for event in e:
        if event["k"] == "probe":
            event["ms"] = 5000.0


@plant("C13")
def herd_let_in(e):
    first = find(e, "open", "bob")
    for n in range(100, 151):
        beside(e, first, {"k": "open", "c": f"herd-{n}", "n": 1})


