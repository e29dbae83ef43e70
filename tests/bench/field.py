# SPDX-License-Identifier: MIT
"""All systems of a run, started; the runs of a workload, interleaved."""

import os
import shutil
import subprocess
import sys
import tempfile

import load
import systems


# What keeps a system from starting: a program that is not there, one that ends, one that never answers.
CANNOT_START = (systems.Missing, AssertionError, OSError)


def say(text):
    print(text, file=sys.stderr, flush=True)


def brief(error):
    """An error in one line, fit for a list of notes; a server's whole log may hang on it."""
    text = " ".join(str(error).split())
    return text if len(text) <= 240 else text[:120] + " … " + text[-120:]


def install_peers(build):
    """The Node peers with their packages, pinned, below the build folder. Returns why not, or None."""
    folder = os.path.join(build, "bench", "peers")
    source = os.path.join(systems.HERE, "peers")
    os.makedirs(folder, exist_ok=True)
    lock = os.path.join(folder, "package-lock.json")
    fresh = os.path.exists(os.path.join(folder, "node_modules")) and _same(
        lock, os.path.join(source, "package-lock.json"))
    for name in os.listdir(source):
        if name.endswith((".js", ".json")):
            shutil.copy(os.path.join(source, name), folder)
    if fresh:
        return None
    say("bench: npm installs the Node peers")
    try:
        # No package's own scripts: the add-ons come compiled within their packages.
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                              cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip()[-300:] if done.returncode else None


def _same(one, other):
    try:
        with open(one, "rb") as a, open(other, "rb") as b:
            return a.read() == b.read()
    except OSError:
        return False


class Field:
    """running: by name, the systems that could be started; missing: by name, why one could not."""

    def __init__(self, build, names, every=None):
        """every: the systems.System by name (systems.ALL)."""
        self.build = build
        self.running = {}
        self.missing = {}
        self.notes = []
        self._folder = tempfile.mkdtemp(prefix="parley-bench-")
        try:
            for name in names:
                self._start((every or systems.ALL)[name])
        except BaseException:
            self.close()
            raise

    def _start(self, system):
        try:
            self.running[system.name] = systems.Running(system, self.build, self._folder)
        except CANNOT_START as error:
            self.missing[system.name] = brief(error)
            say(f"bench: {system.label} is not run: {brief(error)}")

    def _revive(self, name, workload):
        """A peer that died is started again; one that does not come back is left out from here on."""
        running = self.running[name]
        try:
            if running.ensure():
                self.notes.append(f"{running.system.label} had ended by itself before {workload.name}")
        except CANNOT_START as error:
            self.notes.append(f"{running.system.label} left out from {workload.name} on, it does not start: "
                              f"{brief(error)}")
            say(f"bench: {self.notes[-1]}")
            del self.running[name]
            running.close()

    def sample(self, workload, name, seconds):
        """One run of a workloads.Workload, or None when it gave no figures; then a note says why."""
        self._revive(name, workload)
        if name not in self.running:
            return None
        running = self.running[name]
        spin = workload.spin and running.system.pinned and systems.processors()[1] is not None
        try:
            sample = load.run(self.build, running, workload.generator, seconds, *workload.options,
                              *(["--spin"] if spin else []))
        except load.LoadFailed as error:
            self.notes.append(f"{workload.name}, {running.system.label}: {brief(error)}")
            say(f"bench: {self.notes[-1]}")
            return None
        faults = ", ".join(f"{count} {what}" for what, count in sample.faults.items())
        done = (f"{sample.rate:12,.0f} deliveries" if sample.rate else
                f"{sample.setups_per_cpu_s:12,.0f} set-ups")
        say(f"bench: {workload.name:6} {running.system.label:28} {done} a CPU second"
            f"{', ' + faults if faults else ''}{': ' + sample.why if sample.why else ''}")
        if sample.why:
            self.notes.append(f"{workload.name}, {running.system.label}, {faults}: {sample.why}")
        return sample

    def interleaved(self, workload, repeats, seconds, names=None):
        """{name: Summary}. Each round begins with another system, so that a drift hits all alike."""
        names = [name for name in names or workload.systems if name in self.running]
        samples = {name: [] for name in names}
        for number in range(repeats):
            turn = number % len(names) if names else 0
            for name in names[turn:] + names[:turn]:
                sample = name in self.running and self.sample(workload, name, seconds)
                if sample:
                    samples[name].append(sample)
        return {name: load.Summary(found) for name, found in samples.items() if found}

    def close(self):
        for running in self.running.values():
            running.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
