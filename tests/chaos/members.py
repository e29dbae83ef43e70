# SPDX-License-Identifier: MIT
"""The rules about what each member of a room sees: C1, C2, C4, C10 of the table in checker.py.

A member's time in a room is cut into segments. A segment begins with a `welcome` that recovers nothing or
with a `gap` `reset`, and goes on over lost connections as long as each `welcome` recovers. Within it the
offsets are base + 1, base + 2, … of one epoch, each received or told of in a `gap`.
"""

import bisect
import collections


class Segment:
    def __init__(self, client, room, epoch, base, t):
        self.client, self.room, self.epoch, self.base, self.last = client, room, epoch, base, base
        self.heard_at = t
        self.gaps = []         # declared: (from, to)
        self.received = set()
        self.ended = None      # "reset", "not recovered", "left"; None at the end of the record
        self.welcomed = False  # begun by a `welcome`
        self.owed = None       # what it must be told of before the next message: a text

    def declares(self, offset):
        return any(first <= offset <= last for first, last in self.gaps)


class Members:
    def __init__(self, findings, places):
        self._findings, self._counts, self._judged = findings, findings.counts, findings.judged
        self._places = places
        self._acked = collections.defaultdict(list)    # (room, epoch): [(offset, time)]
        self._first_heard = {}                         # (room, epoch, offset): when anybody got it first
        self._head = collections.defaultdict(int)      # (room, epoch): highest offset that anybody told of
        self._segment = {}                             # (client, room): Segment, kept while the client is away
        self._rooms = collections.defaultdict(dict)    # client: {room: connection}, while it is a member
        self._segments = []
        self._had = collections.defaultdict(set)       # (client, room, epoch): hashes
        self._left_epochs = collections.defaultdict(set)  # (client, room)
        self._finals, self._ends = {}, 0
        self._slow_readers = False
        self._leaving = set()                              # (client, connection, room): asked, and not answered

    # What the runner tells.

    def on_run(self, e):
        self._slow_readers = bool(e.get("bounds", {}).get("slow_readers"))

    def on_final(self, e):
        self._finals[e["room"]] = e

    def on_end(self, e):
        """C1: who is a member at the end has got as far as the barrier."""
        self._ends += 1
        for room in self._rooms[e["c"]]:
            final, segment = self._finals.get(room), self._segment[e["c"], room]
            if final is None:
                continue
            self._judged["C1"] += 1
            if segment.epoch != final["epoch"] or segment.last < final["offset"]:
                self._findings.add("C1", f"{e['c']} has {room} up to {segment.epoch} {segment.last}, but the barrier "
                                         f"is {final['epoch']} {final['offset']}", e)

    def on_leave(self, e):
        self._leaving.add((e["c"], e["n"], e["room"]))

    # What clients hear.

    def on_ack(self, e):
        if "room" in e:
            self._acked[e["room"], e["epoch"]].append((e["offset"], e["t"]))
            self._reach(e["room"], e["epoch"], e["offset"])

    def on_welcome(self, e):
        client, room, since = e["c"], e["room"], e.get("since")
        self._rooms[client][room] = e["n"]
        self._reach(room, e["epoch"], e["offset"])
        old = self._segment.get((client, room))
        if since and e["recovered"]:
            self._resume(e, old, since)
            return
        self._end(old, "reset" if since and since[0] != e["epoch"] else "not recovered")
        segment = self._begin(e, e["offset"])
        segment.welcomed = True
        if since:
            self._counts["unrecovered"] += 1
            self._judge_unrecovered(e, since, segment, old)

    def _resume(self, e, old, since):
        """recovered: everything since `since` follows, so the segment goes on. A client that asked twice has more
        than `since` when the second answer comes, and gets repeats."""
        self._counts["resumed"] += 1
        self._judged["C4"] += 1
        if e["epoch"] != since[0] or e["offset"] < since[1]:
            self._findings.add("C4", f"{e['c']} recovered {e['room']} from {since}, to another epoch or backwards: "
                                     f"{e['epoch']} {e['offset']}", e)
        if old is None or old.epoch != since[0] or old.last < since[1]:
            self._end(old, "not recovered")
            old = self._begin({**e, "epoch": since[0]}, since[1])
        old.heard_at, old.owed = e["t"], None

    def _judge_unrecovered(self, e, since, segment, old):
        """C1, C4: it must have a reason, and the client is told what it missed, unless it wants to go already."""
        if (e["c"], e["n"], e["room"]) in self._leaving:
            return
        self._judged["C1"] += 1
        missed = e["offset"] - since[1]
        if e["epoch"] != since[0]:
            self._judge_reset(e, f"the epoch of {e['room']} changed from {since[0]} to {e['epoch']}")
        elif missed < 0:
            self._findings.add("C4", f"{e['room']} went back from {since[1]} to {e['offset']} within the epoch "
                                     f"{e['epoch']}, says the welcome of {e['c']}", e)
        elif missed <= self._findings.kept and old and e["t"] - old.heard_at < self._findings.ttl_ns:
            self._findings.add_unless_lost("C1", f"{e['c']} was not recovered in {e['room']}, though only {missed} "
                                                 f"messages after {since[1]} were missed", e)
        if (e["epoch"], e["offset"]) != tuple(since):
            segment.owed = f"it was not recovered from {since}"

    def _judge_reset(self, e, text):
        self._findings.add_unless_lost("C1", f"{e['c']}: {text}, but Redis lost nothing", e)

    def on_gap(self, e):
        self._counts["gaps"] += 1
        segment = self._member(e)
        if segment is None:
            return
        segment.owed = None
        self._judged["C4"] += 1
        if e["why"] == "reset":
            self._counts["resets"] += 1
            self._reset(e, segment)
            return
        if e["epoch"] != segment.epoch or e["to"] < e["from"]:
            self._findings.add("C4", f"{e['c']}: a gap in {e['room']} of another epoch or backwards: {e['epoch']} "
                                     f"{e['from']}–{e['to']}", e)
            return
        self._judge_gap(e)
        if e["to"] > segment.last:
            if e["from"] > segment.last + 1:
                self._findings.add("C4", f"{e['c']}: a gap in {e['room']} from {e['from']}, but it had only "
                                         f"{segment.last}", e)
            segment.gaps.append((e["from"], e["to"]))
            segment.last = e["to"]

    def _reset(self, e, segment):
        """A `welcome` that did not recover begins the epoch already, before the `gap` that says why."""
        if e["epoch"] != segment.epoch:
            self._judge_reset(e, f"a reset of {e['room']} to {e['epoch']}")
            self._end(segment, "reset")
            self._begin(e, e["to"])
        elif segment.last != segment.base or not segment.welcomed:
            self._findings.add("C4", f"{e['c']}: a reset of {e['room']} within the epoch {e['epoch']}", e)

    def _judge_gap(self, e):
        """C1: what a gap skips must be out of reach: trimmed from the history, or too much for a slow reader."""
        self._judged["C1"] += 1
        head = self._head[e["room"], e["epoch"]]
        if e["why"] == "slow" and not self._slow_readers:
            self._findings.add("C1", f"{e['c']} was skipped {e['from']}–{e['to']} of {e['room']} as a slow reader, "
                                     "but nobody reads slowly here", e)
        elif e["why"] == "history" and e["to"] > head - self._findings.kept and self._is_young(e):
            self._findings.add_unless_lost("C1", f"{e['c']} was told that {e['from']}–{e['to']} of {e['room']} is no "
                                                 f"longer to be had, though the log is at {head}", e)

    def _is_young(self, e):
        """Whether the newest message of a gap was acked within the history's time to live."""
        acked = self._acked[e["room"], e["epoch"]]
        times = [t for offset, t in acked[-self._findings.kept:] if offset == e["to"]]
        return bool(times) and e["t"] - times[0] < self._findings.ttl_ns

    def on_recv(self, e):
        self._counts["delivered"] += 1
        segment = self._member(e)
        if segment is None:
            return
        self._judged["C4"] += 1
        self._judged["C2"] += 1
        offset, epoch = e["offset"], segment.epoch
        if segment.owed:
            self._findings.add("C4", f"{e['c']} got {offset} of {e['room']} without a gap, though {segment.owed}", e)
            segment.owed = None
        if offset != segment.last + 1:
            self._findings.add("C4", f"{e['c']} got offset {offset} of {e['room']} {epoch} after {segment.last}", e)
        segment.last, segment.heard_at = max(segment.last, offset), e["t"]
        segment.received.add(offset)
        self._first_heard.setdefault((e["room"], epoch, offset), e["t"])
        had = self._had[e["c"], e["room"], epoch]
        if e["h"] in had:
            self._findings.add("C2", f"{e['c']} got {e['h']} twice in {e['room']} {epoch}", e)
        had.add(e["h"])
        self._reach(e["room"], epoch, offset)
        self._places.heard(e, "chat", e["room"])
        self._places.stands(e, e["room"], epoch, offset)

    def on_repeat(self, e):
        """The client drops it: no C2, no C4; but it must be what stood there."""
        self._counts["repeated"] += 1
        segment = self._member(e)
        if segment is not None:
            self._places.heard(e, "chat", e["room"])
            self._places.stands(e, e["room"], segment.epoch, e["offset"])

    def on_presence(self, e):
        self._member(e)

    def on_left(self, e):
        self._leaving.discard((e["c"], e["n"], e["room"]))
        self._rooms[e["c"]].pop(e["room"], None)
        self._end(self._segment.pop((e["c"], e["room"]), None), "left")

    def on_close(self, e):
        rooms = self._rooms[e["c"]]
        for room in [room for room, n in rooms.items() if n == e["n"]]:
            del rooms[room]

    # Parts.

    def _member(self, e):
        """C10: who hears of a room is a member of it now, on this connection. Its segment, or None."""
        self._judged["C10"] += 1
        if self._rooms[e["c"]].get(e["room"]) != e["n"]:
            self._findings.add("C10", f"{e['c']} heard of {e['room']} ({e['k']}) without being a member", e)
            return None
        return self._segment[e["c"], e["room"]]

    def _begin(self, e, base):
        key = (e["c"], e["room"])
        if e["epoch"] in self._left_epochs[key]:
            self._findings.add("C4", f"{e['c']} is back in the epoch {e['epoch']} of {e['room']}, which was over", e)
        segment = self._segment[key] = Segment(*key, e["epoch"], base, e["t"])
        self._segments.append(segment)
        return segment

    def _end(self, segment, why):
        if segment is not None:
            segment.ended = why
            if why == "reset":
                self._left_epochs[segment.client, segment.room].add(segment.epoch)

    def _reach(self, room, epoch, offset):
        self._head[room, epoch] = max(self._head[room, epoch], offset)

    # At the end.

    def finish(self):
        if not self._ends:
            self._findings.add("C0", "no client reached the end: what was lost there was not seen")
        for room in sorted({room for room, _ in self._acked} - set(self._finals)):
            self._findings.add("C0", f"{room} has no barrier: what was lost at its end was not seen")
        acked = {key: sorted(pairs) for key, pairs in self._acked.items()}
        for segment in self._segments:
            self._judge_segment(segment, acked.get((segment.room, segment.epoch), []))

    def _judge_segment(self, segment, acked):
        """C1: each acked message within the segment was received, or a gap told of it. What came after its last
        one counts only where a reset ended it: then nothing excuses what Redis did not lose. A retry may be acked
        long after the first try: the message is as old as its first delivery."""
        first = bisect.bisect_right(acked, (segment.base, float("inf")))
        for offset, t in acked[first:]:
            beyond = offset > segment.last
            t = min(t, self._first_heard.get((segment.room, segment.epoch, offset), t))
            if beyond and not (segment.ended == "reset" and not self._findings.may_be_lost(t)):
                break
            self._judged["C1"] += 1
            if beyond or (offset not in segment.received and not segment.declares(offset)):
                self._findings.add("C1", f"{segment.client} never got {offset} of {segment.room} {segment.epoch}, acked at "
                                         f"{self._findings.at(t)} (has {segment.base + 1}–{segment.last}, "
                                         f"{segment.ended or 'still there'})")
