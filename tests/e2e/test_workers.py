# SPDX-License-Identifier: MIT
"""server.workers: several gateways behind one command, one port and one parent."""

import os
import re
import signal
import socket
import tempfile

import http1
from cluster import ROOT, sanitizer_report
from ports import lease_port, lease_ports
from process import Process
from redisserver import RedisServer
from runner import test
from wait import until
from ws import Client, until_all

EX_OK, EX_UNAVAILABLE, EX_CONFIG = 0, 69, 78


class _Workers:
    """parley serve --server.workers=N with a Redis of its own."""

    def __init__(self, build, count, *flags):
        self._lease = lease_port()
        self._admin = lease_ports(count)
        self._folder = tempfile.TemporaryDirectory()
        self.port = self._lease.port
        self.redis = RedisServer(self._folder.name)
        env = {k: v for k, v in os.environ.items() if not k.startswith("PARLEY_")}
        self.parent = Process(
            "parley", [os.path.join(os.path.abspath(build), "parley"), "serve",
                       f"--server.workers={count}", f"--server.listen=127.0.0.1:{self.port}",
                       f"--admin.listen=127.0.0.1:{self._admin[0].port}",
                       "--server.gateway_name=gw", "--server.static_dir=client",
                       "--shutdown.grace=300ms", "--shutdown.drain=500ms",
                       f"--redis.url={self.redis.url}", *flags],
            os.path.join(self._folder.name, "log"), cwd=ROOT, env=env)

    def __enter__(self):
        self.redis.start()
        self.parent.start()
        self.wait_ready()
        return self

    def __exit__(self, *exc):
        pids = self.pids() if self.parent.running else []
        self.parent.kill()
        for pid in pids:
            _kill(pid)
        self.redis.close()
        log = self.parent.log()
        self._folder.cleanup()
        for lease in (self._lease, *self._admin):
            lease.close()
        at = sanitizer_report(log)
        assert at is None, log[at:][:3000]

    def wait_ready(self):
        def ready():
            assert self.parent.running, self.parent.log()
            return all(http1.status_or_none(lease.port, "/readyz") == 200 for lease in self._admin)
        until(ready, 15, lambda: f"all workers are ready; {self.parent.log()[-2000:]}")

    def pids(self):
        """Of the workers that run now, by number."""
        with open(f"/proc/{self.parent.pid}/task/{self.parent.pid}/children", encoding="ascii") as f:
            return sorted(int(pid) for pid in f.read().split())

    def pid_of(self, gateway):
        """Of the worker with that name, as its log line says."""
        found = re.findall(rf"event=start gateway={gateway} .*pid=(\d+)", self.parent.log())
        return int(found[-1])

    def on_each(self, names, room):
        """Clients in one room, until every worker has one. By the name of their worker."""
        clients, by_gateway = [], {}
        while len(by_gateway) < names:
            assert len(clients) < 200, f"only these got a connection: {list(by_gateway)}"
            client = Client(self.port)
            clients.append(client)
            welcome = client.join(room, f"user{len(clients)}")
            by_gateway.setdefault(welcome["gateway"], client)
        return clients, by_gateway


def _kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _close_all(clients):
    for client in clients:
        client.close()


@test()
def workers_share_a_port_and_their_rooms(build):
    with _Workers(build, 3) as workers:
        clients, by_gateway = workers.on_each(3, "general")
        assert set(by_gateway) == {"gw-1", "gw-2", "gw-3"}, by_gateway
        by_gateway["gw-1"].chat("general", "to everybody")
        for client in clients:
            client.expect("chat", text="to everybody")
        _close_all(clients)


@test()
def a_reload_of_the_parent_reaches_every_worker(build):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "parley.conf")

        def write(text):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        write("")
        with _Workers(build, 2, f"--config={path}") as workers:
            clients, by_gateway = workers.on_each(2, "general")
            write("[room]\npublish = server\n")
            workers.parent.signal(signal.SIGHUP)
            until(lambda: workers.parent.log().count("event=reload ") == 2, 5,
                  lambda: f"both have reloaded; {workers.parent.log()[-2000:]}")
            for client in by_gateway.values():
                assert client.error_of("chat", room="general", text="x")["code"] == "forbidden"
            _close_all(clients)


@test()
def a_dead_worker_is_replaced_and_nobody_who_connects_meanwhile_is_refused(build):
    with _Workers(build, 2) as workers:
        clients, by_gateway = workers.on_each(2, "general")
        victim = workers.pid_of("gw-1")
        _kill(victim)
        newcomers = [Client(workers.port, timeout_s=15) for _ in range(40)]
        for number, client in enumerate(newcomers):
            client.join("general", f"newcomer{number}")
        by_gateway["gw-1"].expect_close()
        by_gateway["gw-2"].ping()
        workers.wait_ready()
        assert workers.pid_of("gw-1") != victim, workers.parent.log()
        assert "state=died signal=9" in workers.parent.log(), workers.parent.log()
        _close_all(clients + newcomers)


@test()
def sigterm_drains_every_worker_and_the_parent_ends_last(build):
    with _Workers(build, 2) as workers:
        clients, _ = workers.on_each(2, "general")
        pids = workers.pids()
        workers.parent.terminate()
        until_all(clients, lambda: all(c.closed for c in clients), 10, "all are moved")
        assert {c.close_code for c in clients} == {4000}, [c.close_code for c in clients]
        assert workers.parent.wait_exit(10) == EX_OK, workers.parent.log()
        assert not any(os.path.exists(f"/proc/{pid}") for pid in pids), pids
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", workers.port)) != 0, "somebody still listens"


@test()
def workers_whose_parent_is_killed_drain_and_go(build):
    with _Workers(build, 2) as workers:
        pids = workers.pids()
        with Client(workers.port) as client:
            client.join("general", "alice")
            workers.parent.kill()
            client.expect("bye", timeout_s=10)
            client.expect_close(4000)
        until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 10, "they are gone")


@test()
def a_worker_that_cannot_start_ends_them_all(build):
    workers = _Workers(build, 2)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", workers._admin[1].port))
        taken.listen()
        try:
            workers.parent.start()
            assert workers.parent.wait_exit(10) == EX_UNAVAILABLE, workers.parent.log()
            assert "in use" in workers.parent.log(), workers.parent.log()
        finally:
            workers.__exit__()


@test()
def workers_without_redis_are_refused(build):
    with tempfile.TemporaryDirectory() as folder:
        process = Process("parley", [os.path.join(os.path.abspath(build), "parley"), "serve",
                                     "--server.workers=2", "--server.static_dir=client"],
                          os.path.join(folder, "log"), cwd=ROOT)
        process.start()
        assert process.wait_exit(10) == EX_CONFIG, process.log()
        assert "needs redis.url" in process.log(), process.log()
