# SPDX-License-Identifier: MIT
"""A private Redis: its own port and folder, nothing kept on disk, and the means to ill-treat it."""

import os
import subprocess

import resp
from ports import lease_port
from process import Process
from wait import until


class RedisServer:
    """Owns one redis-server process. What it held is gone after kill() and start()."""

    def __init__(self, folder, extra_args=(), host="127.0.0.1", prefix=()):
        """prefix is put in front of the command, as Elsewhere.popen_prefix."""
        self._lease = lease_port()
        self.port = self._lease.port
        self.host = host
        self.url = f"redis://{host}:{self.port}"
        self.data = os.path.join(folder, f"redis-{self.port}")
        os.makedirs(self.data)
        self.process = Process(
            "redis", [*prefix, "redis-server", "--port", str(self.port), "--bind", host,
                      "--protected-mode", "no", "--dir", self.data, "--save", "", "--appendonly", "no",
                      "--enable-debug-command", "local", *extra_args],
            os.path.join(folder, f"redis-{self.port}.log"))
        self._conn = None

    def start(self):
        self.process.start()
        until(self._answers, 10, "Redis answers PING")

    def stop(self):
        self._forget_connection()
        self.process.kill()

    def close(self):
        self.stop()
        self._lease.close()

    def kill(self):
        """kill -9: the links of all gateways break at once."""
        self.stop()

    def restart(self):
        """kill -9, then an empty server on the same port."""
        self.stop()
        self.start()

    def freeze(self):
        self.process.freeze()

    def thaw(self):
        self.process.thaw()

    def call(self, *args, timeout_s=5.0):
        """One command on a connection of our own. Raises resp.RedisError on an error reply."""
        if self._conn is None:
            self._conn = resp.Connection(self.port, self.host)
        try:
            return self._conn.call(*args, timeout_s=timeout_s)
        except (OSError, AssertionError):
            self._forget_connection()
            raise

    def cli(self, *args, check=True):
        """Runs redis-cli, as an operator would; returns what it printed."""
        done = subprocess.run(["redis-cli", "-p", str(self.port), *map(str, args)],
                              capture_output=True, text=True, timeout=10, check=False)
        if check:
            assert done.returncode == 0, f"redis-cli {args}: {done.stdout}{done.stderr}"
        return done.stdout.rstrip("\n")

    def monitor(self):
        return resp.Monitor(self.port)

    def _answers(self):
        assert self.process.running, f"Redis ended at its start: {self.process.log()[-2000:]}"
        try:
            return self.call("PING", timeout_s=1) == "PONG"
        except (OSError, AssertionError, resp.RedisError):
            return False

    def _forget_connection(self):
        if self._conn is not None:
            self._conn.close()
            self._conn = None
