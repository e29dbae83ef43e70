# SPDX-License-Identifier: MIT
"""Puts a system under load with the generator, `parley bench`, and keeps what it says."""

import json
import os
import subprocess

import systems


# A slow server with much in flight needs seconds for what was sent last; that is no loss.
PATIENCE = ("--drain", "20", "--stall", "15")


class LoadFailed(Exception):
    """The generator gave no figures; the text says why."""


class Sample:
    """One run. figures: the generator's JSON (client/cli/README.md). rate: deliveries per CPU second of
    the server; rate_with_redis: of all processes, Redis and a balancer, too; generator: its share of a core."""

    def __init__(self, figures):
        self.figures = figures
        self.deliveries = figures["deliveries"]
        self.per_s = figures["deliveries_per_s"]
        self.rate = figures["deliveries_per_cpu_s"]
        both = figures["cpu_s"] + figures["aux_cpu_s"]
        self.rate_with_redis = self.deliveries / both if both else 0
        self.redis_us_per_message = (figures["aux_cpu_s"] * 1e6 / figures["sent"]
                                     if figures["sent"] else 0)
        self.p50_ms = figures["latency_us"]["p50"] / 1000
        self.p99_ms = figures["latency_us"]["p99"] / 1000
        self.generator = figures["generator_cpu"]
        self.setups_per_cpu_s = figures["setup"]["per_cpu_s"]
        self.setups_per_s = figures["setup"]["per_s"]
        self.setup_p99_ms = figures["setup"]["latency_us"]["p99"] / 1000
        self.faults = {name: figures[name] for name in
                       ("lost", "duplicates", "reordered", "diverged", "stalls", "failed", "closed",
                        "errors") if figures.get(name)}
        self.why = figures["why"] if self.faults else ""


class Spread:
    """Median, least and most of several runs."""

    def __init__(self, values):
        ordered = sorted(values)
        middle = len(ordered) // 2
        self.least, self.most = ordered[0], ordered[-1]
        self.median = (ordered[middle] if len(ordered) % 2
                       else (ordered[middle - 1] + ordered[middle]) / 2)


class Summary:
    """All runs of one system under one workload."""

    FIELDS = ("per_s", "rate", "rate_with_redis", "redis_us_per_message", "p50_ms", "p99_ms",
              "generator", "setups_per_cpu_s", "setups_per_s", "setup_p99_ms")

    def __init__(self, samples):
        self.samples = samples
        for field in self.FIELDS:
            setattr(self, field, Spread([getattr(s, field) for s in samples]))
        self.faults = {}
        for sample in samples:
            for name, count in sample.faults.items():
                self.faults[name] = self.faults.get(name, 0) + count


def generator(build, running, *options):
    cpu = systems.processors()[1] if running.system.pinned else None
    return systems.pinned(cpu, [os.path.join(build, "parley"), "bench", "--json", *target(running), *options])


def target(running):
    """The generator's options that name a running system."""
    options = ["--url", running.url, "--adapter", running.system.adapter, *running.system.options]
    if running.publish_url:
        options += ["--publish-url", running.publish_url]
    options += [f"--pid={running.system.name}={pid}" for pid in running.pids]
    options += [f"--aux={name}={pid}" for name, pid in running.beside_pids.items()]
    return options


def figures(argv, timeout_s):
    """Runs a generator; returns its JSON. Exit code 1 is an answer, too: it counted a fault."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"no end after {timeout_s:g} s") from None
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        raise LoadFailed(f"exit code {done.returncode}: {done.stderr.strip()[-500:]}") from None


def run(build, running, workload, seconds, *options):
    """workload: the generator's name of it. Raises LoadFailed."""
    argv = generator(build, running, "--workload", workload, "--seconds", str(seconds),
                     *PATIENCE, *options)
    return Sample(figures(argv, 60 + 3 * seconds))
