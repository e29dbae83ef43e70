# SPDX-License-Identifier: MIT
"""Waiting for conditions with a deadline, the only way in which a test may wait."""

import time


class Timeout(AssertionError):
    """A condition did not come true before its deadline."""


def until(condition, timeout_s=5.0, what="a condition", every_s=0.01):
    """Calls condition() until it gives a true value, and returns that value."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            text = what() if callable(what) else what
            raise Timeout(f"{text}: not within {timeout_s:g} s")
        time.sleep(every_s)


def holds(condition, for_s, what="a condition", every_s=0.05):
    """Asserts that condition() stays true for a bounded time."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        assert condition(), f"{what}: did not hold for {for_s:g} s"
        time.sleep(every_s)
