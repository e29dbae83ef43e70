# SPDX-License-Identifier: MIT
"""What a direct message waits while a neighbour room floods its gateway.

Each round times direct messages alone and then beside the flood, for every size of the room in turn, so that a
machine that slows down for a while slows both. What counts is the median of the rounds.
"""

import load
import workloads

# Sizes of the room that floods.
MEMBERS = (500, 1000, 2000, 5000)
# 200 direct messages a second: a p99 is that of the ten slowest.
SECONDS = 5


class Fairness:
    """Of one size, over all rounds. Milliseconds; more_ms: what the flood adds to the p99, round by round."""

    def __init__(self, members, samples):
        self.members = members
        self.rounds = len(samples)
        quiet = [sample.figures["quiet_latency_us"] for sample in samples]
        self.quiet_p50_ms = load.Spread([q["p50"] / 1000 for q in quiet])
        self.quiet_p99_ms = load.Spread([q["p99"] / 1000 for q in quiet])
        self.p50_ms = load.Spread([s.p50_ms for s in samples])
        self.p99_ms = load.Spread([s.p99_ms for s in samples])
        self.more_ms = load.Spread([s.p99_ms - q["p99"] / 1000 for s, q in zip(samples, quiet)])
        self.per_s = load.Spread([s.per_s for s in samples])
        self.faults = sum(sum(s.faults.values()) for s in samples)


def measure(all_systems, rounds, sizes=MEMBERS):
    """[Fairness], one for each size that gave figures."""
    found = {members: [] for members in sizes}
    for number in range(rounds if "parley" in all_systems.running else 0):
        turn = number % len(sizes)
        for members in sizes[turn:] + sizes[:turn]:
            workload = workloads.Workload("direct", "", ("parley",), options=("--members", str(members)))
            sample = all_systems.sample(workload, "parley", SECONDS)
            if sample:
                found[members].append(sample)
    return [Fairness(members, samples) for members, samples in found.items() if samples]
