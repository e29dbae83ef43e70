# SPDX-License-Identifier: MIT
"""A server process of a test: started with its output in a file, stopped by its pid, never by name."""

import ctypes
import os
import signal
import subprocess
import time

from wait import until

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    # A test run that is itself killed must leave no server behind.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """Invariant: log_path holds everything that every incarnation of the process has printed."""

    def __init__(self, name, argv, log_path, cwd=None, env=None):
        self.name = name
        self.argv = argv
        self.log_path = log_path
        self.cwd = cwd
        self.env = env
        self.frozen = False
        self._popen = None
        self._started = None

    @property
    def age_s(self):
        """Seconds since it was started last."""
        return time.monotonic() - self._started

    @property
    def pid(self):
        return self._popen.pid

    @property
    def running(self):
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self):
        """None while it runs; a negative signal number when a signal ended it."""
        return self._popen.poll() if self._popen else None

    def start(self):
        assert not self.running, f"{self.name} already runs"
        self.frozen = False
        with open(self.log_path, "ab") as log:
            self._popen = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.cwd,
                env=self.env, preexec_fn=die_with_parent)
        self._started = time.monotonic()

    def signal(self, number):
        if self.running:
            os.kill(self.pid, number)

    def freeze(self):
        """SIGSTOP, and waits until the kernel says that every thread stands still."""
        self.signal(signal.SIGSTOP)
        self.frozen = True
        until(lambda: self._state() == "T", what=f"{self.name} stands still")

    def thaw(self):
        self.signal(signal.SIGCONT)
        self.frozen = False

    def terminate(self):
        """SIGTERM, without waiting: see wait_exit()."""
        self.thaw()
        self.signal(signal.SIGTERM)

    def kill(self):
        """SIGKILL, and reaps it. Harmless when it does not run."""
        if self._popen is None:
            return
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        self._popen.wait()
        self.frozen = False

    def detach(self):
        """Gives the process away (a Popen): the caller ends it, and this one can be started anew."""
        popen, self._popen = self._popen, None
        return popen

    def wait_exit(self, timeout_s=10.0):
        """Waits for the process to end by itself and returns its exit code."""
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {timeout_s:g} s") from None

    def log(self, start=0):
        """What it printed, from a byte position on."""
        try:
            with open(self.log_path, "rb") as log:
                log.seek(start)
                return log.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def log_size(self):
        try:
            return os.path.getsize(self.log_path)
        except FileNotFoundError:
            return 0

    def cpu_seconds(self):
        """User and system time used so far, all threads."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def _state(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0]
