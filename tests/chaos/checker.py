#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Judges the record of a run: tests/chaos/checker.py RECORD…

Prints what was counted, how often each rule was asked, and every violation; ends with 1 when there is
one. README.md lists the kinds of events. --rules prints the rules.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from findings import Findings  # noqa: E402
from members import Members  # noqa: E402
from places import Places  # noqa: E402
from service import Service  # noqa: E402

RULES = {
    "C0": "The record proves something: chats were acked, every room has its barrier, presence was compared; and no client "
          "saw the protocol broken.",
    "C1": "What was acked reaches every client whose unbroken membership covers it: it was a member before, came back only "
          "by resumes that recovered, and either is there at the end or was told of a reset. Nobody is told of a gap, a "
          "reset or a failed recovery without a reason.",
    "C2": "Nobody gets a message twice: a chat within one epoch, a direct message on one connection while Redis keeps its key.",
    "C3": "One message for each (room, epoch, offset), in all that anybody received or was acked.",
    "C4": "A client's offsets go up by one. They jump only where a gap, a new epoch or a welcome without recovery said so; "
          "and an epoch that is over does not come back.",
    "C5": "Nothing is invented: each message was sent before, by that user, to that room or addressee.",
    "C6": "Real time: what was acked before another was first sent stands before it.",
    "C7": "What was refused for certain each time it was tried is never delivered.",
    "C8": "A message has one place: all acks (of all its tries) and deliveries in one epoch agree, and it stands in two "
          "epochs only where Redis lost data.",
    "C9": "Where membership is at rest, each gateway's list is the truth by name and number within its bound; and what "
          "clients make of the digests is the same list.",
    "C10": "Direct messages reach their addressee alone; nothing of a room reaches who is no member.",
    "C11": "Nothing grows: memory, descriptors, subscriptions and (where the row says so) keys come back after all left.",
    "C12": "After the heal the steady probes are answered quickly again within their bound.",
    "C13": "No more connections are accepted in a second than the row allows.",
}
# Of the rules these must have been asked: a run that never did proves nothing of them.
ASKED_ALWAYS = ("C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9", "C10")
COUNTED = ("sent", "acked", "refused", "unknown", "delivered", "repeated", "directs", "resumed", "unrecovered", "gaps",
           "resets", "connections", "probes")
UNITS_NS = (("ms", 10**6), ("s", 10**9), ("m", 60 * 10**9), ("h", 3600 * 10**9))


class Verdict:
    """counts: {name: number}; judged: {rule: number}; violations: texts that begin with their rule, as "C4: …"."""

    def __init__(self, counts, judged, violations):
        self.counts, self.judged, self.violations = counts, judged, violations


class Run:
    """What the runner tells of the run as a whole, and what clients saw broken."""

    def __init__(self, findings):
        self._findings = findings
        self._last = 0

    def on_any(self, e):
        if e["t"] < self._last:
            self._findings.add("C0", "the record's time runs backwards", e)
        self._last = e["t"]

    def on_run(self, e):
        settings = e.get("settings", {})
        self._findings.kept = int(settings.get("room.history_size", self._findings.kept))
        if "room.history_ttl" in settings:
            self._findings.ttl_ns = _duration_ns(settings["room.history_ttl"])

    def on_loss(self, e):
        self._findings.lose(e["from"], e["to"])

    def on_open(self, e):
        self._findings.counts["connections"] += 1

    def on_wrong(self, e):
        self._findings.add("C0", f"{e['c']} saw the protocol broken: {e['what']}", e)

    def finish(self):
        counts, judged = self._findings.counts, self._findings.judged
        if counts["acked"] == 0:
            self._findings.add("C0", "nothing was acked: this run proves nothing")
        for rule in ASKED_ALWAYS:
            if not judged[rule]:
                self._findings.add("C0", f"nothing in this run could have broken {rule}")


def _duration_ns(text):
    unit, factor = next((unit, factor) for unit, factor in UNITS_NS if text.endswith(unit))
    return int(text[:-len(unit)]) * factor


def judge_events(events):
    """events: dicts in the order of time, the first of kind `run`."""
    findings = Findings()
    places = Places(findings)
    run = Run(findings)
    parts = (run, places, Members(findings, places), Service(findings))
    handlers = {}  # kind: functions
    for e in events:
        kind = e["k"]
        if kind not in handlers:
            if not handlers:
                findings.begin(e["t"])
            handlers[kind] = [getattr(p, "on_" + kind) for p in parts if hasattr(p, "on_" + kind)]
        run.on_any(e)
        for handler in handlers[kind]:
            handler(e)
    for part in (*parts[1:], run):
        part.finish()
    findings.finish()
    counts = {name: findings.counts[name] for name in COUNTED if findings.counts[name]}
    return Verdict(counts, {rule: findings.judged[rule] for rule in RULES if rule != "C0"}, findings.texts())


def judge(path):
    with open(path, encoding="utf-8") as file:
        return judge_events(json.loads(line) for line in file)


def main():
    if sys.argv[1:] == ["--rules"]:
        print("\n".join(f"{rule:4} {text}" for rule, text in RULES.items()))
        return 0
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    bad = False
    for path in sys.argv[1:]:
        verdict = judge(path)
        print(path + ": " + ", ".join(f"{name} {n}" for name, n in verdict.counts.items()))
        print("asked: " + ", ".join(f"{rule} {n}" for rule, n in verdict.judged.items()))
        print("\n".join(verdict.violations) or "no violation")
        bad = bad or bool(verdict.violations)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
