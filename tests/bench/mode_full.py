# SPDX-License-Identifier: MIT
"""The complete benchmark: Parley, floors, peers; writes RESULTS.md and its plots."""

import os
import tempfile

import fairness
import field
import idle
import load
import machine
import report
import systems
import workloads

IDLE_CONNECTIONS = 5000
IDLE_HOLD_S = 3
# For cut links alone.
LEFT_OUT = ("socketio-streams", "socketio-memory")


def chosen(options):
    names = [n for n in systems.ALL if n not in LEFT_OUT]
    return [n for n in names if not options.systems or n in options.systems]


def measure_idle(build, names, notes):
    """{system: idle.Figures}, each of a fresh server."""
    found = {}
    for name in names:
        if name in ("parley-nohistory", "coalesce", "coalesce-redis"):
            continue  # An idle connection of theirs is the same as their sibling's.
        with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
            try:
                running = systems.Running(systems.ALL[name], build, folder)
            except field.CANNOT_START as error:
                notes.append(f"idle, {report.label(name)}: {field.brief(error)}")
                continue
            try:
                found[name] = idle.hold(build, [running], IDLE_CONNECTIONS, IDLE_HOLD_S)
                field.say(f"bench: idle  {report.label(name):28} {found[name].user_bytes:12,.0f} bytes each")
            except (load.LoadFailed, AssertionError, OSError) as error:
                notes.append(f"idle, {report.label(name)}: {field.brief(error)}")
            finally:
                running.close()
    return found


def measure_all(result, options, names, asked):
    every = {**workloads.ALL, **workloads.SETUPS}
    with field.Field(options.build, names) as all_systems:
        for workload in (every[name] for name in every if name in asked):
            found = all_systems.interleaved(workload, options.repeats, options.seconds)
            result.figures.update({(workload.name, name): s for name, s in found.items()})
        if "direct" in asked:
            result.direct = fairness.measure(all_systems, options.repeats)
        result.missing = all_systems.missing
        result.notes += all_systems.notes
    if "idle" in asked:
        result.idle = measure_idle(options.build, names, result.notes)


def run(options):
    names = chosen(options)
    asked = options.workloads or [*workloads.ALL, *workloads.SETUPS, "idle", "direct"]
    partial = options.workloads or options.systems
    folder = options.output or (os.path.join(options.build, "bench") if partial else systems.HERE)
    peers = field.install_peers(options.build) if {"ws", "socketio"} & set(names) else None
    result = report.Run(machine.description(options.build, options.command), options.repeats,
                        options.seconds)
    if peers:
        result.notes.append(f"npm could not install the Node peers: {peers}")
    measure_all(result, options, names, asked)
    return judge(result, options, folder)


def why_not(result):
    """Why the run does not count: Parley lost something, or the floors are not apart. None: it counts."""
    faults = {key: s.faults for key, s in result.figures.items()
              if key[1] in report.KINDS and s.faults}
    ratio = workloads.FLOOR_RATIO.measured(result)
    if faults:
        return f"messages were lost or repeated: {faults}"
    if ratio is not None and not workloads.FLOOR_RATIO.met(ratio):
        return (f"the coalesced floor is {ratio:.1f} times the plain one, and {workloads.FLOOR_RATIO.wanted} is "
                "the least; the machine is busy with something else")
    return None


def judge(result, options, folder):
    """Writes the report; that of a run that does not count into the build folder, and it says so."""
    why = why_not(result)
    if why:
        result.notes.insert(0, f"**this run does not count**: {why}")
        field.say(f"bench: this run does not count: {why}")
        folder = os.path.join(options.build, "bench")
    pictures = report.plots(result.figures, folder)
    path = os.path.join(folder, "RESULTS.md")
    with open(path, "w", encoding="utf-8") as file:
        file.write(result.markdown(pictures))
    field.say(f"bench: wrote {path}")
    return 1 if why else 0
