# SPDX-License-Identifier: MIT
"""What is asked of whom, and what Parley must show.

The letters are the generator's workloads (client/cli/README.md); here stands which systems get which.
"""

PEERS = ("nchan", "ws", "socketio", "tutorial-redis", "tutorial", "uwebsockets")
FLOORS = ("coalesce", "coalesce-redis", "plain")


class Workload:
    """name: the letter of ours; generator: the generator's own, with options that change it.

    spin: the generator polls without sleeping. A server on the same machine pays for waking one that sleeps,
    which no client elsewhere costs it; it matters where a server rests between messages.
    """

    def __init__(self, name, text, systems, generator=None, options=(), spin=False):
        self.name = name
        self.text = text
        self.systems = systems
        self.generator = generator or name
        self.options = options
        self.spin = spin


ALL = {w.name: w for w in (
    Workload("A", "one room of 1,000, one publisher, 32 messages in flight",
             ("parley", *FLOORS, *PEERS), spin=True),
    Workload("A64", "the same with 64 in flight", ("parley", "coalesce", "coalesce-redis", "uwebsockets"),
             spin=True),
    Workload("A256", "the same with 256 in flight", ("parley", "coalesce", "coalesce-redis", "uwebsockets"),
             spin=True),
    # The warm-up is long enough for all members to have been told of all others.
    Workload("A10k", "as A, with 10,000 members", ("parley", "coalesce"), "A",
             ("--members", "10000", "--warmup", "6"), spin=True),
    Workload("B", "as A with 1 in flight: nothing to coalesce", ("parley", "plain", *PEERS), spin=True),
    Workload("C", "100 rooms of 10, every member has 1 message in flight",
             ("parley", "parley-nohistory", *FLOORS, *PEERS)),
    Workload("D", "one room of 1,000, 20 messages a second", ("parley", "plain", *PEERS), spin=True),
)}

# Connecting only, to rooms of 10: a hundred at a time, and all at once.
SETUPS = {w.name: w for w in (
    Workload("setup", "5,000 connect and join rooms of 10, a hundred at a time",
             ("parley", "plain", *PEERS), options=("--connections", "5000")),
    Workload("herd", "10,000 connect and join rooms of 10, all at once",
             ("parley", "plain", "nchan", "ws")),
)}


class Goal:
    """measured(run) gives the value of a report.Run, or None; sign: +1 at least so much, -1 at most.

    wanted None: no goal, but shown beside them.
    """

    def __init__(self, text, sign, wanted, measured, unit=""):
        self.text = text
        self.sign = sign
        self.wanted = wanted
        self.measured = measured
        self.unit = unit

    def met(self, value):
        return self.wanted is None or self.sign * value >= self.sign * self.wanted


def _at_least(text, wanted, measured, unit="x"):
    return Goal(text, 1, wanted, measured, unit)


def _at_most(text, wanted, measured, unit="x"):
    return Goal(text, -1, wanted, measured, unit)


def _shown(text, measured, unit="x"):
    return Goal(text, 1, None, measured, unit)


def _median(workload, system, field, scale=1.0):
    def measured(run):
        summary = run.figures.get((workload, system))
        return getattr(summary, field).median * scale if summary else None
    return measured


def _quotient(over, under):
    def measured(run):
        top, bottom = over(run), under(run)
        return top / bottom if top and bottom else None
    return measured


def _ratio(workload, over, under):
    return _quotient(_median(workload, over, "rate"), _median(workload, under, "rate"))


def _idle_bytes(run):
    return run.idle["parley"].user_bytes if "parley" in run.idle else None


def _direct_more(run):
    return max((fairness.more_ms.median for fairness in run.direct), default=None)


# Deliveries per server CPU second, as ratios within one run; a machine's absolute figures drift.
FLOOR_RATIO = _at_least("A: coalesced floor over plain floor, or the run does not count", 20,
                        _ratio("A", "coalesce", "plain"))
GOALS = (
    FLOOR_RATIO,
    _at_least("A: Parley over the coalesced floor", 0.85, _ratio("A", "parley", "coalesce")),
    _shown("A: Parley over the coalesced floor through Redis", _ratio("A", "parley", "coalesce-redis")),
    _at_least("A: Parley over Nchan", 25, _ratio("A", "parley", "nchan")),
    _at_least("A: Parley over Socket.IO", 40, _ratio("A", "parley", "socketio")),
    _at_least("A64: Parley over the coalesced floor through Redis", 0.8,
              _ratio("A64", "parley", "coalesce-redis")),
    _shown("A64: Parley over the coalesced floor without Redis", _ratio("A64", "parley", "coalesce")),
    _at_least("A256: Parley over the coalesced floor through Redis", 0.8,
              _ratio("A256", "parley", "coalesce-redis")),
    _shown("A256: Parley over the coalesced floor without Redis", _ratio("A256", "parley", "coalesce")),
    _at_most("A10k over A: Parley's CPU time for a delivery", 1.2,
             _quotient(_median("A", "parley", "rate"), _median("A10k", "parley", "rate"))),
    _at_most("A256: Redis' CPU time for a message to Parley", 3.5,
             _median("A256", "parley", "redis_us_per_message"), "µs"),
    _at_least("B: Parley over plain send", 0.95, _ratio("B", "parley", "plain")),
    _at_least("C: Parley, Redis' CPU time counted too", 0.6,
              _median("C", "parley", "rate_with_redis", 1e-6), "M/s"),
    _shown("C: coalesced floor through Redis, Redis' CPU time counted too",
           _median("C", "coalesce-redis", "rate_with_redis", 1e-6), "M/s"),
    _at_least("C: Parley with history off, the same", 0.8,
              _median("C", "parley-nohistory", "rate_with_redis", 1e-6), "M/s"),
    _at_least("D: Parley over plain send", 0.95, _ratio("D", "parley", "plain")),
    _at_most("D: Parley's p99 over plain send's", 1.0,
             _quotient(_median("D", "parley", "p99_ms"), _median("D", "plain", "p99_ms"))),
    _at_least("setup: connections and joins for a CPU second", 12000,
              _median("setup", "parley", "setups_per_cpu_s"), ""),
    _at_most("idle: user-space bytes of a connection", 2700, _idle_bytes, "bytes"),
    _at_most("direct: p99 beside a flood, above its quiet value, median of the rounds", 10, _direct_more, "ms"),
)
