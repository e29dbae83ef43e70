# SPDX-License-Identifier: MIT
"""What a gateway takes for granted: that somebody takes its log, and that the clock goes on."""

import glob
import os
import subprocess
import time

from rows import NotRun, row

LIBFAKETIME = "/usr/lib/*/faketime/libfaketime.so.1"


def _bad_logs(arena):
    """The first writes to a small disk, the second to nobody, the third to a pipe that we hold."""
    on_disk, closed, piped = arena.gateways
    folder = os.path.join(arena.folder, "log")
    os.mkdir(folder)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        raise NotRun(f"needs to mount a tmpfs: {done.stderr.strip()}")
    arena.at_end(lambda: subprocess.run(["umount", "-l", folder], check=False))
    on_disk.log_path = os.path.join(folder, "gw.log")
    closed.argv = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *closed.argv]
    fifo = os.path.join(arena.folder, "pipe")
    os.mkfifo(fifo)
    arena.log_pipe = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    piped.argv = ["sh", "-c", f'exec "$@" >{fifo} 2>&1', "sh", *piped.argv]


@row("F28", "the disk of a log is full, another gateway has neither stdout nor stderr, the reader of a third one's "
            "log dies", settle_s=5, needs=("net",), setup=_bad_logs, settings={"log.level": "debug"})
def nobody_takes_the_log(chaos):
    on_disk, closed, piped = chaos.gateways
    absences = _absences(chaos)
    pids = [g.pid for g in chaos.gateways]
    with chaos.fault("logs"):
        _fill(os.path.join(os.path.dirname(on_disk.log_path), "filler"))
        os.close(chaos.arena.log_pipe)
        size = on_disk.log_size()
        chaos.hold(8)
        chaos.expect(on_disk.log_size() - size < 8192, "the fault took place: the disk takes no more")
        chaos.expect(closed.log() == "", "the fault took place: nothing is logged without stderr")
        os.remove(os.path.join(os.path.dirname(on_disk.log_path), "filler"))
    chaos.expect([g.pid for g in chaos.gateways if g.running] == pids, "all of them live")
    chaos.expect(all(g.readyz() == 200 for g in chaos.gateways), "all of them are ready")
    chaos.expect(_absences(chaos) == absences, "no resident loses its connection")
    size = on_disk.log_size()
    chaos.hold(2)
    chaos.expect(on_disk.log_size() > size, "with room on the disk the log goes on")


def _fill(path):
    try:
        with open(path, "wb", buffering=0) as file:
            while True:
                file.write(bytes(512))
    except OSError:
        return


def _absences(chaos):
    return sum(len(c.back_s) + (c.lost_at is not None) for c in chaos.load.residents)


def _own_clock(arena):
    library = next(iter(glob.glob(LIBFAKETIME)), None)
    if not library:
        raise NotRun("needs libfaketime (Debian: faketime)")
    arena.clock = os.path.join(arena.folder, "clock")
    _set(arena.clock, "+0")
    victim = arena.gateways[0]
    victim.env = {**victim.env, "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": arena.clock,
                  "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def _set(path, time_):
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(time_ + "\n")
    os.replace(path + ".new", path)


@row("F29", "the wall clock of one gateway jumps: an hour ahead, an hour back, to 1970, to 2038", settle_s=5,
     setup=_own_clock)
def clock_jumps(chaos):
    victim = chaos.gateways[0]
    absences, reaped = _absences(chaos), _reaped(chaos)
    jumps = {"+1h": "+1h", "-1h": "-1h", "1970": "@1970-01-01 00:00:05", "2038": "@2038-01-19 03:14:02"}
    names = chaos.random.sample(list(jumps), len(jumps))
    for name in names:
        log = victim.log_size()
        with chaos.fault("clock", gateway=victim.name, to=name):
            _set(chaos.arena.clock, jumps[name])
            chaos.drop_all(chaos.random.sample(chaos.load.residents, 6))
            chaos.hold(6)  # more than a lease
            _set(chaos.arena.clock, "+0")
        absences += 6
        chaos.expect(_jumped(victim.log(log)), f"the fault took place: its log shows another time ({name})")
        chaos.hold(1)
    chaos.until(lambda: all(c.connected for c in chaos.load.residents), 10, "everybody is there")
    more = _absences(chaos) - absences
    chaos.expect(more == 0, f"nobody else loses a connection ({more} did)")
    chaos.expect(_reaped(chaos) == reaped, "nobody is taken for dead")


def _jumped(text):
    today = tuple(time.strftime("ts=%Y-%m-%dT%H:", time.gmtime(time.time() - ago)) for ago in (0, 60))
    lines = [line for line in text.splitlines() if line.startswith("ts=")]
    return any(not line.startswith(today) for line in lines)


def _reaped(chaos):
    return sum(g.metrics().total("parley_gateways_reaped_total") for g in chaos.gateways)
