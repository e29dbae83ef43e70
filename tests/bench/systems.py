# SPDX-License-Identifier: MIT
"""The systems that are measured, and how each is started: Parley, the floors, the peers.

Every system is one server process; those that use Redis have one of their own, so that its CPU time
is theirs. All run at once and only one is under load at a time, which leaves the others nothing to do.
"""

import glob
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import http1  # noqa: E402
from ports import lease_ports  # noqa: E402
from process import Process  # noqa: E402
from redisserver import RedisServer  # noqa: E402
from wait import until  # noqa: E402

# The tutorial's libraries are Debian's, which only Debian's own Python finds.
PYTHON = "/usr/bin/python3"
NGINX_MODULES = ("/usr/lib/nginx/modules", "/usr/share/nginx/modules", "/usr/lib64/nginx/modules")


class Missing(Exception):
    """Why a system cannot be started on this machine."""


class Place:
    """What a system's command line may need. Whoever needs ports beside the server's own leases them."""

    def __init__(self, build, folder, redis_port):
        self.build = build
        self.folder = folder
        self.redis_port = redis_port
        self._leases = []
        self.port = self.lease()[0]
        self.admin_ports = []

    def lease(self, count=1):
        """Numbers of ports in a row that are ours until close()."""
        leases = lease_ports(count)
        self._leases += leases
        return [lease.port for lease in leases]

    def close(self):
        for lease in self._leases:
            lease.close()


def parley(*settings, workers=1, listen="127.0.0.1:{port}"):
    """The command of a gateway as shipped, but for the limits for people, which a load generator is not."""
    def command(place):
        place.admin_ports = place.lease(workers)
        address = listen.replace("{port}", str(place.port)).replace("{folder}", place.folder)
        return [os.path.join(place.build, "parley"), "serve", f"--server.listen={address}",
                f"--admin.listen=127.0.0.1:{place.admin_ports[0]}",
                f"--redis.url=redis://127.0.0.1:{place.redis_port}",
                "--client.rate_messages=0", "--client.rate_joins=0", "--client.rate_errors=0",
                "--server.static_dir=", "--log.level=warn",
                *([f"--server.workers={workers}"] if workers > 1 else []), *settings]
    return command


def _floor(mode):
    def command(place):
        redis = [str(place.redis_port)] if place.redis_port else []
        return [os.path.join(place.build, "bench", "floor"), mode, str(place.port), *redis]
    return command


def _tutorial(place):
    if not os.access(PYTHON, os.X_OK):
        raise Missing(f"there is no {PYTHON}")
    redis = [str(place.redis_port)] if place.redis_port else []
    return [PYTHON, os.path.join(HERE, "peers", "tutorial.py"), str(place.port), *redis]


def _node(script, *options):
    def command(place):
        path = os.path.join(place.build, "bench", "peers", script)
        if not os.path.exists(path):
            raise Missing(f"npm has not installed {os.path.dirname(path)}")
        return ["node", path, str(place.port), str(place.redis_port or 0), *options]
    return command


