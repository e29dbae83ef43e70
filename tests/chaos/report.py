# SPDX-License-Identifier: MIT
"""The table of all rows, written into a document between its markers. A run of some rows writes theirs alone."""

import datetime
import statistics

BEGIN, END = "<!-- begin chaos -->", "<!-- end chaos -->"
COUNTS = ("sent", "acked", "refused", "unknown", "delivered", "resumed", "gaps")


def _result(outcomes):
    words = [o.result for o in outcomes]
    if all(word == "not run" for word in words):
        return f"not run: {outcomes[0].why[0]}"
    passed, failed = words.count("passed"), words.count("failed")
    return f"**{failed} of {passed + failed} failed**" if failed else f"{passed} passed" if passed > 1 else "passed"


def _numbers(outcomes):
    merged = {}
    for outcome in outcomes:
        for name, values in outcome.measured.items():
            merged.setdefault(name, []).extend(values)
    return "; ".join(f"{name}: {values[0]:.2f}" if len(values) == 1 else
                     f"{name}: {statistics.median(values):.2f} (worst {max(values):.2f} of {len(values)})"
                     for name, values in merged.items())


def _counts(outcomes):
    return " / ".join(str(sum(o.counts.get(name, 0) for o in outcomes)) for name in COUNTS)


def lines_of(outcomes):
    """The table's lines by the name of their row; one for all seeds of a fault."""
    lines, by_row = {}, {}
    for outcome in outcomes:
        by_row.setdefault(outcome.row.name, []).append(outcome)
    today = datetime.date.today().isoformat()
    for name, group in by_row.items():
        seeds = [o.seed for o in group]
        span = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]}–{seeds[-1]}"
        lines[name] = (f"| {name} | {group[0].row.what} | {_counts(group)} | {_numbers(group)} "
                       f"| {_result(group)} | {span} | {today} |")
    return lines


def table(old, outcomes, names):
    """names: of all rows that there are, in their order."""
    lines = {line.split(" ")[1]: line for line in old if line.startswith("| F")}
    lines.update(lines_of(outcomes))
    return [f"| row | what was done | {' / '.join(COUNTS)} | measured | result | seeds | date |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *(lines[name] for name in names if name in lines)]


def write(path, outcomes, names):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    head, _, rest = text.partition(BEGIN)
    old, found, tail = rest.partition(END)
    assert found, f"{path} has no {BEGIN} and {END}"
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join([head + BEGIN, *table(old.splitlines(), outcomes, names), END + tail]))
