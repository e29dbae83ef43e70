# SPDX-License-Identifier: MIT
"""One run of one row: start, load, fault, rest, barriers, end, judgement."""

import os
import time
import traceback

from arena import Arena, SETTINGS
from load import Load
from record import Record
from rows import Chaos, NotRun

READY_S = 20.0
DRAIN_S = 30.0
BARRIER_S = 15.0
FOLD_S = 16.0  # a list in doubt is asked for again after up to 8 s, twice where the first is in doubt
PROBED_S = 1.5
GONE_S = 10.0
# What was cut in silence for 25 s is found out by Redis at its next retransmission: up to twice as long apart.
FORGOTTEN_S = 40.0
KEYS_S = 30.0
SETTLE_PATIENCE_S = 25.0  # on top of the bound: what is too late is still measured


# Keys that stay for ever; the list of gateways is made with the first link.
LASTING = """
local n = 0
for _, key in ipairs(redis.call('KEYS', 'parley:*')) do
  if key ~= 'parley:gateways' and redis.call('PTTL', key) == -1 then n = n + 1 end
end
return n"""


def held_by_redis(redis):
    """What must be gone when all clients are: subscriptions to rooms and users, and keys that do not expire."""
    channels = redis.call("PUBSUB", "CHANNELS", "parley:*")
    return {"keys": redis.call("DBSIZE"), "lasting": redis.call("EVAL", LASTING, 0),
            "subscriptions": sum(":room:" in c or ":user:" in c for c in channels)}


class Outcome:
    """result: "passed", "failed" or "not run"; why: for people; measured: {name: [numbers]}."""

    def __init__(self, row, seed):
        self.row, self.seed = row, seed
        self.result, self.why = "failed", []
        self.counts, self.measured = {}, {}
        self.seconds = 0.0
        self.folder = None


class Trial:
    def __init__(self, row, seed, build, net, folder, judge):
        self._row, self._seed, self._build, self._net = row, seed, build, net
        self._folder, self._judge = folder, judge
        self.outcome = Outcome(row, seed)
        self._keys = 0

    def run(self):
        began = time.monotonic()
        missing = [getattr(self._net, "why_not") for need in self._row.needs if need == "net"]
        try:
            if any(missing):
                raise NotRun(missing[0])
            self._run()
        except NotRun as why:
            self.outcome.result, self.outcome.why = "not run", [str(why)]
        except Exception as error:  # whatever it is, the other rows must run
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(where.filename)}:{where.lineno}"
            self.outcome.why.append(f"{type(error).__name__}: {error} ({place})")
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def _run(self):
        row = self._row
        arena = Arena(self._build, self._net, row.settings, row.redis_args, row.gateways, row.wrapper)
        path = os.path.join(self._folder, f"{row.name}-{self._seed}.jsonl")
        record = Record(path)
        self.outcome.folder = self._folder
        record.write("run", row=row.name, seed=self._seed, build=self._build, bounds=row.bounds,
                     settings={**SETTINGS, **row.settings})
        try:
            if row.setup:
                row.setup(arena)
            arena.start()
            self._under_load(arena, record)
            arena.stop_gateways()
        finally:
            record.close()
            self._keep_logs(arena)
            arena.destroy()
        verdict = self._judge(path)
        self.outcome.counts = verdict.counts
        self.outcome.why += verdict.violations
        if self.outcome.why:
            return
        self.outcome.result = "passed"

    def _under_load(self, arena, record):
        row = self._row
        self._sample(arena, record, "start")
        gateways = {g.name: g.port for g in arena.gateways}
        grace_s = 3.0 if "room.rejoin_grace" not in row.settings else 0.5
        load = Load(record, f"{row.name} {self._seed}", arena.port, gateways, grace_s, **row.load)
        chaos = Chaos(row, self._seed, arena, load, record)
        try:
            load.call(load.populate)
            assert load.run(load.until(lambda: all(c.settled for c in load.clients), READY_S)), \
                "not all clients came in before the fault"
            load.chatting = load.churning = True
            chaos.hold(row.warm_s)
            self._sample(arena, record, "load")
            row.function(chaos)
            self._rest(chaos, load, record)
            self._sample(arena, record, "end")
        finally:
            self.outcome.measured = chaos.measured
            self.outcome.why += chaos.failures
            load.close()

    def _rest(self, chaos, load, record):
        row, arena = self._row, chaos.arena
        load.churning = False
        record.write("quiet")
        chaos.settle("presence exact", row.settle_s, [g.name for g in arena.gateways],
                     row.settle_s + SETTLE_PATIENCE_S)
        # The checker wants some probes after that time (C12).
        chaos.hold(max(0.0, row.calm_s + PROBED_S - chaos.since()))
        if not load.run(load.drain(DRAIN_S)):
            stuck = [c.name for c in load.clients if not c.settled]
            chaos.expect(False, f"{len(stuck)} clients did not come to rest: {', '.join(stuck[:6])}")
        back = [s for c in [*load.residents, *load.churners] for s in c.back_s]
        if back:
            chaos.measure("longest absence of a client, s", max(back))
        if not load.run(load.barriers(BARRIER_S)):
            record.write("note", name="barrier", text="not everybody has seen the barriers in time")
        load.run(load.folds(FOLD_S))
        load.run(load.leave_all())
        chaos.until(lambda: not any(g.metrics().total("parley_connections") for g in arena.gateways), GONE_S,
                    "the gateways let go of all connections")
        chaos.until(lambda: not held_by_redis(arena.redis)["subscriptions"], FORGOTTEN_S,
                    "no room and no user is followed")
        if "keys" in row.bounds:
            most = self._keys + row.bounds["keys"]
            chaos.until(lambda: arena.redis.call("DBSIZE") <= most, KEYS_S, "what Redis held for the rooms expires")

    def _sample(self, arena, record, when):
        held = held_by_redis(arena.redis)
        self._keys = held["keys"] if when == "start" else self._keys
        for process in arena.processes:
            more = held if process.name == "redis" else {}
            record.write("sample", name=process.name, when=when, rss=process.rss_bytes() // 1024,
                         fds=process.open_files(), **more)

    def _keep_logs(self, arena):
        """Beside the record, for whoever looks into it when the run failed."""
        for process in arena.processes:
            target = os.path.join(self._folder, f"{self._row.name}-{self._seed}-{process.name}.log")
            with open(target, "w", encoding="utf-8") as file:
                file.write(process.log())
