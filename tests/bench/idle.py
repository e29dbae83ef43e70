# SPDX-License-Identifier: MIT
"""What a connection costs that says nothing: memory in user space and in the kernel, heartbeats, set-up."""

import glob
import json
import os
import re
import signal
import subprocess
import sys
import time

import load
import systems

sys.path.insert(0, os.path.join(systems.ROOT, "tests", "lib"))

from wait import until  # noqa: E402

ROOM = 10          # members of a room
SETTLE_S = 2       # after the last welcome, for digests of presence and freed memory
SPARE_FILES = 200  # of a process's limit, for all that is not a connection


class Memory:
    """user: bytes of the given processes (their share of shared pages). slab, tcp: of the whole machine."""

    def __init__(self, pids):
        self.user = sum(_kb(f"/proc/{pid}/smaps_rollup", "Pss") for pid in pids) * 1024
        self.slab = _kb("/proc/meminfo", "Slab") * 1024
        self.tcp = _tcp_pages() * os.sysconf("SC_PAGE_SIZE")


def _kb(path, name):
    with open(path, encoding="ascii", errors="replace") as file:
        found = re.search(rf"^{name}:\s+(\d+) kB", file.read(), re.M)
    return int(found.group(1)) if found else 0


def _tcp_pages():
    with open("/proc/net/sockstat", encoding="ascii") as file:
        found = re.search(r"^TCP:.* mem (\d+)", file.read(), re.M)
    return int(found.group(1)) if found else 0


def _cpu_s(pids):
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _open_files(pids):
    return sum(len(glob.glob(f"/proc/{pid}/fd/*")) for pid in pids)


def _steady_files(pids):
    """Open files once their number stays the same: whoever asked whether the server is ready has gone."""
    seen = []

    def steady():
        seen.append(_open_files(pids))
        return len(seen) > 5 and len(set(seen[-5:])) == 1
    until(steady, 10, "the number of open files stays the same", every_s=0.1)
    return seen[-1]


class Figures:
    """of one system: connections held, bytes for each, CPU seconds of set-up and of holding them.

    heartbeats: answered, from each generator's last welcome on; refused: what the generators counted as faults.
    """

    def __init__(self, connections, before, after, setup_cpu_s, hold_cpu_s, hold_s, closed, answers):
        self.connections = connections
        self.user_bytes = (after.user - before.user) / connections
        self.slab_bytes = (after.slab - before.slab) / connections
        self.tcp_bytes = (after.tcp - before.tcp) / connections
        self.setups_per_cpu_s = connections / setup_cpu_s if setup_cpu_s else 0
        self.hold_s = hold_s
        self.core_per_100k = hold_cpu_s / hold_s * 1e5 / connections if hold_s else 0
        self.closed = closed
        self.heartbeats = sum(answer["heartbeats"] for answer in answers)
        self.refused = sum(answer[name] for answer in answers for name in ("failed", "closed", "errors"))


def _shares(count, parts):
    return [count * (i + 1) // parts - count * i // parts for i in range(parts)]


def _start_generator(build, running, number, connections):
    """It holds its connections until SIGTERM; an hour is only for the case that none comes."""
    argv = load.generator(build, running, "--workload", "idle",
                          "--connections", str(connections), "--rooms", str(max(1, connections // ROOM)),
                          "--room-prefix", f"idle-{number}-", "--seconds", "3600", "--setup-timeout", "600")
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _answers(generators):
    """What the generators counted; SIGTERM ends their measuring."""
    for generator in generators:
        generator.send_signal(signal.SIGTERM)
    answers = []
    for generator in generators:
        out, err = generator.communicate(timeout=60)
        try:
            answers.append(json.loads(out))
        except json.JSONDecodeError:
            raise load.LoadFailed(f"a generator gave no figures: {err.strip()[-300:]}") from None
    return answers


def hold(build, runnings, connections, seconds):
    """Holds that many connections for that long, spread over the given servers, one generator for each."""
    pids = [pid for running in runnings for pid in running.pids]
    files, cpu, before = _steady_files(pids), _cpu_s(pids), Memory(pids)
    generators = [_start_generator(build, running, number, share) for number, (running, share)
                  in enumerate(zip(runnings, _shares(connections, len(runnings))))]
    try:
        deadline_s = 60 + connections / 500
        until(lambda: _open_files(pids) - files >= connections or
              any(g.poll() is not None for g in generators), deadline_s, "all are connected", every_s=0.1)
        time.sleep(SETTLE_S)  # What is measured is the state after a while, not a condition.
        setup_cpu_s = _cpu_s(pids) - cpu
        held = _open_files(pids) - files
        after = Memory(pids)
        started, cpu = time.monotonic(), _cpu_s(pids)
        time.sleep(seconds)
        hold_s, hold_cpu_s = time.monotonic() - started, _cpu_s(pids) - cpu
        closed = held - (_open_files(pids) - files)
        ended = [g.communicate()[1].strip()[-300:] for g in generators if g.poll() is not None]
        if held <= 0 or ended:
            raise load.LoadFailed(f"the connections did not stay: {ended}")
        return Figures(held, before, after, setup_cpu_s, hold_cpu_s, hold_s, closed, _answers(generators))
    finally:
        for generator in generators:
            generator.kill()
            generator.communicate()
