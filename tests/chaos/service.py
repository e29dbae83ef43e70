# SPDX-License-Identifier: MIT
"""The rules about the service around the messages: C9, C11, C12, C13 of the table in checker.py."""

import collections

# What a row's `bounds` may say otherwise. Growth from the sample at the start to the one at the end.
BOUNDS = {"rss_kb": 32768, "fds": 8, "subscriptions": 0, "lasting": 0, "calm_s": 5.0, "probe_ms": 500.0}
# What is judged of whom, and by which bound. HAProxy is not ours, and Redis's memory is the history.
GROWTH = (("gw-", "rss", "rss_kb"), ("gw-", "fds", "fds"), ("redis", "fds", "fds"), ("redis", "keys", "keys"),
          ("redis", "subscriptions", "subscriptions"), ("redis", "lasting", "lasting"))
PROBES_MIN = 3  # fewer after the heal say nothing
SECOND_NS = 10**9


def difference(members, truth):
    """Two lists of people in words."""
    if members is None:
        return "no list"
    names = sorted(set(members) | set(truth))
    return ", ".join(f"{name} {members.get(name, 0)} times, not {truth.get(name, 0)}" for name in names
                     if members.get(name, 0) != truth.get(name, 0)) or "the same names"


class Service:
    def __init__(self, findings):
        self._findings, self._counts, self._judged = findings, findings.counts, findings.judged
        self._bounds = dict(BOUNDS)
        self._truth = {}
        self._settling = None            # the event
        self._readings = {}              # (gateway, room): (online, members) since `settling`
        self._quiet = False
        self._settled_in_quiet = False
        self._ends, self._folds = set(), set()         # clients
        self._samples = collections.defaultdict(dict)  # name: {when: event}
        self._probes = collections.defaultdict(list)   # name: events
        self._last_fault = None          # time of the last `fault` or `heal`
        self._opened = collections.deque()             # times within the last second
        self._herd = None                # (most in one second, event)

    def on_run(self, e):
        self._bounds.update(e.get("bounds", {}))

    # C9.

    def on_truth(self, e):
        self._truth[e["room"]] = e["members"]

    def on_quiet(self, _):
        self._quiet = True

    def on_settling(self, e):
        self._miss()
        self._settling = e
        self._readings.clear()

    def _miss(self):
        if self._settling is not None:
            self._findings.add("C9", f"presence never settled: {self._settling['name']}", self._settling)
            self._settling = None

    def on_reading(self, e):
        self._readings[e["gateway"], e["room"]] = (e["online"], e["members"])

    def on_settled(self, e):
        settling, self._settling = self._settling, None
        if settling is None or settling["name"] != e["name"]:
            self._findings.add("C9", f"settled without settling: {e['name']}", e)
            return
        self._settled_in_quiet = self._settled_in_quiet or self._quiet
        if e["after_ms"] > e["bound_ms"] or not e["ok"]:
            self._findings.add("C9", f"{e['name']}: {'exact' if e['ok'] else 'not yet exact'} after {e['after_ms']} ms, "
                                     f"the bound is {e['bound_ms']}", e)
        for gateway in settling["gateways"]:
            for room, truth in self._truth.items():
                self._judge_reading(e, gateway, room, truth)

    def _judge_reading(self, e, gateway, room, truth):
        """C9: by name and number."""
        self._judged["C9"] += 1
        online, members = self._readings.get((gateway, room), (None, None))
        if online == sum(truth.values()) and members == truth:
            return
        self._findings.add("C9", f"{e['name']}: {gateway} says of {room}: online {online} (truth "
                                 f"{sum(truth.values())}); {difference(members, truth)}", e)

    def on_end(self, e):
        self._ends.add(e["c"])

    def on_fold(self, e):
        """C9: what a client makes of the digests."""
        self._judged["C9"] += 1
        self._folds.add(e["c"])
        if e["members"] != self._truth.get(e["room"]):
            self._findings.add("C9", f"{e['c']} folds {e['room']}: "
                                     f"{difference(e['members'], self._truth.get(e['room'], {}))}", e)

    # C11, C12, C13: collected here, judged at the end.

    def on_fault(self, e):
        self._last_fault = e["t"]

    on_heal = on_fault

    def on_sample(self, e):
        self._samples[e["name"]][e["when"]] = e

    def on_probe(self, e):
        self._counts["probes"] += 1
        self._probes[e["name"]].append(e)

    def on_open(self, e):
        """C13, over any second, all gateways together."""
        self._opened.append(e["t"])
        while e["t"] - self._opened[0] >= SECOND_NS:
            self._opened.popleft()
        if self._herd is None or len(self._opened) > self._herd[0]:
            self._herd = (len(self._opened), e)

    def finish(self):
        self._miss()
        if not self._settled_in_quiet:
            self._findings.add("C0", "presence was not compared after all had come to rest")
        if self._ends - self._folds:
            self._findings.add("C0", f"what these make of the digests is not known: {sorted(self._ends - self._folds)[:6]}")
        for name, samples in self._samples.items():
            self._judge_growth(name, samples.get("start", {}), samples.get("end", {}))
        if self._last_fault is not None:
            self._judge_calm()
        self._judge_herd()

    def _judge_growth(self, name, start, end):
        """C11: what there was at the start is what there is at the end."""
        for prefix, what, bound in GROWTH:
            allowed = self._bounds.get(bound)
            if allowed is None or not name.startswith(prefix) or what not in start or what not in end:
                continue
            self._judged["C11"] += 1
            grown = end[what] - start[what]
            if grown > allowed:
                self._findings.add("C11", f"{name}: {what} grew by {grown} (from {start[what]} to {end[what]}), "
                                          f"{allowed} are allowed", end)

    def _judge_calm(self):
        """C12: no probe is lost any more, and most are quick."""
        calm_from = self._last_fault + int(self._bounds["calm_s"] * SECOND_NS)
        for name, probes in self._probes.items():
            late = [p for p in probes if p["t"] >= calm_from]
            self._judged["C12"] += len(late)
            lost = [p for p in late if not p["ok"]]
            if lost:
                self._findings.add("C12", f"{name}: {len(lost)} of {len(late)} probes were lost, {self._bounds['calm_s']:g} s "
                                          "after the heal", lost[0])
            times = sorted(p["ms"] for p in late if p["ok"])
            if len(times) + len(lost) < PROBES_MIN:
                self._findings.add("C0", f"{name}: only {len(late)} probes after it should have been calm")
            elif times and (p99 := times[int((len(times) - 1) * 0.99)]) > self._bounds["probe_ms"]:
                self._findings.add("C12", f"{name}: probes take {p99} ms (p99) after the heal, "
                                          f"{self._bounds['probe_ms']:g} are allowed")

    def _judge_herd(self):
        """C13, where the row has a bound."""
        most = self._bounds.get("upgrades_per_s")
        if most is None or self._herd is None:
            return
        self._judged["C13"] += 1
        if self._herd[0] > most:
            self._findings.add("C13", f"{self._herd[0]} connections were accepted within one second, {most} are allowed",
                               self._herd[1])
