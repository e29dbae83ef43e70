# SPDX-License-Identifier: MIT
"""Every client's link is cut for two seconds, again and again, while messages flow; writes DROPS.md."""

import os

import field
import machine
import report
import systems
import workloads

NAMES = ("parley", "socketio-streams", "socketio-memory", "ws")
SECONDS = 40
WORKLOAD = workloads.Workload("drops", "", NAMES)
EXPLAIN = """# Cut links

Written by `make bench-drops`: 1,000 clients in 10 rooms, 200 messages a second; every client's link is cut for 2 s out of every 10 s,
without a goodbye. A message counts as delivered when it reached the member once, live or after the reconnect. Parley resumes with
`since`; Socket.IO with its connection state recovery, on the two adapters whose documentation says that they can do that; `ws` has
nothing of the kind and shows what the cuts cost.
"""


def _row(name, sample):
    drops = sample.figures["drops"]
    return [report.label(name), f"{drops['expected']:,}", f"{drops['expected'] - drops['missed']:,}",
            f"{drops['delivered_percent']:.3f} %", sample.figures["duplicates"],
            sample.figures["reordered"], drops["cuts"], drops["returns"], drops["recovered"],
            f"{sample.p50_ms:.2f}", f"{sample.p99_ms:.2f}"]


def whole(sample):
    """Links were cut, all came back, and everything arrived once and in order."""
    drops = sample.figures["drops"]
    return (drops["cuts"] > 0 and drops["returns"] == drops["cuts"] and drops["missed"] == 0
            and not sample.faults)


def run(options):
    names = [n for n in NAMES if not options.systems or n in options.systems]
    peers = field.install_peers(options.build)
    rows, samples = [], {}
    with field.Field(options.build, names) as all_systems:
        for name in names:
            if name in all_systems.running:
                sample = all_systems.sample(WORKLOAD, name, SECONDS)
                if sample:
                    samples[name] = sample
                    rows.append(_row(name, sample))
        notes = [peers] if peers else []
        notes += [f"not run: {report.label(n)}: {why}" for n, why in all_systems.missing.items()]
        notes += all_systems.notes
    text = "\n".join([EXPLAIN,
                      report.table(["", ""], machine.description(options.build, options.command)),
                      report.table(["system", "expected", "delivered", "share", "duplicates", "out of order",
                                    "cuts", "came back", "recovered", "p50 ms", "p99 ms"], rows),
                      "".join(f"- {note}\n" for note in notes)])
    path = os.path.join(options.output or systems.HERE, "DROPS.md")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    print(text)
    return 0 if "parley" in samples and whole(samples["parley"]) else 1
