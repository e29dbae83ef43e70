# SPDX-License-Identifier: MIT
"""The table of rows, and what a row may do while the load runs."""

import contextlib
import importlib
import os
import random
import time

from wait import Timeout, until

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = {}
LATE_ACKS_NS = 200_000_000


class NotRun(Exception):
    """This machine cannot do it; the text says why."""


class Row:
    """settle_s: bound for presence to be exact after the heal. calm_s: for the probes to be quick again
    (C12). bounds: others that the checker knows ("keys", "fds", "rss_kb", "probe_ms", "upgrades_per_s",
    "slow_readers": a gap may say that somebody was slow).
    settings: of the gateways. setup(arena): before anything is started. needs: attributes
    of the machine ("net"). load: arguments for the population. warm_s: of load before the fault."""

    def __init__(self, function, name, what, settle_s=5.0, calm_s=3.0, bounds=None, settings=None, redis_args=(),
                 gateways=3, wrapper=(), setup=None, needs=(), load=None, warm_s=2.0,
                 ci=False):
        self.function, self.name, self.what = function, name, what
        self.settle_s, self.calm_s = settle_s, calm_s
        self.settings, self.redis_args, self.gateways = settings or {}, redis_args, gateways
        self.wrapper, self.setup, self.needs, self.load = wrapper, setup, needs, load or {}
        self.warm_s, self.ci = warm_s, ci
        self.bounds = {"settle_s": settle_s, "calm_s": calm_s, **(bounds or {})}



def row(name, what, **options):
    """Registers a function of one argument, a Chaos, as the row of this name."""
    def register(function):
        assert name not in TABLE, f"two rows are called {name}"
        TABLE[name] = Row(function, name, what, **options)
        return function
    return register


def load_table():
    """Imports every module of faults/; returns the rows in the order of their numbers."""
    for file in sorted(os.listdir(os.path.join(HERE, "faults"))):
        if file.endswith(".py"):
            importlib.import_module(f"faults.{file[:-3]}")
    number = {name: (int("".join(c for c in name if c.isdigit())), name) for name in TABLE}
    return [TABLE[name] for name in sorted(TABLE, key=number.get)]


class Chaos:
    """Given to a row. Everything in it may be called from the row's thread."""

    def __init__(self, row_, seed, arena, load, record):
        self.row, self.seed, self.arena, self.load, self.record = row_, seed, arena, load, record
        self.random = random.Random(f"faults {row_.name} {seed}")
        self.gateways, self.redis, self.haproxy, self.net = (
            arena.gateways, arena.redis, arena.haproxy, arena.net)
        self.born = self.changed_at = time.monotonic()
        self.measured = {}
        self._under_way = 0
        self.failures = []

    @contextlib.contextmanager
    def fault(self, name, **params):
        """The block injects, holds and heals. When the last of several at a time ends, the packet rules are
        gone and nobody is frozen, whatever happened."""
        self._under_way += 1
        self.mark("fault", name, **params)
        try:
            yield
        finally:
            self._under_way -= 1
            if self._under_way == 0:
                self.net.clear()
                for process in self.arena.processes:
                    if process.frozen:
                        process.thaw()
            self.mark("heal", name)

    def mark(self, kind, name, **params):
        """Writes a `fault` or a `heal`; recovery times count from here."""
        self.changed_at = time.monotonic()
        self.record.write(kind, name=name, params=params)

    def since(self):
        """Seconds since the last fault or heal."""
        return time.monotonic() - self.changed_at

    def hold(self, seconds):
        """The load goes on."""
        time.sleep(seconds)

    def pick_gateway(self):
        return self.random.choice(self.gateways)

    def settle(self, name, within_s, gateways=None, patience_s=20.0):
        """Membership comes to rest, and every living gateway must show the truth this long after the last
        fault or heal. Observers of gateways that do not take part are no members meanwhile."""
        names = gateways or self.arena.alive
        self.load.call(self._adjust_observers, names)
        ok, after_s = self.load.run(self.load.settle(name, within_s, names, self.changed_at, patience_s))
        self.measure(f"{name}, s", after_s)
        return ok and after_s <= within_s

    def _adjust_observers(self, names):
        for gateway in list(self.load.observers):
            if gateway not in names:
                self.load.remove(self.load.observers.pop(gateway), "drop")
        for gateway in names:
            if gateway not in self.load.observers:
                self.load.observe(gateway).start()

    def churn(self):
        """Membership changes again: settle() ended that."""
        self.load.churning = True

    def send_home(self, clients, how="drop"):
        """These leave for good, without a word or with CLOSE."""
        def go():
            for client in clients:
                if client.stays_away:
                    continue  # its page was closed anyway
                for crowd in (self.load.residents, self.load.churners, self.load.crowd):
                    if client in crowd:
                        crowd.remove(client)
                self.load.remove(client, how)
        self.load.call(go)

    def of_gateway(self, gateway):
        return self.load.call(self.load.of_gateway, gateway.name)

    def strays(self):
        """Connected, and not welcome yet: they came to a gateway that cannot answer."""
        return self.load.call(lambda: [c for c in self.load.clients if c.connected and c.gateway is None])

    def drop_all(self, clients):
        """These lose their connection, and come back."""
        self.load.call(lambda: [client.drop() for client in clients])

    def until(self, condition, timeout_s, text):
        """Waits in the row's thread; a failure of this row when it does not come true."""
        try:
            until(condition, timeout_s, text, every_s=0.02)
            return True
        except Timeout as late:
            self.expect(False, str(late))
            return False

    def measure(self, name, value):
        """A number for the report; of several of one name all are kept."""
        self.measured.setdefault(name, []).append(value)

    def expect(self, condition, text):
        """What this row expects beyond the rules of the checker."""
        if not condition:
            self.failures.append(text)
            self.record.write("note", name="failure", text=text)

    def loss(self, why, since):
        """From `since` (time.monotonic()) until now Redis may have forgotten what was acked. To be called
        before Redis answers again; acks that are on their way count as well."""
        until_ns = time.monotonic_ns() + LATE_ACKS_NS
        self.record.write("loss", why=why, **{"from": int(since * 1e9), "to": until_ns})
