# SPDX-License-Identifier: MIT
"""A small test runner.

A test is a function whose name is a sentence, in a module `test_<subject>.py`:

    CLUSTERS = {"main": dict(gateways=3), "alone": dict(gateways=1, redis=False, haproxy=False)}

    @test("main", "alone")
    def an_ack_comes_only_with_an_id(cluster): ...

It runs once per named cluster, which all tests of the module that name it share, one after another.
`@test("main", fresh=True)` gives it one of its own (for tests that break things), `long=True` leaves
it out with --quick, `@test()` gives it no cluster but the build folder. Groups (a module with one
cluster) run side by side, each in a process of its own. Every cluster's end is a test, too: each
gateway must exit with 0 after SIGTERM, and no log may hold a sanitizer's report.
"""

import argparse
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from contextlib import redirect_stdout

from cluster import Cluster

TEST_LIMIT_S = 90
_registry = []


class _Test:
    def __init__(self, function, clusters, fresh, long_):
        self.name = function.__name__
        self.function = function
        self.clusters = clusters
        self.fresh = fresh
        self.long = long_


def test(*clusters, fresh=False, long=False):
    def register(function):
        assert function.__name__ not in {t.name for t in _registry}, "two tests of one name"
        _registry.append(_Test(function, clusters, fresh, long))
        return function
    return register


class _TooLong(Exception):
    pass


def _on_alarm(_number, _frame):
    raise _TooLong(f"the test ran for more than {TEST_LIMIT_S} s")


def _short_trace():
    """The exception under way, without the frames of this file."""
    kind, error, trace = sys.exc_info()
    frames = [f for f in traceback.extract_tb(trace) if f.filename != __file__]
    lines = traceback.format_list(frames) + traceback.format_exception_only(kind, error)
    return "".join(lines)


class _Group:
    """The tests of one module on one cluster, in this process."""

    def __init__(self, module, cluster_name, options):
        self._module = module
        self._cluster_name = cluster_name
        self._options = options
        self._cluster = None
        self._starts_left = 3

    def run(self, tests):
        signal.signal(signal.SIGALRM, _on_alarm)
        shared = [t for t in tests if not t.fresh]
        for t in shared:
            self._report(t.name, lambda t=t: self._run_shared(t))
        if self._cluster:
            self._report("every_gateway_ends_cleanly", self._close_shared)
        for t in tests:
            if t.fresh:
                self._report(t.name, lambda t=t: self._run_fresh(t))

    def _spec(self):
        return self._module.CLUSTERS[self._cluster_name]

    def _run_shared(self, t):
        if not self._cluster_name:
            t.function(self._options.build)
            return
        if self._cluster is None:
            self._start_shared()
        marks = self._cluster.log_marks()
        try:
            t.function(self._cluster)
            self._cluster.assert_healthy(marks)
            dead = [g.name for g in self._cluster.gateways if not g.running]
            assert not dead, f"gateways that ended: {dead}"
        except BaseException:
            print(self._cluster.dump(marks))
            # The next test must not suffer from what this one left.
            if any(not p.running or p.frozen for p in self._cluster.processes):
                self._cluster.destroy()
                self._cluster = None
            raise

    def _start_shared(self):
        # A cluster that cannot start at all must not cost its time for every test.
        assert self._starts_left > 0, "the cluster did not start, or was broken too often"
        self._starts_left -= 1
        cluster = Cluster(self._options.build, **self._spec())
        cluster.start()
        self._cluster = cluster

    def _run_fresh(self, t):
        with Cluster(self._options.build, **self._spec()) as cluster:
            t.function(cluster)

    def _close_shared(self):
        self._cluster.close()

    def _report(self, name, body):
        output, started, ok = io.StringIO(), time.monotonic(), True
        signal.alarm(TEST_LIMIT_S)
        try:
            with redirect_stdout(output):
                body()
        except BaseException:
            ok = False
            output.write(_short_trace())
        finally:
            signal.alarm(0)
        print(json.dumps({"name": name, "ok": ok, "s": time.monotonic() - started,
                          "output": "" if ok else output.getvalue()}), flush=True)


def _load(folder, subject):
    _registry.clear()
    sys.path.insert(0, folder)
    module = importlib.import_module(f"test_{subject}")
    return module, list(_registry)


def _selected(options, subject, cluster_name, tests):
    return [t for t in tests
            if cluster_name in (t.clusters or ("",)) and not (t.long and options.quick)
            and options.pattern in f"{subject}[{cluster_name}]: {t.name}"]


def _subjects(folder):
    return sorted(name[5:-3] for name in os.listdir(folder)
                  if name.startswith("test_") and name.endswith(".py"))


def _groups(folder, options):
    """Every (subject, cluster name) that has a test to run; the ones declared slow come first."""
    found = []
    for subject in _subjects(folder):
        module, tests = _load(folder, subject)
        for name in dict.fromkeys(c for t in tests for c in (t.clusters or ("",))):
            if _selected(options, subject, name, tests):
                found.append((getattr(module, "WEIGHT", {}).get(name, 1), subject, name))
    return [(subject, name) for _, subject, name in sorted(found, key=lambda g: -g[0])]


class _Board:
    """What the parent prints: one line a test, and the output of those that failed."""

    def __init__(self):
        self.passed = self.failed = 0
        self._lock = threading.Lock()

    def result(self, group, result):
        with self._lock:
            self.passed += result["ok"]
            self.failed += not result["ok"]
            word = "ok  " if result["ok"] else "FAIL"
            label = f"{group[0]}[{group[1]}]" if group[1] else group[0]
            print(f"{word} {label}: {result['name']} ({result['s']:.2f} s)", flush=True)
            if result["output"]:
                print("\n".join("     " + line for line in result["output"].splitlines()), flush=True)


def _run_group_process(argv, group, board):
    command = [sys.executable, *argv, "--group", f"{group[0]}:{group[1]}"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in child.stdout:
        board.result(group, json.loads(line))
    if child.wait() != 0:
        board.result(group, {"name": "the_group_runs_to_its_end", "ok": False, "s": 0,
                             "output": f"its process ended with {child.returncode}"})


def _run_all(groups, argv, jobs, board):
    queue, lock = list(groups), threading.Lock()

    def worker():
        while True:
            with lock:
                if not queue:
                    return
                group = queue.pop(0)
            _run_group_process(argv, group, board)

    threads = [threading.Thread(target=worker) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main(folder):
    parser = argparse.ArgumentParser(description="End-to-end tests with private servers.")
    parser.add_argument("--build", required=True, help="the folder that holds the binary `parley`")
    parser.add_argument("--quick", action="store_true", help="leave out the long tests")
    parser.add_argument("-k", dest="pattern", default="", help="only tests whose name contains this")
    parser.add_argument("--jobs", type=int, default=2, help="groups of tests at a time (2)")
    parser.add_argument("--group", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not os.access(os.path.join(options.build, "parley"), os.X_OK):
        parser.error(f"no program `parley` in {options.build}")
    if options.group:
        subject, _, name = options.group.partition(":")
        module, tests = _load(folder, subject)
        _Group(module, name, options).run(_selected(options, subject, name, tests))
        return 0
    board = _Board()
    _run_all(_groups(folder, options), sys.argv, options.jobs, board)
    print(f"{board.passed} passed, {board.failed} failed")
    return 1 if board.failed or not board.passed else 0
