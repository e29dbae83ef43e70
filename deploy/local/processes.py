# SPDX-License-Identifier: MIT
"""The servers of the local cluster: started with their output in a file, stopped by their own pid."""
import ctypes
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

TAIL_LINES = 15


class StartError(Exception):
    """A server did not come up; the text says which, and how its log ends."""


def _end_with_parent():
    # Whatever becomes of the script that started it, no server stays behind.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Server:
    def __init__(self, name, argv, folder, env=None):
        self.name = name
        self.argv = argv
        self.log_path = os.path.join(folder, f"{name}.log")
        self._env = env
        self._process = None
        self.reported = False  # somebody has been told that it died

    def start(self):
        self.reported = False
        try:
            with open(self.log_path, "ab") as log:
                # A session of its own: Ctrl-C reaches the script alone, which then stops things in order.
                self._process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                 env=self._env, start_new_session=True, preexec_fn=_end_with_parent)
        except OSError as error:
            raise StartError(f"{self.name}: {self.argv[0]}: {error.strerror}") from error

    @property
    def pid(self):
        return self._process.pid

    @property
    def running(self):
        return self._process is not None and self._process.poll() is None

    def how_it_ended(self):
        code = self._process.returncode
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def wait_until(self, ready, timeout_s=15):
        """Asks until ready() says so; a server that ends, or never gets there, raises."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.running:
                raise StartError(f"{self.name} ended at once ({self.how_it_ended()}):\n{self.tail()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} is not ready after {timeout_s} s:\n{self.tail()}")
            time.sleep(0.05)

    def terminate(self):
        if self.running:
            self._process.terminate()

    def wait_end(self, timeout_s):
        """After terminate(): waits, and kills what does not go."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tail(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return "".join(f"    {line}\n" for line in log.read().splitlines()[-TAIL_LINES:])


def fetch(url, timeout_s=1.0):
    """(status, text) of a page of our own servers; (None, "") when nobody answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout_s) as response:
            return response.status, response.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError:
        return None, ""
