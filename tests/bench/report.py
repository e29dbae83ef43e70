# SPDX-License-Identifier: MIT
"""The Markdown of RESULTS.md, and the plots beside it."""

import os

import svg
import systems
import workloads

KINDS = {"parley": "ours", "parley-nohistory": "ours", "coalesce": "floor",
         "coalesce-redis": "floor", "plain": "floor"}


def label(name):
    return systems.ALL[name].label


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def rate(spread):
    return f"{svg.short(spread.median)} ({svg.short(spread.least)}–{svg.short(spread.most)})"


def _overview(figures, names):
    """Workloads by systems: medians of deliveries per CPU second of the server."""
    rows = []
    for name in names:
        cells = [figures.get((workload, name)) for workload in workloads.ALL]
        if any(cells):
            rows.append([label(name), *(svg.short(c.rate.median) if c else "" for c in cells)])
    return table(["system", *workloads.ALL], rows)


def _ratio(summary, other):
    return f"{summary.rate.median / other.rate.median:.3g}" if other and other.rate.median else ""


def _floors(workload, figures):
    """What the others are measured by: the coalesced floors; where nothing can be coalesced the plain one."""
    found = [name for name in ("coalesce", "coalesce-redis") if (workload, name) in figures]
    return found or [name for name in ("plain",) if (workload, name) in figures]


def faults(summary):
    return ", ".join(f"{count} {what}" for what, count in sorted(summary.faults.items())) or "none"


def _detail(workload, figures, names):
    ours = figures.get((workload, "parley"))
    floors = _floors(workload, figures)
    rows = []
    for name in names:
        one = figures.get((workload, name))
        if not one:
            continue
        rows.append([label(name), rate(one.rate), svg.short(one.rate_with_redis.median),
                     _ratio(ours, one) if ours else "",
                     *(_ratio(one, figures[workload, floor]) for floor in floors),
                     svg.short(one.per_s.median), f"{one.p50_ms.median:.2f}", f"{one.p99_ms.median:.2f}",
                     f"{one.redis_us_per_message.median:.1f}" if systems.ALL[name].redis else "",
                     f"{one.generator.median:.2f}", faults(one)])
    rows.sort(key=lambda row: row[0] != "Parley")
    return (f"### {workload}: {workloads.ALL[workload].text}\n\n" +
            table(["system", "deliveries per CPU second, median (least–most)", "Redis' CPU counted too",
                   "Parley is × this", *(f"× of the {label(floor)}" for floor in floors),
                   "deliveries/s", "p50 ms", "p99 ms", "Redis µs a message", "generator's core", "faults"],
                  rows))


def goals(run):
    """(goal, value) of all goals that this run has figures for."""
    values = [(goal, goal.measured(run)) for goal in workloads.GOALS]
    return [(goal, value) for goal, value in values if value is not None]


def verdict(goal, value):
    if goal.wanted is None:
        return "shown only"
    return "yes" if goal.met(value) else f"**no** (by {100 * abs(1 - value / goal.wanted):.0f} %)"


def _goal_table(run):
    rows = []
    for goal, value in goals(run):
        wanted = "" if goal.wanted is None else f"{'≥' if goal.sign > 0 else '≤'} {goal.wanted:g} {goal.unit}"
        rows.append([goal.text, wanted,
                     f"{value:.3g} {goal.unit}" if value < 1000 else f"{value:,.0f} {goal.unit}",
                     verdict(goal, value)])
    return table(["goal", "wanted", "measured", "met"], rows)


def _setup_table(workload, figures, names):
    rows = []
    for name in names:
        one = figures.get((workload, name))
        if one:
            rows.append([label(name), rate(one.setups_per_cpu_s), svg.short(one.setups_per_s.median),
                         f"{one.setup_p99_ms.median:.1f}", faults(one)])
    return (f"### {workload}: {workloads.SETUPS[workload].text}\n\n" +
            table(["system", "for a CPU second, median (least–most)", "a second", "p99 ms", "faults"],
                  rows))


def _idle_table(idle):
    rows = [[label(name), f"{f.connections:,}", f"{f.user_bytes:,.0f}", f"{f.slab_bytes:,.0f}",
             f.closed]
            for name, f in idle.items()]
    return table(["system", "connections", "user-space bytes each", "kernel bytes each, both ends",
                  "lost"], rows)


