# SPDX-License-Identifier: MIT
"""Several workers behind one port, unix sockets behind HAProxy, and fairness between rooms; writes WORKERS.md.

Its three parts can be asked for one by one: --workloads scaling,haproxy,fairness.
"""

import os

import balanced
import fairness
import field
import machine
import report
import svg
import systems
import workloads

PARTS = ("scaling", "haproxy", "fairness")
COUNTS = (1, 2, 4)
SCALING = ("A", "C")
BEHIND = ("C", "B")
SETUP = workloads.Workload("setup", "5,000 connect and join rooms of 10, a hundred at a time", (),
                           options=("--connections", "5000"))

INTRO = """# Workers, unix sockets, fairness

Written by `make bench-workers`. Medians of {repeats} runs of {seconds:g} s, with the least and the most; the systems of a table take
turns, and only the ratios within a table carry over to another machine.
"""

SCALING_TEXT = """## `--server.workers`

**This machine has {cpus} processors, and the generator (one thread) and Redis share them with the workers**; nothing is pinned here.
So the most that {cpus} processors can give to workers is what the generator and Redis leave, and with more workers than
processors the figures show what the surplus costs, not what it gains. What carries over is the column of deliveries for a CPU
second (it falls where several workers each get every message of a room from Redis) and how evenly the workers are used.
"""

HAPROXY_TEXT = """## HAProxy in front: TCP or a unix socket to the gateway

The shipped [haproxy.cfg](../../deploy/haproxy/haproxy.cfg) as it stands. One gateway; HAProxy, gateway and Redis on one processor,
the generator on another.
"""

FAIRNESS_TEXT = """## A direct message while a neighbour floods

One gateway. 10 pairs send each other 200 direct messages a second in all, first alone and then while one room is flooded (a
closed loop, 32 in flight: as much as the gateway can). "More" is taken round by round.
"""


def _workers(count):
    name = f"workers-{count}"
    return systems.System(name, f"{count} worker{'s' * (count > 1)}", "parley", systems.parley(workers=count),
                          ready=systems.parley_ready, workers=count if count > 1 else 0, pinned=False)


def _cpu(samples, name):
    """CPU seconds of each process of that name, summed over all runs, in the order of their pids."""
    found = {}
    for sample in samples:
        for process in sample.figures["processes"]:
            if process["name"] == name:
                found[process["pid"]] = found.get(process["pid"], 0) + process["cpu_s"]
    return [found[pid] for pid in sorted(found)]


def _seconds(values):
    return ", ".join(f"{value:.2f}" for value in values) or "0"


def _scaling_rows(found, setup):
    rows, first = [], next(iter(found.values()), None)
    for name, one in found.items():
        cpu = _cpu(one.samples, name)
        # The parent only waits; its share is shown by the gap between the sum and its children.
        workers = cpu[1:] if len(cpu) > 1 else cpu
        rate, per_s = (one.setups_per_cpu_s, one.setups_per_s) if setup else (one.rate, one.per_s)
        base = first.setups_per_s if setup else first.per_s
        rows.append([name.removeprefix("workers-"), report.rate(per_s), f"{per_s.median / base.median:.2f}",
                     report.rate(rate), _seconds(workers), _seconds(_cpu(one.samples, "redis")),
                     f"{one.generator.median:.2f}" if not setup else "", report.faults(one)])
    return rows


def _scaling_table(workload, found):
    setup = workload.name == "setup"
    what = "set-ups" if setup else "deliveries"
    head = ["workers", f"{what} a second, median (least–most)", "× one worker", f"{what} a CPU second",
            "CPU seconds of each worker, all runs", "of Redis", "generator's core", "faults"]
    return f"### {workload.name}: {workload.text}\n\n" + report.table(head, _scaling_rows(found, setup))


def measure_scaling(options, notes):
    every = {s.name: s for s in map(_workers, COUNTS)}
    tables = [SCALING_TEXT.format(cpus=os.cpu_count())]
    with field.Field(options.build, list(every), every) as all_systems:
        for workload in (*(workloads.ALL[name] for name in SCALING), SETUP):
            found = all_systems.interleaved(workload, options.repeats, options.seconds, list(every))
            tables.append(_scaling_table(workload, found))
        _note(all_systems, every, notes)
    return tables


def _behind_rows(found, setup):
    rows = []
    for name, one in found.items():
        count = sum(s.figures["setup"]["opened"] if setup else s.deliveries for s in one.samples)
        gateway, balancer = (sum(_cpu(one.samples, which)) for which in (name, "balancer"))
        per_s = one.setups_per_s if setup else one.per_s
        p50, p99 = one.p50_ms.median, (one.setup_p99_ms if setup else one.p99_ms).median
        rows.append([balanced.ALL[name].label, report.rate(per_s), *(
            svg.short(count / cpu) if cpu else "" for cpu in (gateway, balancer, gateway + balancer)),
            f"{gateway:.2f}", f"{balancer:.2f}" if balancer else "", "" if setup else f"{p50:.2f}",
            f"{p99:.2f}", report.faults(one)])
    return rows


def _behind_table(workload, found):
    setup = workload.name == "setup"
    what = "set-ups" if setup else "deliveries"
    head = ["way", f"{what} a second, median (least–most)", f"{what} a CPU second of the gateway",
            "of HAProxy", "of both", "CPU seconds of the gateway, all runs", "of HAProxy", "p50 ms", "p99 ms",
            "faults"]
    return f"### {workload.name}: {workload.text}\n\n" + report.table(head, _behind_rows(found, setup))


def measure_haproxy(options, notes):
    every = balanced.ALL
    tables = [HAPROXY_TEXT]
    with field.Field(options.build, list(every), every) as all_systems:
        for workload in (*(workloads.ALL[name] for name in BEHIND), SETUP):
            found = all_systems.interleaved(workload, options.repeats, options.seconds, list(every))
            tables.append(_behind_table(workload, found))
        _note(all_systems, every, notes)
    return tables


def measure_fairness(options, notes):
    with field.Field(options.build, ["parley"]) as all_systems:
        found = fairness.measure(all_systems, options.repeats)
        _note(all_systems, systems.ALL, notes)
    return [FAIRNESS_TEXT, report.direct_table(found)]


def _note(all_systems, every, notes):
    notes += [f"not run: {every[name].label}: {why}" for name, why in all_systems.missing.items()]
    notes += all_systems.notes


MEASURES = {"scaling": measure_scaling, "haproxy": measure_haproxy, "fairness": measure_fairness}


def run(options):
    parts = [part for part in PARTS if not options.workloads or part in options.workloads]
    notes, texts = [], [INTRO.format(repeats=options.repeats, seconds=options.seconds),
                        report.table(["", ""], machine.description(options.build, options.command))]
    for part in parts:
        texts += MEASURES[part](options, notes)
    if notes:
        texts.append("## Notes\n\n" + "".join(f"- {note}\n" for note in notes))
    complete = parts == list(PARTS) and not notes
    folder = options.output or (systems.HERE if complete else os.path.join(options.build, "bench"))
    path = os.path.join(folder, "WORKERS.md")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(texts))
    field.say(f"bench: wrote {path}")
    return 0 if not notes else 1