def _nchan(place):
    modules = [os.path.join(d, "ngx_nchan_module.so") for d in NGINX_MODULES]
    module = next((m for m in modules if os.path.exists(m)), None)
    nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if not module or not nginx:
        raise Missing("nginx's Nchan module is not installed")
    with open(os.path.join(HERE, "peers", "nchan.conf"), encoding="utf-8") as file:
        text = file.read()
    values = {"module": module, "folder": place.folder, "port": place.port,
              "redis_port": place.redis_port, "files": resource.getrlimit(resource.RLIMIT_NOFILE)[1]}
    for name, value in values.items():
        text = text.replace("{%s}" % name, str(value))
    path = os.path.join(place.folder, "nginx.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return [nginx, "-p", place.folder, "-c", path]


def _uwebsockets(place):
    program = os.environ.get("UWEBSOCKETS")
    if not program:
        raise Missing("UWEBSOCKETS does not name a program")
    return [program, str(place.port), str(place.redis_port)]


def _listens(place):
    try:
        socket.create_connection(("127.0.0.1", place.port), 1).close()
    except OSError:
        return False
    return True


def parley_ready(place):
    return all(http1.status_or_none(port, "/readyz") == 200 for port in place.admin_ports)


def _nchan_ready(place):
    """It refuses everybody until it has found Redis; a publisher is told so, too."""
    try:
        answer = http1.http(place.port, "/pub/ready", method="POST", headers={"Content-Length": "0"})
    except (OSError, AssertionError, ValueError):
        return False
    return 200 <= answer.status < 300


def _centrifugo(_place):
    if not shutil.which("go"):
        raise Missing("there is no Go toolchain to build it with")
    raise Missing("the generator has no adapter for its protocol")


class System:
    """publish: where publishers connect when they are not members; {port} and {room} are filled in.

    ready: whether it serves, asked of its Place. workers: how many processes the one that is started
    starts in turn. options: of the generator, for this system alone. balancer: the command of what
    stands before it (it leases its port as place.front_port). pinned: see processors().
    """

    def __init__(self, name, label, adapter, command, redis=True, publish=None, ready=_listens,
                 workers=0, options=(), balancer=None, pinned=True):
        self.name = name
        self.label = label
        self.adapter = adapter
        self.command = command
        self.redis = redis
        self.publish = publish
        self.ready = ready
        self.workers = workers
        self.options = options
        self.balancer = balancer
        self.pinned = pinned


# The floors send on what they get. A text of this length makes a frame as long as Parley's delivery of
# 128 bytes, so that both have the same bytes to copy.
AS_LONG_AS_PARLEYS = ("--size", "227")

ALL = {s.name: s for s in (
    System("parley", "Parley", "parley", parley(), ready=parley_ready),
    System("parley-nohistory", "Parley, history off", "parley", parley("--room.history_size=0"),
           ready=parley_ready),
    System("coalesce", "floor: coalesced", "floor", _floor("coalesce"), redis=False,
           options=AS_LONG_AS_PARLEYS),
    System("coalesce-redis", "floor: coalesced + Redis", "floor", _floor("coalesce"),
           options=AS_LONG_AS_PARLEYS),
    System("plain", "floor: plain send", "floor", _floor("plain"), redis=False,
           options=AS_LONG_AS_PARLEYS),
    System("nchan", "Nchan + Redis", "nchan", _nchan, publish="ws://127.0.0.1:{port}/pub/{room}",
           ready=_nchan_ready, workers=1),
    System("ws", "ws + Redis", "ws", _node("ws.js")),
    System("socketio", "Socket.IO + Redis", "socketio", _node("socketio.js")),
    System("tutorial-redis", "tutorial + Redis", "ws", _tutorial),
    System("tutorial", "tutorial", "ws", _tutorial, redis=False),
    System("socketio-streams", "Socket.IO + Redis Streams, recovery on", "socketio",
           _node("socketio.js", "streams")),
    System("socketio-memory", "Socket.IO in memory, recovery on", "socketio",
           _node("socketio.js", "memory"), redis=False),
    System("uwebsockets", "uWebSockets + Redis", "ws", _uwebsockets),
    System("centrifugo", "Centrifugo + Redis", "centrifugo", _centrifugo),
)}


def processors():
    """(servers', generator's, Redis'): on which processor each runs; None: all of them on the only one.

    The generator has one to itself, since it polls without sleeping under some workloads. With two in all
    Redis shares the servers', for every system alike.
    """
    cpus = sorted(os.sched_getaffinity(0))
    return (cpus[0], cpus[1], cpus[2 % len(cpus)]) if len(cpus) > 1 else (None, None, None)


def pinned(cpu, argv):
    return argv if cpu is None else ["taskset", "-c", str(cpu), *argv]


def _end(process, children=()):
    """SIGTERM first: nginx's master then ends its worker, which a killed one would leave behind."""
    if not process.running:
        return
    process.terminate()
    try:
        process.wait_exit(3)
    except AssertionError:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        process.kill()


class Running:
    """A started system. Raises Missing when this machine lacks it.

    beside: another one of the same kind, whose Redis it shares and which must be closed after it.
    """

    def __init__(self, system, build, folder, beside=None):
        self.system = system
        self.folder = tempfile.mkdtemp(prefix=system.name, dir=folder)
        self._shares = beside is not None
        self._cpus = processors() if system.pinned else (None, None, None)
        self._redis = (beside._redis if beside else
                       RedisServer(self.folder, prefix=pinned(self._cpus[2], [])) if system.redis else None)
        self.place = Place(build, self.folder, self._redis and self._redis.port)
        self._process = self._balancer = None
        try:
            self._process = self._command(system.name, system.command)
            if system.balancer:
                self._balancer = self._command("balancer", system.balancer)
            if self._redis and not self._shares:
                self._redis.start()
            self._start()
        except BaseException:
            self.close()
            raise

    def _command(self, name, command):
        argv = pinned(self._cpus[0], command(self.place))
        return Process(name, argv, os.path.join(self.folder, f"{name}.log"), cwd=ROOT)

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.place.front_port if self._balancer else self.place.port}"

    @property
    def publish_url(self):
        publish = self.system.publish
        return publish and publish.replace("{port}", str(self.place.port))

    @property
    def pids(self):
        """The server's processes: nginx serves from a child, taskset becomes its program."""
        pid = self._process.pid
        children = []
        for path in glob.glob(f"/proc/{pid}/task/*/children"):
            with open(path, encoding="ascii") as file:
                children += map(int, file.read().split())
        return [pid, *children]

    @property
    def beside_pids(self):
        """{name: pid} of what works for the server and is counted apart."""
        found = {"redis": self._redis and self._redis.process, "balancer": self._balancer}
        return {name: process.pid for name, process in found.items() if process}

    def ensure(self):
        """Starts it again when it died in the run before; returns whether it had to."""
        ours = [p for p in (self._process, self._balancer, self._redis and self._redis.process) if p]
        if all(process.running for process in ours):
            return False
        self._stop()
        if self._redis and not self._redis.process.running:
            self._redis.start()
        self._start()
        return True

    def log(self):
        return "\n".join(p.log() for p in (self._process, self._balancer) if p)

    def _start(self):
        self._process.start()
        until(self._answers, 20, lambda: f"{self.system.name} answers; its log:\n{self.log()[-3000:]}")
        if self._balancer:
            self._balancer.start()
            until(self._balancer_answers, 20, lambda: f"the balancer answers; its log:\n{self.log()[-3000:]}")

    def _answers(self):
        if not self._process.running:
            raise Missing(f"it ended at its start: {self.log()[-600:].strip()}")
        return self.system.ready(self.place) and len(self.pids) == 1 + self.system.workers

    def _balancer_answers(self):
        if not self._balancer.running:
            raise Missing(f"the balancer ended at its start: {self._balancer.log()[-600:].strip()}")
        # Plain HTTP at the path of WebSockets is answered by a gateway alone.
        return http1.status_or_none(self.place.front_port, "/ws") == 426

    def _stop(self):
        if self._balancer:
            _end(self._balancer)
        if self._process.running:
            _end(self._process, self.pids[1:])

    def close(self):
        if self._process:
            self._stop()
        if self._redis and not self._shares:
            self._redis.close()
        self.place.close()
