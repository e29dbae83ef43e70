# SPDX-License-Identifier: MIT
"""The benchmark in a minute, for every test run: does all of it still run, does nothing get lost, and is
nothing grossly slower? CI machines are too noisy for more; the goals themselves are only shown."""

import field
import report
import workloads

NAMES = ("parley", "coalesce", "coalesce-redis", "plain")
SECONDS = 1.5
# workload, systems, repeats
RUNS = (("A", ("parley", "coalesce", "plain"), 2), ("A256", ("parley", "coalesce-redis"), 1), ("B", ("parley", "plain"), 2),
        ("C", ("parley",), 1), ("D", ("parley",), 1))
# What no noise explains: (text, workload, over, under, at least).
GATES = (
    ("the coalesced floor is far above the plain one", "A", "coalesce", "plain", 8),
    ("Parley coalesces nearly as well as the floor", "A", "parley", "coalesce", 0.4),
    ("Parley coalesces without a cap", "A256", "parley", "coalesce-redis", 0.25),
    ("Parley costs little more than a plain send", "B", "parley", "plain", 0.45),
)


class Board:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, ok, text):
        self.passed += ok
        self.failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {text}", flush=True)


def run(options):
    board, result = Board(), report.Run([], 1, SECONDS)
    figures = result.figures
    with field.Field(options.build, NAMES) as all_systems:
        for name in NAMES:
            board.check(name in all_systems.running,
                        f"{report.label(name)} starts {all_systems.missing.get(name, '')}".strip())
        for workload, names, repeats in RUNS:
            found = all_systems.interleaved(workloads.ALL[workload], repeats, SECONDS, names)
            for name in names:
                summary = found.get(name)
                complete = summary and len(summary.samples) == repeats
                board.check(complete and not summary.faults and summary.rate.least > 0,
                            f"{workload}, {report.label(name)}: every message once and in order"
                            f"{'' if complete else ' (it did not run)'}"
                            f"{f' {summary.faults}' if summary and summary.faults else ''}")
                if summary:
                    figures[workload, name] = summary
        notes = all_systems.notes
    for text, workload, over, under, least in GATES:
        top, bottom = figures.get((workload, over)), figures.get((workload, under))
        ratio = top.rate.median / bottom.rate.median if top and bottom and bottom.rate.median else 0
        board.check(ratio >= least, f"{text}: {ratio:.2f}, and {least:g} is the least")
    for goal, value in report.goals(result):
        if goal.wanted is not None:
            print(f"     goal {'met' if goal.met(value) else 'missed here'}: {goal.text}: {value:.3g} "
                  f"of {goal.wanted:g} {goal.unit}")
    for note in notes:
        print(f"     {note}")
    print(f"{board.passed} passed, {board.failed} failed")
    return 1 if board.failed else 0
