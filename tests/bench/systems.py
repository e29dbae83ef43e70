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
from ports import lease_port  # noqa: E402
from process import Process  # noqa: E402
from redisserver import RedisServer  # noqa: E402
from wait import until  # noqa: E402

# The tutorial's libraries are Debian's, which only Debian's own Python finds.
PYTHON = "/usr/bin/python3"
NGINX_MODULES = ("/usr/lib/nginx/modules", "/usr/share/nginx/modules", "/usr/lib64/nginx/modules")


class Missing(Exception):
    """Why a system cannot be started on this machine."""


class Place:
    """What a system's command line may need."""

    def __init__(self, build, folder, port, redis_port):
        self.build = build
        self.folder = folder
        self.port = port
        self.redis_port = redis_port


def _parley(*settings):
    def command(place):
        binary = os.path.join(place.build, "parley")
        lease = lease_port()
        place.admin_lease = lease
        return [binary, "serve", f"--server.listen=127.0.0.1:{place.port}",
                f"--admin.listen=127.0.0.1:{lease.port}",
                f"--redis.url=redis://127.0.0.1:{place.redis_port}",
                # The limits for people, which a load generator is not. All else is as shipped.
                "--client.rate_messages=0", "--client.rate_joins=0", "--client.rate_errors=0",
                "--server.static_dir=", "--log.level=warn", *settings]
    return command


def _floor(mode):
    def command(place):
        return [os.path.join(place.build, "bench", "floor"), mode, str(place.port)]
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


def _parley_ready(place):
    return http1.status_or_none(place.admin_lease.port, "/readyz") == 200


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
    starts in turn. options: of the generator, for this system alone.
    """

    def __init__(self, name, label, adapter, command, redis=True, publish=None, ready=_listens,
                 workers=0, options=()):
        self.name = name
        self.label = label
        self.adapter = adapter
        self.command = command
        self.redis = redis
        self.publish = publish
        self.ready = ready
        self.workers = workers
        self.options = options


# The floors send on what they get. A text of this length makes a frame as long as Parley's delivery of
# 128 bytes, so that both have the same bytes to copy.
AS_LONG_AS_PARLEYS = ("--size", "227")

ALL = {s.name: s for s in (
    System("parley", "Parley", "parley", _parley(), ready=_parley_ready),
    System("parley-nohistory", "Parley, history off", "parley", _parley("--room.history_size=0"),
           ready=_parley_ready),
    System("coalesce", "floor: coalesced", "floor", _floor("coalesce"), redis=False,
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
    """(servers', generator's): on which processor each runs. None where there is only one."""
    cpus = sorted(os.sched_getaffinity(0))
    return (cpus[0], cpus[1]) if len(cpus) > 1 else (None, None)


def pinned(cpu, argv):
    return argv if cpu is None else ["taskset", "-c", str(cpu), *argv]


class Running:
    """A started system. Raises Missing when this machine lacks it.

    beside: another one of the same kind, whose Redis it shares and which must be closed after it.
    """

    def __init__(self, system, build, folder, beside=None):
        self.system = system
        self.folder = tempfile.mkdtemp(prefix=system.name, dir=folder)
        self._shares = beside is not None
        self._redis = (beside._redis if beside else
                       RedisServer(self.folder) if system.redis else None)
        self._lease = lease_port()
        self.port = self._lease.port
        self._place = Place(build, self.folder, self.port, self._redis and self._redis.port)
        self._process = None
        try:
            argv = pinned(processors()[0], system.command(self._place))
            self._process = Process(system.name, argv, os.path.join(self.folder, "log"), cwd=ROOT)
            if self._redis and not self._shares:
                self._redis.start()
            self._start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}"

    @property
    def publish_url(self):
        publish = self.system.publish
        return publish and publish.replace("{port}", str(self.port))

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
    def redis_pids(self):
        return [self._redis.process.pid] if self._redis else []

    def ensure(self):
        """Starts it again when it died in the run before; returns whether it had to."""
        if self._process.running:
            return False
        self._start()
        return True

    def restart(self):
        """A fresh process, for what is measured from the beginning, such as memory."""
        self._stop()
        self._start()

    def log(self):
        return self._process.log()

    def _start(self):
        self._process.start()
        until(self._answers, 20, lambda: f"{self.system.name} answers; its log:\n{self.log()[-3000:]}")

    def _answers(self):
        if not self._process.running:
            raise Missing(f"it ended at its start: {self.log()[-600:].strip()}")
        return self.system.ready(self._place) and len(self.pids) == 1 + self.system.workers

    def _stop(self):
        """SIGTERM first: nginx's master then ends its worker, which a killed one would leave behind."""
        if not self._process.running:
            return
        self._process.terminate()
        try:
            self._process.wait_exit(3)
        except AssertionError:
            for pid in self.pids[1:]:
                os.kill(pid, signal.SIGKILL)
            self._process.kill()

    def close(self):
        if self._process:
            self._stop()
        if self._redis and not self._shares:
            self._redis.close()
        self._lease.close()
