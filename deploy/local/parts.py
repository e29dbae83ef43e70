# SPDX-License-Identifier: MIT
"""What a local cluster is made of: a private Redis, gateways, HAProxy; in the order in which they start."""
import os
import re
import socket

import haproxy
from processes import Server, fetch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SEARCH_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Redis(Server):
    """Keeps nothing on disk, listens on loopback only, knows nothing of a Redis that the machine may have."""

    def __init__(self, folder, port):
        self.port = port
        super().__init__("redis", ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder,
                                   "--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", ""],
                         folder, env={**os.environ, "PATH": SEARCH_PATH})

    def ready(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


class Gateway(Server):
    # A demonstration need not wait as long as production: byes are spread over one second.
    SETTINGS = {"shutdown.grace": "500ms", "shutdown.drain": "1s"}

    def __init__(self, number, binary, folder, port, admin_port, redis_port, extra=()):
        name = f"gw-{number}"
        self.port = port
        self.admin = f"http://127.0.0.1:{admin_port}"
        self.admin_port = admin_port
        settings = {"server.listen": f"127.0.0.1:{port}", "admin.listen": f"127.0.0.1:{admin_port}",
                    "server.gateway_name": name, "server.static_dir": os.path.join(ROOT, "client"),
                    "redis.url": f"redis://127.0.0.1:{redis_port}", **self.SETTINGS}
        # Settings of the caller's environment are meant for a gateway of theirs.
        env = {key: value for key, value in os.environ.items() if not key.startswith("PARLEY_")}
        super().__init__(name, [binary, "serve", *(f"--{key}={value}" for key, value in settings.items()), *extra],
                         folder, env=env)

    def ready(self):
        return fetch(f"{self.admin}/readyz")[0] == 200

    def load(self):
        """(connections, rooms) as its metrics say; None when it does not answer."""
        status, text = fetch(f"{self.admin}/metrics")
        if status != 200:
            return None
        return tuple(_gauge(text, name) for name in ("parley_connections", "parley_rooms"))


class HAProxy(Server):
    def __init__(self, folder, address, port, gateways):
        self.address = address
        self.port = port
        self.socket = os.path.join(folder, "haproxy.sock")
        path = os.path.join(folder, "haproxy.cfg")
        with open(path, "w", encoding="utf-8") as config:
            config.write(haproxy.render(port, [(g.name, g.port, g.admin_port) for g in gateways], self.socket, address))
        super().__init__("haproxy", ["haproxy", "-db", "-f", path], folder, env={**os.environ, "PATH": SEARCH_PATH})

    def ready(self):
        host = "127.0.0.1" if self.address in ("0.0.0.0", "*") else self.address
        return fetch(f"http://{host}:{self.port}/")[0] == 200


def _gauge(text, name):
    """The sum over a metric's labels."""
    values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M)
    return int(sum(float(value) for value in values))
