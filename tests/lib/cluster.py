# SPDX-License-Identifier: MIT
"""A private cluster for tests: Redis, gateways and HAProxy on free ports, in a folder of its own.

    with Cluster("build", gateways=3, settings={"client.heartbeat": "1s"}) as cluster:
        print(cluster.url, cluster.gateways[0].port)

Everything is ready when the block is entered (waited for by asking, never by sleeping) and gone when
it is left. close() asserts what must hold of every run: a gateway that still ran ends with 0 after
SIGTERM, and no gateway's log holds a sanitizer's report.
"""

import os
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import http1
import metrics
from ports import lease_port
from process import Process
from redisproxy import RedisProxy
from redisserver import RedisServer
from wait import until

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

# What a test cluster sets beyond the product's defaults: no rate limits (many tests share one
# cluster; the limits have tests of their own), and a short drain.
DEFAULT_SETTINGS = {
    "client.rate_messages": "0",
    "client.rate_joins": "0",
    "client.rate_errors": "0",
    "shutdown.drain": "1s",
    "shutdown.grace": "1s",
}

_SANITIZER = re.compile(
    r"ERROR: (Address|Leak|Thread|Memory)Sanitizer|runtime error: |SUMMARY: \w*Sanitizer")


def is_sanitized(binary):
    """Whether it keeps what was freed for a while: its resident size is not the program's own."""
    with open(binary, "rb") as file:
        return b"__asan_init" in file.read()


def sanitizer_report(text):
    """Where a sanitizer's report begins in a log; None when there is none."""
    found = _SANITIZER.search(text)
    return found.start() if found else None


class Gateway(Process):
    """One parley process. Its ports stay the same over restart()."""

    def __init__(self, name, binary, folder, settings, redis_url, config=None):
        self._leases = (lease_port(), lease_port())
        self.port, self.admin_port = (lease.port for lease in self._leases)
        self.url = f"http://127.0.0.1:{self.port}"
        flags = {"server.listen": f"127.0.0.1:{self.port}",
                 "admin.listen": f"127.0.0.1:{self.admin_port}",
                 "server.gateway_name": name,
                 "server.static_dir": os.path.join(ROOT, "client")}
        if redis_url:
            flags["redis.url"] = redis_url
        flags.update(settings)
        env = {key: value for key, value in os.environ.items() if not key.startswith("PARLEY_")}
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        # Freed memory that a sanitizer keeps would look like a leak to the tests that watch memory.
        env["ASAN_OPTIONS"] = (env.get("ASAN_OPTIONS", "") +
                               ":quarantine_size_mb=4:allocator_release_to_os_interval_ms=100")
        file = [f"--config={config}"] if config else []
        super().__init__(name, [binary, "serve"] + file + [f"--{k}={v}" for k, v in flags.items()],
                         os.path.join(folder, f"{name}.log"), cwd=ROOT, env=env)

    def wait_ready(self, timeout_s=15.0):
        def ready():
            assert self.running, f"{self.name} ended with {self.exit_code}:\n{self.log()[-3000:]}"
            return self.readyz() == 200
        until(ready, timeout_s, lambda: f"{self.name} is ready; its log ends:\n{self.log()[-1500:]}")

    def restart(self):
        """Starts it anew (after a kill when it still runs) and waits until it is ready."""
        self.kill()
        self.start()
        self.wait_ready()

    def readyz(self):
        """The status of /readyz, or None when nobody answers."""
        return http1.status_or_none(self.admin_port, "/readyz")

    def metrics(self):
        """The metrics page, read strictly."""
        response = http1.http(self.admin_port, "/metrics")
        assert response.status == 200, response
        return metrics.parse(response.body.decode())

    def assert_no_sanitizer_report(self, start=0):
        text = self.log(start)
        at = sanitizer_report(text)
        assert at is None, f"{self.name}: sanitizer report:\n{text[max(0, at - 200):][:4000]}"

    def close(self):
        self.kill()
        for lease in self._leases:
            lease.close()


def _haproxy_config(port, gateways, folder):
    sys.path.insert(0, os.path.join(ROOT, "deploy", "local"))
    try:
        import haproxy
    finally:
        sys.path.pop(0)
    return haproxy.render(port=port, gateways=[(g.name, g.port, g.admin_port) for g in gateways],
                          socket=os.path.join(folder, "haproxy.sock"))


