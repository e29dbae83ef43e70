# SPDX-License-Identifier: MIT
"""The place where a row happens: a cluster in a network namespace of its own, and the rules that cut it."""

import ctypes
import os
import shutil
import socket
import subprocess

from cluster import Cluster, Gateway
from wait import until
from proxy import Proxy

CLONE_NEWNET = 0x40000000

# Beyond what all test clusters set: times to live and heartbeats short enough for a test, a history
# that holds what a fault of this length makes a client miss, and a drain after HAProxy's two checks.
SETTINGS = {
    "client.heartbeat": "5s",
    "client.heartbeat_timeout": "4s",
    "client.backlog_soft": "1m",
    "client.backlog_hard": "4m",
    "room.history_size": "5000",
    "room.history_ttl": "60s",
    "room.dedupe_ttl": "120s",
    "shutdown.grace": "3s",
    "shutdown.drain": "3s",
}


def enter_namespace():
    """Moves this process, and all that it starts, into an empty network. False where that is not allowed."""
    if os.geteuid() != 0 or ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        return False
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return True


class Net:
    """Packet rules between processes of this machine. Only in a namespace of our own."""

    def __init__(self, own):
        self.why_not = None
        if not own:
            self.why_not = "needs root, for a network namespace"
        elif not shutil.which("iptables"):
            self.why_not = "needs iptables"
        self._rules = []

    def add(self, *rule, table="filter", chain="OUTPUT"):
        """`add("-p", "tcp", "--dport", "80", "-j", "DROP")`: a rule for whatever is sent."""
        subprocess.run(["iptables", "-w", "-t", table, "-A", chain, *map(str, rule)], check=True)
        self._rules.append((table, chain, rule))

    def clear(self):
        while self._rules:
            table, chain, rule = self._rules.pop()
            subprocess.run(["iptables", "-w", "-t", table, "-D", chain, *map(str, rule)], check=True)

    def drop(self, address, port, to=True, back=True):
        """Silence: what is sent to that address and port, and what it sends back."""
        if to:
            self.add("-p", "tcp", "-d", address, "--dport", port, "-j", "DROP")
        if back:
            self.add("-p", "tcp", "-s", address, "--sport", port, "-j", "DROP")

    def reset(self, address, port):
        """Whoever sends to that address and port is told that nobody is there."""
        self.add("-p", "tcp", "-d", address, "--dport", port, "-j", "REJECT", "--reject-with", "tcp-reset")


class Arena(Cluster):
    """Each gateway reaches Redis under an address of its own, so that its link alone can be cut."""

    def __init__(self, build, net, settings=None, redis_args=(), gateways=3, wrapper=()):
        addresses = [f"127.0.1.{n}" for n in range(1, gateways + 1)]
        super().__init__(build, gateways=gateways, settings={**SETTINGS, **(settings or {})},
                         wrapper=wrapper,
                         redis_args=("--bind", "127.0.0.1 " + " ".join(addresses), *redis_args))
        self.net = net
        self._twins, self._at_end = [], []
        self.lines = {}  # gateway name -> Proxy, where a row wants one
        self._binary = os.path.join(os.path.abspath(build), "parley")
        self.redis_address = {}
        for gateway, address in zip(self.gateways, addresses):
            self.redis_address[gateway.name] = address
            self.redis_url(gateway, f"redis://{address}:{self.redis.port}")

    @staticmethod
    def redis_url(gateway, url):
        """From its next start on."""
        gateway.argv = [a for a in gateway.argv if not a.startswith("--redis.url=")]
        gateway.argv.append(f"--redis.url={url}")

    def interpose(self):
        """From its next start on each gateway reaches Redis through a line of its own: see lines."""
        for gateway in self.gateways:
            line = Proxy((self.redis_address[gateway.name], self.redis.port), gateway.name)
            self.lines[gateway.name] = line
            self.redis_url(gateway, f"redis://127.0.0.1:{line.port}")
            self.at_end(line.close)

    def twin_of(self, gateway):
        """One more gateway, not started, on ports of its own and with the name of another."""
        settings = dict(flag[2:].split("=", 1) for flag in gateway.argv if flag.startswith("--"))
        for key in ("server.listen", "admin.listen"):
            del settings[key]
        twin = Gateway(gateway.name, self._binary, self.folder, settings, None)
        twin.log_path = os.path.join(self.folder, f"{gateway.name}-twin.log")
        self._twins.append(twin)
        return twin

    def haproxy_says(self, command):
        """An answer of HAProxy's runtime socket."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(os.path.join(self.folder, "haproxy.sock"))
            sock.sendall(command.encode() + b"\n")
            parts = []
            while part := sock.recv(65536):
                parts.append(part)
        return b"".join(parts).decode()

    def balanced(self, name):
        """Whether HAProxy sends clients to this gateway."""
        lines = [line.split(",") for line in self.haproxy_says("show stat").splitlines()]
        return any(f[0] == "gateways" and f[1] == name and f[17].startswith("UP") for f in lines if len(f) > 17)

    @property
    def alive(self):
        """Names of the gateways that run."""
        return [g.name for g in self.gateways if g.running and not g.frozen]

    def at_end(self, function):
        """Called when everything was stopped, before the folder is removed."""
        self._at_end.append(function)

    def stop_gateways(self):
        """SIGTERM twice: the second one cuts the drain short, and the end must be as clean."""
        for gateway in self.gateways:
            if gateway.running:
                gateway.terminate()
                until(lambda g=gateway: g.readyz() != 200, 5, f"{gateway.name} drains")
        super().stop_gateways()

    def destroy(self):
        self.net.clear()
        for twin in self._twins:
            twin.close()
        for process in self.processes:
            process.kill()
        for function in self._at_end:
            function()
        super().destroy()
