# SPDX-License-Identifier: MIT
"""Too few descriptors, too little memory, too little CPU."""

import contextlib
import os
import socket
import subprocess

import http1
from process import die_with_parent
from rows import NotRun, row
from wait import until

FILES = 256
CALM_CPU = 0.05
CGROUP = "/sys/fs/cgroup/memory"
MEMORY_MB = 64
CROWD = 400


def _upgrade_bytes():
    return http1.request_bytes("GET", "/ws", {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})


def _ask_to_come_in(port):
    """(socket, status): status is None when nobody answered within a second."""
    sock = socket.create_connection(("127.0.0.1", port), 2)
    sock.settimeout(1)
    try:
        sock.sendall(_upgrade_bytes())
        head = b""
        while b"\r\n\r\n" not in head and (part := sock.recv(4096)):
            head += part
        status, _, listed = http1.parse_head(head.partition(b"\r\n\r\n")[0])
        return sock, status, dict(listed)
    except (OSError, ValueError, AssertionError, IndexError):
        return sock, None, {}


@row("F25", f"a gateway that may open {FILES} files: 240 ask to come in, then 300 say nothing at all", settle_s=8,
     wrapper=("prlimit", f"--nofile={FILES}:{FILES}"), settings={"room.rejoin_grace": "500ms"})
def too_few_files(chaos):
    victim, socks = chaos.pick_gateway(), []
    connected = [c for c in chaos.load.residents if c.gateway == victim.name]
    absences = sum(len(c.back_s) for c in connected)
    try:
        with chaos.fault("too many clients", gateway=victim.name):
            _ask_until_full(chaos, victim, socks)
            chaos.load.chatting = chaos.load.churning = False
            chaos.hold(1)
            with contextlib.suppress(OSError):
                socks += [socket.create_connection(("127.0.0.1", victim.port), 2) for _ in range(300)]
            _expect_calm(chaos, victim)
            lost = sum(len(c.back_s) + (not c.connected) for c in connected) - absences
            chaos.expect(lost == 0, f"whoever is in stays in ({lost} did not)")
    finally:
        for sock in socks:
            sock.close()
    until(lambda: _comes_in(victim.port), 5, "new clients come in again")
    chaos.measure("new clients again after, s", chaos.since())
    chaos.load.chatting = True
    chaos.churn()
    chaos.hold(2)


def _ask_until_full(chaos, victim, socks):
    statuses = {}
    for _ in range(240):
        sock, status, headers = _ask_to_come_in(victim.port)
        socks.append(sock)
        statuses[status] = statuses.get(status, 0) + 1
        if status == 503:
            chaos.expect("retry-after" in headers, "503 says when to try again")
        if status is None:
            break  # it waits to be accepted: nor will those behind it be
    chaos.measure("accepted before it was full", statuses.get(101, 0))
    chaos.measure("refused with 503", statuses.get(503, 0))
    chaos.expect(set(statuses) <= {101, 503, None}, f"nobody is told anything else: {statuses}")
    chaos.expect(statuses.get(101, 0) < 240, "the fault took place: some were refused")


def _expect_calm(chaos, victim):
    """Nobody talks; what is used now is used for those who cannot come in."""
    chaos.hold(0.5)
    log, cpu, began = victim.log_size(), victim.cpu_seconds(), chaos.since()
    chaos.hold(5)
    seconds = chaos.since() - began
    busy = (victim.cpu_seconds() - cpu) / seconds
    text = victim.log(log)
    chaos.measure("CPU while full, %", 100 * busy)
    chaos.measure("lines of log a second while full", text.count("\n") / seconds)
    chaos.expect(busy < CALM_CPU, f"{busy:.0%} of a CPU while nobody can come in")
    chaos.expect(text.count("\n") <= seconds, f"more than a line of log a second:\n{text[:1500]}")


def _comes_in(port):
    sock, status, _ = _ask_to_come_in(port)
    sock.close()
    return status == 101