def _span(spread):
    return f"{spread.median:.2f} ({spread.least:.2f}–{spread.most:.2f})"


def direct_table(found):
    """found: list of fairness.Fairness."""
    rows = [[f"{f.members:,}", f.rounds, f"{f.quiet_p50_ms.median:.2f}", _span(f.quiet_p99_ms),
             f"{f.p50_ms.median:.2f}", _span(f.p99_ms), f"{f.more_ms.median:+.2f}",
             f"{f.per_s.median:,.0f}", f.faults or "none"] for f in found]
    return table(["members of the room that floods", "rounds", "quiet p50 ms",
                  "quiet p99 ms, median (least–most)", "flooded p50 ms",
                  "flooded p99 ms, median (least–most)", "p99 more, median",
                  "deliveries/s of the flood", "faults"], rows)


def plots(figures, folder):
    """Writes one picture for each workload; returns {workload: file name}."""
    names = {}
    for workload in workloads.ALL:
        bars = [svg.Bar(label(name), s.rate.median, s.rate.least, s.rate.most, KINDS.get(name, "bar"))
                for (w, name), s in figures.items() if w == workload]
        if not bars:
            continue
        names[workload] = f"plot-{workload}.svg"
        text = svg.chart(f"{workload}: deliveries per CPU second of the server",
                         workloads.ALL[workload].text, bars)
        with open(os.path.join(folder, names[workload]), "w", encoding="utf-8") as file:
            file.write(text)
    return names


INTRO = """# Benchmarks

Written by `make bench`; the numbers in it are of one run on one machine, and only their ratios carry over to another. Systems take
turns, workload by workload; each cell is the median of {repeats} runs of {seconds:g} s, with the least and the most. A delivery is one
message at one member. CPU seconds are user and system time of the server's processes; Redis has its own column. All servers are one
process with the settings that their own documentation recommends (see the comments in [peers/](peers/)); the floors are in
[floor.c](floor.c), and the workloads in [the generator's manual](../../client/cli/README.md).

{spin}
"""
SPIN = ("In the workloads {names} the generator polls without sleeping (`--spin`), for every system: a server on the same machine "
        "pays for waking a\ngenerator that sleeps, and whose clients are elsewhere does not. \"Generator's core\" leaves out its "
        "polls that found nothing.")
NO_SPIN = "With one processor the generator sleeps between messages, and servers pay for waking it."


class Run:
    """All that a run found out."""

    def __init__(self, description, repeats, seconds):
        self.description = description
        self.repeats = repeats
        self.seconds = seconds
        self.figures = {}   # (workload, system) -> load.Summary
        self.idle = {}      # system -> idle.Figures
        self.direct = []    # fairness.Fairness
        self.missing = {}   # system -> why it was not run
        self.notes = []

    def markdown(self, pictures):
        names = list(systems.ALL)
        spinning = ", ".join(name for name, workload in workloads.ALL.items() if workload.spin)
        spin = SPIN.format(names=spinning) if systems.processors()[1] is not None else NO_SPIN
        parts = [INTRO.format(repeats=self.repeats, seconds=self.seconds, spin=spin),
                 table(["", ""], self.description), "## Goals\n", _goal_table(self),
                 "## Deliveries per CPU second of the server\n", _overview(self.figures, names)]
        for workload in workloads.ALL:
            if any(w == workload for w, _ in self.figures):
                parts.append(_detail(workload, self.figures, names))
                if workload in pictures:
                    parts.append(f"![{workload}]({pictures[workload]})\n")
        for workload in workloads.SETUPS:
            if any(w == workload for w, _ in self.figures):
                parts.append(_setup_table(workload, self.figures, names))
        if self.idle:
            parts += ["## Idle connections, joined to rooms of 10\n", _idle_table(self.idle)]
        if self.direct:
            parts += ["## A direct message while a neighbour floods\n", direct_table(self.direct)]
        if self.missing or self.notes:
            parts.append("## Not run, and other notes\n")
            parts.append("".join(f"- not run: {label(n)}: {why}\n" for n, why in self.missing.items()) +
                         "".join(f"- {note}\n" for note in self.notes))
        return "\n".join(parts)
