# SPDX-License-Identifier: MIT
"""The rules about each message by itself: who said it, what became of it, and where it stands.

C2 (directs), C3, C5, C6, C7, C8, C10 (directs) of the table in checker.py.
"""

import collections

CERTAIN, OPEN, DONE = "refused for certain", "nobody knows", "acked"


class Sent:
    """One message, over all its tries."""

    def __init__(self, event, user, before):
        self.user, self.type = user, event["type"]
        self.target = event.get("room") or event.get("to")
        self.first = event["t"]
        self.tries = {}       # (connection, id): what became of it
        self.places = {}      # epoch: offset
        self.before = before  # epoch: the highest offset of its room that was acked before it was first sent


class Places:
    def __init__(self, findings):
        self._findings, self._counts, self._judged = findings, findings.counts, findings.judged
        self._sent = {}                                # h: Sent
        self._value = {}                               # (room, epoch, offset): h
        self._highest = collections.defaultdict(dict)  # room: {epoch: highest offset acked}
        self._user = {}                                # client: user
        self._directs = {}                             # (client, connection, h): when it came first
        self._delivered = {}                           # h: the first event

    def on_join(self, e):
        self._user[e["c"]] = e["user"]

    def on_send(self, e):
        sent = self._sent.get(e["h"])
        if sent is None:
            before = dict(self._highest[e["room"]]) if e["type"] == "chat" else {}
            sent = self._sent[e["h"]] = Sent(e, self._user.get(e["c"]), before)
            self._counts["sent"] += 1
        sent.tries[e["n"], e["id"]] = OPEN

    def on_ack(self, e):
        self._counts["acked"] += 1
        self._judged["C5"] += 1
        sent = self._sent.get(e["h"])
        target = e.get("room") or e.get("to")
        if sent is None or sent.target != target:
            self._findings.add("C5", f"{e['c']} got an ack of {e['h']} for {target}, which was "
                                     f"{'never sent' if sent is None else 'sent to ' + sent.target}", e)
            return
        sent.tries[e["n"], e["id"]] = DONE
        if "room" in e:
            self.stands(e, e["room"], e["epoch"], e["offset"])
            highest = self._highest[e["room"]]
            highest[e["epoch"]] = max(highest.get(e["epoch"], 0), e["offset"])

    def on_nack(self, e):
        sent = self._sent.get(e.get("h"))
        if sent is None:
            return
        certain = e["code"] != "unknown_outcome"
        self._counts["refused" if certain else "unknown"] += 1
        sent.tries[e["n"], e["id"]] = CERTAIN if certain else OPEN

    def on_direct(self, e):
        self._counts["directs"] += 1
        self._judged["C2"] += 1
        once = (e["c"], e["n"], e["h"])
        if once in self._directs:
            # Its key tells a repeat from a new message, as long as Redis remembers the key.
            self._findings.add_unless_forgotten("C2", f"{e['c']} got the direct message {e['h']} twice", e,
                                                self._directs[once])
        self._directs.setdefault(once, e["t"])
        self._judged["C10"] += 1
        if e["to"] != self._user.get(e["c"]):
            self._findings.add("C10", f"{e['c']} ({self._user.get(e['c'])}) got a direct message to {e['to']}", e)
        self.heard(e, "direct", e["to"])

    def heard(self, e, type_, target):
        """C5, for whatever a client received."""
        self._judged["C5"] += 1
        self._delivered.setdefault(e["h"], e)
        sent = self._sent.get(e["h"])
        if sent is None or sent.first >= e["t"]:
            self._findings.add("C5", f"{e['c']} got {e['h']} of {target}, which nobody had sent", e)
        elif (sent.type, sent.target, sent.user) != (type_, target, e["from"]):
            self._findings.add("C5", f"{e['c']} got {e['h']} as a {type_} to {target} from {e['from']}; it is a "
                                     f"{sent.type} to {sent.target} from {sent.user}", e)

    def stands(self, e, room, epoch, offset):
        """C3, C6, C8: what an ack or a delivery says of one place of a room's log."""
        place, h = f"{room} {epoch} {offset}", e["h"]
        self._judged["C3"] += 1
        other = self._value.setdefault((room, epoch, offset), h)
        if other != h:
            self._findings.add("C3", f"{place} is {other} for one and {h} for {e['c']}", e)
        sent = self._sent.get(h)
        if sent is None:
            return
        self._judged["C8"] += 1
        known = sent.places.setdefault(epoch, offset)
        if known != offset:
            self._findings.add("C8", f"{h} stands at {known} for one and at {offset} of {room} for {e['c']}", e)
        if len(sent.places) > 1:
            self._findings.add_unless_lost("C8", f"{h} stands in {len(sent.places)} epochs of {room}, but Redis lost "
                                                 f"nothing: {sent.places}", e)
        if epoch in sent.before:
            self._judged["C6"] += 1
            if offset <= sent.before[epoch]:
                self._findings.add("C6", f"{h} stands at {place}, but {sent.before[epoch]} was acked before it was "
                                         f"sent (at {self._findings.at(sent.first)})", e)

    def finish(self):
        """C7: what was refused each time."""
        for h, sent in self._sent.items():
            if sent.tries and all(outcome == CERTAIN for outcome in sent.tries.values()):
                self._judged["C7"] += 1
                if h in self._delivered:
                    e = self._delivered[h]
                    self._findings.add("C7", f"{e['c']} got {h} of {sent.target}, which was refused each time", e)
