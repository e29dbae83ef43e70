# SPDX-License-Identifier: MIT
"""Faults planted into any clean record: each function takes its events and a random.Random, breaks one
promise at a place that the dice pick, and returns the rule that must find it."""

import collections
import copy


def _received(events):
    """Chats that were received, in the order of time."""
    return [e for e in events if e["k"] == "recv"]


def _after(events, event, new):
    events.insert(events.index(event) + 1, {**new, "t": event["t"]})


def _messages(events):
    """h: its `send`s, acks and deliveries."""
    found = collections.defaultdict(lambda: {"send": [], "ack": [], "nack": [], "recv": [], "repeat": []})
    for e in events:
        if e["k"] in ("send", "ack", "nack", "recv", "repeat") and e.get("h") and e.get("type") != "direct":
            found[e["h"]][e["k"]].append(e)
    return found


def _simple(events):
    """Hashes of chats that were sent once, acked and received."""
    return sorted(h for h, m in _messages(events).items() if len(m["send"]) == 1 and m["ack"] and m["recv"])


def barrier_lost(events, dice):
    finals = {e["h"] for e in events if e["k"] == "final"}
    ended = {e["c"] for e in events if e["k"] == "end"}
    events.remove(dice.choice([e for e in _received(events) if e["h"] in finals and e["c"] in ended]))
    return "C1"


def lost_by_everybody(events, dice):
    h = dice.choice(_simple(events))
    events[:] = [e for e in events if not (e["k"] in ("recv", "repeat") and e["h"] == h)]
    return "C1"


def received_twice(events, dice):
    e = dice.choice(_received(events))
    _after(events, e, {**e, "offset": e["offset"] + 1})
    return "C2"


def another_text(events, dice):
    by_sender = collections.defaultdict(list)
    for e in _received(events):
        by_sender[e["room"], e["from"]].append(e)
    one, other = next((a, b) for a, b in _pairs(by_sender, dice) if a["h"] != b["h"])
    other["h"] = one["h"]
    return "C3"


def _pairs(groups, dice):
    while True:
        group = groups[dice.choice(sorted(groups))]
        yield dice.choice(group), dice.choice(group)


def skipped(events, dice):
    """Not the last one that this client received in the room: the next one shows it."""
    seen = collections.defaultdict(list)
    for e in _received(events):
        seen[e["c"], e["room"], e["n"], e["epoch"]].append(e)
    long = sorted((key for key in seen if len(seen[key]) > 2), key=str)
    events.remove(dice.choice(seen[dice.choice(long)][1:-1]))
    return "C4"


def never_said(events, dice):
    h = dice.choice(_simple(events))
    events[:] = [e for e in events if not (e["k"] == "send" and e["h"] == h)]
    return "C5"


def another_sender(events, dice):
    dice.choice(_received(events))["from"] = "mallory"
    return "C5"


def order_against_time(events, dice):
    """Of two messages of a room, the second sent when the first was acked, the places are exchanged everywhere."""
    messages = _messages(events)
    by_log = collections.defaultdict(list)
    for h in _simple(events):
        ack = messages[h]["ack"][0]
        by_log[ack["room"], ack["epoch"]].append(h)
    one, other = next((a, b) for a, b in _pairs(by_log, dice)
                      if messages[a]["ack"][0]["t"] < messages[b]["send"][0]["t"])
    places = {h: messages[h]["ack"][0]["offset"] for h in (one, other)}
    for h, new in ((one, places[other]), (other, places[one])):
        for e in (*messages[h]["ack"], *messages[h]["recv"], *messages[h]["repeat"]):
            e["offset"] = new
    return "C6"


def refused_and_delivered(events, dice):
    messages = _messages(events)
    for ack in messages[dice.choice(_simple(events))]["ack"]:
        ack.update(k="nack", code="unavailable")
    return "C7"


def acked_elsewhere(events, dice):
    dice.choice([e for e in events if e["k"] == "ack" and "room" in e])["offset"] += 1_000_000
    return "C8"


def ghost(events, dice):
    last = max(i for i, e in enumerate(events) if e["k"] == "settled")
    first = max(i for i, e in enumerate(events[:last]) if e["k"] == "settling")
    latest = {(e["gateway"], e["room"]): e for e in events[first:last] if e["k"] == "reading"}
    reading = latest[dice.choice(sorted(latest))]
    reading["members"] = {**reading["members"], "mallory": 1}
    return "C9"


def forgotten(events, dice):
    fold = dice.choice([e for e in events if e["k"] == "fold" and e["members"]])
    gone = dice.choice(sorted(fold["members"]))
    fold["members"] = {"mallory": 1, **{user: n for user, n in fold["members"].items() if user != gone}}
    return "C9"


def direct_astray(events, dice):
    e = dice.choice([e for e in events if e["k"] == "direct"])
    users = {j["c"]: j["user"] for j in events if j["k"] == "join"}
    e["c"] = dice.choice(sorted(c for c, user in users.items() if user != e["to"]))
    return "C10"


def heard_outside(events, dice):
    e = dice.choice(_received(events))
    _after(events, e, {**e, "room": "a room of others"})
    return "C10"


def descriptors_leak(events, dice):
    dice.choice([e for e in events if e["k"] == "sample" and e["when"] == "end" and e["name"].startswith("gw-")])["fds"] += 500
    return "C11"


def never_calm(events, dice):
    calm = max(e["t"] for e in events if e["k"] in ("fault", "heal"))
    calm += int(events[0]["bounds"]["calm_s"] * 1e9)
    dice.choice([e for e in events if e["k"] == "probe" and e["t"] > calm]).update(ms=None, ok=False)
    return "C12"


def herd_let_in(events, dice):
    events[0]["bounds"]["upgrades_per_s"] = dice.choice((0, 1))
    return "C13"


def nothing_acked(events, _):
    events[:] = [e for e in events if e["k"] != "ack"]
    return "C0"


MUTATIONS = (barrier_lost, lost_by_everybody, received_twice, another_text, skipped, never_said, another_sender,
             order_against_time, refused_and_delivered, acked_elsewhere, ghost, forgotten, direct_astray, heard_outside,
             descriptors_leak, never_calm, herd_let_in, nothing_acked)


def mutated(events, mutation, dice):
    """(a broken copy, the rule that must find it)"""
    broken = copy.deepcopy(events)
    return broken, mutation(broken, dice)