class _MemoryLimit:
    """A memory cgroup of its own for one gateway, from its start on: what it had before would not count."""

    def __init__(self, arena):
        self.gateway = arena.gateways[0]
        self._path = os.path.join(CGROUP, f"parley-chaos-{os.getpid()}")
        try:
            os.mkdir(self._path)
            arena.at_end(lambda: os.rmdir(self._path))
            self.limit(MEMORY_MB << 20)
        except OSError as error:
            raise NotRun(f"needs memory cgroups (v1): {error}") from None
        procs = os.path.join(self._path, "cgroup.procs")
        self.gateway.argv = ["sh", "-c", f"echo $$ > {procs} && exec \"$@\"", "sh", *self.gateway.argv]

    def limit(self, size):
        with open(os.path.join(self._path, "memory.limit_in_bytes"), "w", encoding="ascii") as file:
            file.write(str(size))

    @property
    def used(self):
        with open(os.path.join(self._path, "memory.usage_in_bytes"), encoding="ascii") as file:
            return int(file.read())


def _limit_memory(arena):
    arena.memory_limit = _MemoryLimit(arena)


@row("F26", f"a gateway in a memory cgroup of {MEMORY_MB} MB, with {CROWD} clients more; then no byte more than it has, "
            "until the kernel kills it", settle_s=8, calm_s=8, setup=_limit_memory, load={"chats_per_s": 80})
def out_of_memory(chaos):
    cgroup = chaos.arena.memory_limit
    victim = cgroup.gateway
    with chaos.fault("memory limit", gateway=victim.name, mb=MEMORY_MB):
        crowd = chaos.load.call(_crowd_of, chaos.load, victim.port)
        chaos.until(lambda: all(c.settled for c in crowd), 20, f"{MEMORY_MB} MB do for {CROWD} clients more")
        chaos.hold(1)
        chaos.measure("used of the limit, MB", cgroup.used / 1048576)
        chaos.expect(victim.running, "it is not killed at that limit")
        chaos.mark("fault", "not a byte more", gateway=victim.name)
        _squeeze(chaos, victim, cgroup)
        chaos.expect(victim.exit_code == -9, f"killed by the kernel (exit code {victim.exit_code})")
        victim.kill()
        chaos.send_home(crowd)
        chaos.hold(1)
        cgroup.limit(MEMORY_MB << 20)
        victim.restart()
    chaos.hold(2)


def _crowd_of(load, port):
    clients = []
    for number in range(CROWD):
        client = load.client("crowd", port=port)
        load.crowd.append(client)
        load.enter(client, load.rooms[number % len(load.rooms)])
        load.start_later(client, number * 0.008)
        clients.append(client)
    return clients


def _squeeze(chaos, victim, cgroup):
    """The limit follows what is used: what the gateway asks for next is too much."""
    def squeezed():
        with contextlib.suppress(OSError):  # it used more in the meantime
            cgroup.limit(cgroup.used)
        return not victim.running
    chaos.load.padding = 8000
    if chaos.until(squeezed, 20, "the kernel kills it"):
        chaos.measure("killed after, s", chaos.since())
    chaos.load.padding = 60


@row("F35", "two busy programs a core beside gateways of low priority, 12 s", settle_s=8, calm_s=8,
     load={"chats_per_s": 80})
def starved(chaos):
    before = _false_alarms(chaos)
    try:
        for gateway in chaos.gateways:
            os.setpriority(os.PRIO_PROCESS, gateway.pid, 10)
    except PermissionError:
        raise NotRun("may not change priorities") from None
    busy = []
    try:
        with chaos.fault("busy", programs=2 * os.cpu_count()):
            busy += [subprocess.Popen(["sh", "-c", "while :; do :; done"], preexec_fn=die_with_parent)
                     for _ in range(2 * os.cpu_count())]
            chaos.hold(12)
    finally:
        for process in busy:
            process.kill()
            process.wait()
        for gateway in chaos.gateways:
            os.setpriority(os.PRIO_PROCESS, gateway.pid, 0)
    alarms = [after - old for after, old in zip(_false_alarms(chaos), before)]
    chaos.expect(alarms[0] == 0, f"no living client is closed for its silence ({alarms[0]:g} were)")
    chaos.expect(alarms[1] == 0, f"no living gateway is reaped ({alarms[1]:g} were)")
    chaos.hold(2)


def _false_alarms(chaos):
    pages = [g.metrics() for g in chaos.gateways]
    return (sum(p.total("parley_connections_closed_total", reason="heartbeat") for p in pages),
            sum(p.total("parley_gateways_reaped_total") for p in pages))
