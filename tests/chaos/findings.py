# SPDX-License-Identifier: MIT
"""What the rules have found, and how often each was asked: a rule that was never asked has not held."""

import collections

SHOWN_PER_RULE = 12


class Findings:
    """Times in its texts are seconds from the first event on. settings: what the rules need of the run."""

    def __init__(self):
        self.judged = collections.Counter()  # rule: how often it was asked
        self.counts = collections.Counter()  # what happened, for the reader
        self.kept = 100                      # room.history_size
        self.ttl_ns = 300 * 10**9            # room.history_ttl
        self._began = None
        self._found = collections.defaultdict(list)
        self._suspects = []                  # (excuse, rule, text): wrong, unless excuse() in the end
        self._losses = []

    def begin(self, t):
        self._began = t

    def at(self, t):
        return f"{(t - self._began) / 1e9:.3f} s"

    def add(self, rule, text, event=None):
        self._found[rule].append(f"{rule}: {text}" + (f" (at {self.at(event['t'])})" if event else ""))

    def add_unless_lost(self, rule, text, event):
        """A violation only where no loss of Redis explains it; the runner may tell of one later."""
        self._suspect(lambda: self.lost_before(event["t"]), rule, text, event)

    def add_unless_forgotten(self, rule, text, event, known_at):
        """The same, where only the loss of what Redis knew since that time explains it."""
        self._suspect(lambda: any(begin <= known_at <= end for begin, end in self._losses), rule, text, event)

    def _suspect(self, excuse, rule, text, event):
        self._suspects.append((excuse, rule, f"{rule}: {text} (at {self.at(event['t'])})"))

    def lose(self, begin, end):
        self._losses.append((begin, end))

    def lost_before(self, t):
        """Whether Redis may have lost something by then. Only at the end of the record is this certain."""
        return any(begin <= t for begin, _ in self._losses)

    def may_be_lost(self, acked_at):
        """Whether a loss may cover what was acked then."""
        return any(acked_at <= end for _, end in self._losses)

    def finish(self):
        for excuse, rule, text in self._suspects:
            if not excuse():
                self._found[rule].append(text)
        self._suspects.clear()

    def texts(self):
        out = []
        for rule in sorted(self._found, key=lambda r: int(r[1:])):
            found = self._found[rule]
            out += found[:SHOWN_PER_RULE]
            if len(found) > SHOWN_PER_RULE:
                out.append(f"{rule}: and {len(found) - SHOWN_PER_RULE} more")
        return out
