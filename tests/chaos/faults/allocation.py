# SPDX-License-Identifier: MIT
"""An allocation that fails: the documented end (common/alloc.h), or, in a library that copes, no harm at all."""

import mmap
import os
import shutil
import struct
import subprocess

from rows import HERE, NotRun, row
from wait import until

UNDER_LOAD, AT_START = 10, 8
FIRST_UNDER_LOAD = 3000  # a busy gateway makes as many in some seconds
FAR = 1 << 40
ABORTED, UNAVAILABLE = -6, 69  # SIGABRT; EX_UNAVAILABLE, as `parley --help` has it
# How it may end: what it says, and its exit code. libwebsockets answers a failed start with an error.
ENDS = {"out of memory": ("parley: out of memory", ABORTED), "assertion": ("!= NULL' failed", ABORTED),
        "refused to start": ("parley: libwebsockets cannot start", UNAVAILABLE)}


class _Countdown:
    """The number that the shim counts down, for one gateway."""

    def __init__(self, path):
        with open(path, "wb") as file:
            file.write(bytes(8))
        with open(path, "r+b") as file:
            self._page = mmap.mmap(file.fileno(), 8)

    @property
    def left(self):
        return struct.unpack("q", self._page[:8])[0]

    def arm(self, number):
        self._page[:8] = struct.pack("q", number)


def _build_shim(arena):
    compiler = shutil.which("cc")
    if not compiler:
        raise NotRun("needs a C compiler, for the shim")
    shim = os.path.join(arena.folder, "failing_malloc.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o", shim,
                    os.path.join(HERE, "failing_malloc.c")], check=True)
    arena.countdowns = {}
    for gateway in arena.gateways:
        path = os.path.join(arena.folder, f"{gateway.name}.countdown")
        arena.countdowns[gateway.name] = _Countdown(path)
        gateway.env = {**gateway.env, "LD_PRELOAD": shim, "FAILING_MALLOC": path}
    _try_out(arena.gateways[0])


def _try_out(gateway):
    """A sanitizer wants to be the first library, and allocates by itself."""
    done = subprocess.run([gateway.argv[0], "--version"], env=gateway.env, capture_output=True, text=True)
    if done.returncode:
        raise NotRun(f"this build takes no preloaded malloc: {done.stderr.strip()[:200]}")


@row("F27", f"one allocation fails: {UNDER_LOAD} times under load, {AT_START} times at a start; wherever the seed says",
     settle_s=8, calm_s=8, setup=_build_shim)
def allocation_fails(chaos):
    ended = {**dict.fromkeys(ENDS, 0), "unharmed": 0}
    for _ in range(UNDER_LOAD):
        _under_load(chaos, chaos.pick_gateway(), ended)
    most = _of_a_start(chaos, chaos.pick_gateway())
    chaos.measure("allocations of a start", most)
    for _ in range(AT_START):
        _at_start(chaos, chaos.pick_gateway(), chaos.random.randrange(1, most), ended)
    for how, count in ended.items():
        chaos.measure(f"{how}, times", count)
    chaos.expect(ended["out of memory"] > 0, "the fault took place: somebody aborted")


def _under_load(chaos, victim, ended):
    countdown, log = chaos.arena.countdowns[victim.name], victim.log_size()
    number = chaos.random.randrange(1, FIRST_UNDER_LOAD)
    with chaos.fault("malloc", gateway=victim.name, number=number):
        countdown.arm(number)
        chaos.until(lambda: countdown.left <= 0, 20, "an allocation fails")
        chaos.hold(0.3)
        _judge(chaos, victim, log, number, ended)
        if not victim.running:
            victim.restart()
    chaos.hold(0.3)


def _of_a_start(chaos, victim):
    countdown = chaos.arena.countdowns[victim.name]
    with chaos.fault("kill -9", gateway=victim.name):
        victim.kill()
        countdown.arm(FAR)
        victim.restart()
        used = FAR - countdown.left
        countdown.arm(0)
    return used


def _at_start(chaos, victim, number, ended):
    """It ends as documented, or comes up; then once more without the fault."""
    countdown = chaos.arena.countdowns[victim.name]
    with chaos.fault("malloc at start", gateway=victim.name, number=number):
        victim.kill()
        log = victim.log_size()
        countdown.arm(number)
        victim.start()
        until(lambda: not victim.running or victim.readyz() == 200, 15, f"{victim.name} ends or is ready ({number})")
        _judge(chaos, victim, log, number, ended)
        countdown.arm(0)
        if not victim.running:
            victim.restart()


def _judge(chaos, victim, log, number, ended):
    """Guests that cannot go on without memory are asked for it at a start, by an assertion."""
    if victim.running:
        ended["unharmed"] += 1
        return
    text = victim.log(log)
    said = next((how for how, end in ENDS.items() if end[0] in text and victim.exit_code == end[1]), None)
    if said:
        ended[said] += 1
    chaos.expect(said, f"{victim.name}, allocation {number}: ended with {victim.exit_code}; its log ends: {text[-400:]}")
