# SPDX-License-Identifier: MIT
"""Holds as many connections as asked for, over several gateways; writes IDLE.md.

A process may hold only so many open files, so each gateway and each generator gets a share; every
generator uses addresses of its own within 127.0.0.0/8, since an address has only so many ports.
"""

import os
import resource
import tempfile

import field
import idle
import load
import machine
import report
import systems

# Two heartbeats and a bit at the default of 25 s, so that their cost is in the figure.
HOLD_S = 60
# Of a core, for 100,000 connections that are held.
CORE_MOST = 0.1
EXPLAIN = """# Idle connections

Written by `make bench-idle N={connections}`. Every connection is a user of its own, joined to a room of {room}, answers heartbeats, and
says nothing else. Whoever does not answer a heartbeat is closed after 35 s, so none lost in {seconds} s means that all were answered.
A process may hold only so many open files, so there are several gateways, which share one Redis. The kernel's bytes are of both ends, since the clients are on the same machine, and of the whole machine.
"""


def gateways_for(connections):
    """As many processes as the limit of open files asks for."""
    each = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - idle.SPARE_FILES
    return max(1, -(-connections // each))


def hold(build, count, connections):
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        runnings = []
        try:
            for _ in range(count):
                runnings.append(systems.Running(systems.ALL["parley"], build, folder,
                                                beside=runnings[0] if runnings else None))
            return idle.hold(build, runnings, connections, HOLD_S)
        finally:
            for running in reversed(runnings):
                running.close()


def run(options):
    count = gateways_for(options.connections)
    field.say(f"bench: {options.connections:,} connections over {count} gateways, held for {HOLD_S} s")
    try:
        figures = hold(options.build, count, options.connections)
    except (load.LoadFailed, *field.CANNOT_START) as error:
        field.say(f"bench: {field.brief(error)}")
        return 1
    core = figures.core_per_100k
    rows = [["connections held", f"{figures.connections:,}"], ["lost while held", figures.closed],
            ["closed, refused, or told of an error, as the clients saw it", figures.refused],
            ["heartbeats answered, of both kinds", f"{figures.heartbeats:,}"],
            ["gateways, and as many generators", count],
            ["user-space bytes each", f"{figures.user_bytes:,.0f}"],
            ["kernel bytes each, both ends (slab)", f"{figures.slab_bytes:,.0f}"],
            ["kernel bytes each, both ends (TCP buffers)", f"{max(0, figures.tcp_bytes):,.0f}"],
            ["connect, upgrade, join, welcome: a CPU second of the gateways",
             f"{figures.setups_per_cpu_s:,.0f}"],
            [f"cores for each 100,000 while held, heartbeats answered (goal: under {CORE_MOST:g})",
             f"{core:.3f}{'' if core < CORE_MOST else ' (**missed**)'}"]]
    text = "\n".join([EXPLAIN.format(connections=options.connections, room=idle.ROOM, seconds=HOLD_S),
                      report.table(["", ""], machine.description(options.build, options.command)),
                      report.table(["", ""], rows)])
    complete = (figures.connections >= options.connections and figures.closed == 0 and figures.refused == 0
                and figures.heartbeats >= 2 * figures.connections)
    folder = options.output or (systems.HERE if complete else os.path.join(options.build, "bench"))
    path = os.path.join(folder, "IDLE.md")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    print(text)
    field.say(f"bench: wrote {path}")
    return 0 if complete else 1
