# SPDX-License-Identifier: MIT
"""Too few descriptors, too little memory, too little CPU."""

import contextlib
import os
import socket
import subprocess

import frames
import http1
from process import die_with_parent
from rows import NotRun, row
from wait import until

FILES = 256
CALM_CPU = 0.05
CGROUP = "/sys/fs/cgroup/memory"
MEMORY_MB = 64
BUDGET_MB = 24
UNFINISHED_BYTES = 1_000_000
STRANGERS = 80


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
    def most(self):
        """Bytes used at most since its beginning."""
        with open(os.path.join(self._path, "memory.max_usage_in_bytes"), encoding="ascii") as file:
            return int(file.read())


def _limit_memory(arena):
    arena.memory_limit = _MemoryLimit(arena)


@row("F26", f"a gateway in a memory cgroup of {MEMORY_MB} MB; up to {STRANGERS} strangers each begin a message of 1 MB and "
            f"never end it: with server.memory_max of {BUDGET_MB} MB, then without", settle_s=8, calm_s=8,
     setup=_limit_memory, load={"chats_per_s": 80},
     settings={"server.memory_max": f"{BUDGET_MB}m", "client.max_message_bytes": "1m", "client.heartbeat": "30s",
               "redis.publish_buffer": "2m"})
def out_of_memory(chaos):
    cgroup, socks = chaos.arena.memory_limit, []
    victim = cgroup.gateway
    try:
        with chaos.fault("memory budget", gateway=victim.name, mb=BUDGET_MB):
            _within_budget(chaos, cgroup, socks)
    finally:
        _close(socks)
    chaos.until(lambda: _comes_in(victim.port), 5, "new clients come in again")
    chaos.measure("new clients again after, s", chaos.since())
    chaos.expect(victim.log().count("event=memory state=over") <= 2, "the log says it once")
    chaos.hold(2)
    budget = _set_budget(victim, "0")
    victim.restart()
    try:
        with chaos.fault("no budget", gateway=victim.name, mb=MEMORY_MB):
            _fill(chaos, victim, socks, STRANGERS)
            chaos.until(lambda: not victim.running, 10, "the kernel kills it")
            chaos.measure("killed with strangers", len(socks))
            chaos.expect(victim.exit_code == -9, f"killed by the kernel (exit code {victim.exit_code})")
            _close(socks)
            _set_budget(victim, budget)
            victim.restart()
    finally:
        _close(socks)
    chaos.hold(2)


def _set_budget(gateway, value):
    """From its next start on; returns what it was."""
    flag = "--server.memory_max="
    old = next(a for a in gateway.argv if a.startswith(flag))
    gateway.argv[gateway.argv.index(old)] = flag + value
    return old[len(flag):]


def _within_budget(chaos, cgroup, socks):
    victim = cgroup.gateway
    there = [c for c in chaos.load.residents if c.gateway == victim.name]
    absences = sum(len(c.back_s) for c in there)
    status = _fill(chaos, victim, socks, STRANGERS)
    chaos.measure("strangers before it refused", len(socks))
    chaos.expect(status == 503, f"a stranger is refused with 503 before memory is full ({status})")
    for _ in range(20):
        sock, status, headers = _ask_to_come_in(victim.port)
        sock.close()
        chaos.expect(status == 503 and "retry-after" in headers, f"and so are all that follow ({status})")
    chaos.hold(2)
    chaos.measure("used at most with a budget, MB", cgroup.most / 1048576)
    chaos.expect(victim.running, "it is not killed")
    lost = sum(len(c.back_s) + (not c.connected) for c in there) - absences
    chaos.expect(lost == 0, f"whoever is in stays in ({lost} did not)")
    page = victim.metrics()
    chaos.expect(page.total("parley_handshakes_rejected_total", reason="memory") > 20, "the metric counts them")
    chaos.expect(page.total("parley_memory_over") == 1, "the metric says so")


def _fill(chaos, victim, socks, most):
    """Strangers come, say much and never end, until one does not come in. Returns the last one's status."""
    status = 101
    message = frames.frame(frames.TEXT, "x" * UNFINISHED_BYTES)[:-1]
    with contextlib.suppress(OSError):  # the kernel may kill it meanwhile
        while status == 101 and len(socks) < most:
            sock, status, _ = _ask_to_come_in(victim.port)
            if status != 101:
                sock.close()
                break
            socks.append(sock)
            sock.settimeout(5)
            sock.sendall(message)
            chaos.hold(0.1)
    return status


def _close(socks):
    while socks:
        socks.pop().close()


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