class HAProxy(Process):
    """The shipped configuration in front of the cluster's gateways."""

    def __init__(self, folder, gateways):
        self._lease = lease_port()
        self.port = self._lease.port
        path = os.path.join(folder, "haproxy.cfg")
        with open(path, "w", encoding="utf-8") as config:
            config.write(_haproxy_config(self.port, gateways, folder))
        super().__init__("haproxy", ["haproxy", "-db", "-f", path],
                         os.path.join(folder, "haproxy.log"))

    def wait_ready(self):
        def ready():
            assert self.running, f"haproxy ended:\n{self.log()[-3000:]}"
            return http1.status_or_none(self.port, "/") == 200
        until(ready, 10, "the page is served through HAProxy")

    def close(self):
        self.kill()
        self._lease.close()


class Cluster:
    """gateways: a list of Gateway; redis: RedisServer or None; haproxy: HAProxy or None."""

    def __init__(self, build_dir, gateways=3, redis=True, haproxy=True, settings=None,
                 wrapper=(), proxy=False, redis_args=(), config=None):
        """wrapper is put in front of every gateway's command, e.g. ("prlimit", "--nofile=64").
        With proxy the gateways reach Redis through a RedisProxy. config is the text of a file
        that all gateways read; settings weigh more (None: as the file says)."""
        binary = os.path.join(os.path.abspath(build_dir), "parley")
        self.folder = tempfile.mkdtemp(prefix="parley-test-")
        self.redis = RedisServer(self.folder, redis_args) if redis else None
        self.proxy = RedisProxy(self.redis.port) if proxy else None
        merged = {**DEFAULT_SETTINGS, **(settings or {})}
        merged = {key: value for key, value in merged.items() if value is not None}
        self.config_path = os.path.join(self.folder, "parley.conf") if config is not None else None
        if config is not None:
            self.write_config(config)
        self.gateways = []
        for number in range(1, gateways + 1):
            gateway = Gateway(f"gw-{number}", binary, self.folder, merged,
                              (self.proxy or self.redis).url if redis else None,
                              self.config_path)
            gateway.argv = [*wrapper, *gateway.argv]
            self.gateways.append(gateway)
        self.haproxy = HAProxy(self.folder, self.gateways) if haproxy else None

    @property
    def port(self):
        """The port that clients use: HAProxy's, or that of the only gateway."""
        return self.haproxy.port if self.haproxy else self.gateways[0].port

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def ports(self, count):
        """Ports of different gateways, in turn: with one gateway the same one again and again."""
        return [self.gateways[i % len(self.gateways)].port for i in range(count)]

    @property
    def processes(self):
        return [p for p in (self.redis and self.redis.process, *self.gateways, self.haproxy) if p]

    def start(self):
        try:
            if self.redis:
                self.redis.start()
            for gateway in self.gateways:
                gateway.start()
            for gateway in self.gateways:
                gateway.wait_ready()
            if self.haproxy:
                self.haproxy.start()
                self.haproxy.wait_ready()
        except BaseException:
            print(self.dump())
            self.destroy()
            raise

    def write_config(self, text):
        """A new file in one step; a gateway reads it when it starts, and at SIGHUP."""
        with open(self.config_path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(self.config_path + ".new", self.config_path)

    def log_marks(self):
        """Where each log ends now: give them to dump() to see only what came later."""
        return {p.name: p.log_size() for p in self.processes}

    def dump(self, marks=None, limit=6000):
        """The (ends of the) logs as text, for a failed test."""
        parts = []
        for process in self.processes:
            text = process.log((marks or {}).get(process.name, 0))
            parts.append(f"--- {process.name} (pid {process.pid if process._popen else '-'}, "
                         f"exit {process.exit_code})\n{text[-limit:]}")
        return "\n".join(parts)

    def assert_healthy(self, marks=None):
        for gateway in self.gateways:
            gateway.assert_no_sanitizer_report((marks or {}).get(gateway.name, 0))

    def stop_gateways(self):
        """SIGTERM to every gateway that still runs; each must end with 0, without a report."""
        running = [g for g in self.gateways if g.running]
        for gateway in running:
            gateway.terminate()
        codes = {g.name: g.wait_exit(20) for g in running}
        self.assert_healthy()
        assert all(code == 0 for code in codes.values()), f"exit codes after SIGTERM: {codes}"

    def destroy(self):
        """Kills whatever is left and removes the folder. Never fails."""
        for owner in (self.haproxy, *self.gateways, self.proxy, self.redis):
            if owner:
                owner.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self):
        try:
            self.stop_gateways()
        except AssertionError:
            print(self.dump())
            raise
        finally:
            self.destroy()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.close()
            return
        print(self.dump())
        self.destroy()
