# SPDX-License-Identifier: MIT
"""Redis that dies, forgets, stands still, or refuses."""

import os
import subprocess
import time

from redisserver import RedisServer
from rows import NotRun, row
from wait import until

AOF = ("--appendonly", "yes", "--appendfsync", "everysec")


def _ready_again(chaos, within_s=10):
    """How long after the last mark every gateway says that it is ready."""
    names = [g for g in chaos.gateways if g.running and not g.frozen]
    if chaos.until(lambda: all(g.readyz() == 200 for g in names), within_s, "every gateway is ready again"):
        chaos.measure("ready again after, s", chaos.since())


def _restart(chaos, down_s, why, since):
    """kill -9, a pause, start; what was acked since then may be gone."""
    with chaos.fault("kill -9 redis"):
        chaos.redis.kill()
        chaos.hold(down_s)
        chaos.loss(why, since)
        chaos.redis.start()
    _ready_again(chaos)


@row("F6", "Redis killed (kill -9) and started empty", settle_s=5, ci=True)
def redis_restart_empty(chaos):
    _restart(chaos, 1.0, "Redis keeps nothing", chaos.born)
    chaos.hold(2)
    _restart(chaos, 3.0, "Redis keeps nothing", chaos.born)
    chaos.hold(2)


@row("F7", "Redis killed (kill -9) and started from its AOF (everysec), twice", settle_s=5, redis_args=AOF)
def redis_restart_aof(chaos):
    for _ in range(2):
        _restart(chaos, 1.0, "appendfsync everysec", time.monotonic() - 2.5)
        chaos.hold(2)


@row("F7s", "Redis reloads a snapshot that is 2 s old (SAVE, 2 s, kill -9, start)", settle_s=5, ci=True)
def redis_reloads_a_snapshot(chaos):
    for _ in range(2):
        chaos.redis.call("SAVE")
        saved = time.monotonic()
        chaos.hold(2)
        _restart(chaos, 0.5, "snapshot", saved)
        chaos.hold(2)


@row("F8", "Redis frozen (SIGSTOP) for 1, 3 and 10 s", settle_s=8)
def redis_frozen(chaos):
    for seconds in (1, 3, 10):
        lag = _loop_lag(chaos)
        with chaos.fault("SIGSTOP redis", seconds=seconds):
            chaos.redis.freeze()
            chaos.hold(seconds)
        late = _loop_lag(chaos) - lag
        chaos.measure("turns of a loop later than 100 ms", late)
        chaos.churn()
        chaos.hold(3)
    chaos.expect(not _reaped(chaos), "nobody living is reaped")


def _loop_lag(chaos):
    """Turns of the gateways' loops that came more than 100 ms late, so far."""
    total = 0
    for gateway in chaos.gateways:
        page = gateway.metrics()
        total += page.total("parley_loop_lag_seconds_count") - page.total(
            "parley_loop_lag_seconds_bucket", le="0.1")
    return total


def _reaped(chaos):
    return sum(g.metrics().total("parley_gateways_reaped_total") for g in chaos.gateways)


@row("F9", "CLIENT KILL of subscriptions and of command links, again and again", settle_s=5)
def client_kill(chaos):
    with chaos.fault("CLIENT KILL"):
        for _ in range(6):
            chaos.redis.call("CLIENT", "KILL", "TYPE", chaos.random.choice(("pubsub", "normal")), "SKIPME", "yes")
            chaos.hold(chaos.random.uniform(0.2, 1.0))
    _ready_again(chaos)


@row("F10", "output-buffer limit 32 kB while a gateway stands still under load: Redis cuts its subscription",
     settle_s=8, settings={"room.rejoin_grace": "500ms"})
def output_buffer_kill(chaos):
    victim = chaos.pick_gateway()
    chaos.redis.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32kb 16kb 1")
    chaos.load.padding = 6000
    chaos.hold(0.5)
    before = _subscribers(chaos)
    with chaos.fault("SIGSTOP", gateway=victim.name):
        victim.freeze()
        if chaos.until(lambda: _subscribers(chaos) < before, 20, "Redis cuts the subscription"):
            chaos.measure("cut after, s", chaos.since())
        chaos.load.padding = 60
        chaos.hold(0.5)
    chaos.redis.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")
    _ready_again(chaos)


def _subscribers(chaos):
    return len(chaos.redis.call("CLIENT", "LIST", "TYPE", "pubsub").splitlines())


@row("F11", "CLIENT PAUSE 3000 ALL", settle_s=5)
def client_pause(chaos):
    with chaos.fault("CLIENT PAUSE", ms=3000):
        chaos.redis.call("CLIENT", "PAUSE", "3000", "ALL")
        chaos.hold(3.1)
    _ready_again(chaos)


@row("F16", "failover: the replica is promoted while the master dies; the old one comes back as a replica", settle_s=8,
     needs=("net",))
def failover(chaos):
    with _second_redis(chaos) as replica, chaos.fault("failover"):
        _be_replica(replica, chaos.redis)
        killed = time.monotonic()
        chaos.redis.kill()
        chaos.hold(0.5)
        chaos.loss("replication is asynchronous", killed - 1.0)
        replica.call("REPLICAOF", "NO", "ONE")
        _redirect(chaos, replica)
        chaos.mark("fault", "the replica is promoted")
        _ready_again(chaos)
        chaos.hold(3)
        chaos.net.clear()
        chaos.redis.start()
        _be_replica(chaos.redis, replica)
        for server in (chaos.redis, replica):
            server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            server.call("CLIENT", "KILL", "TYPE", "pubsub")
        chaos.mark("fault", "gateways reach the old master, a read-only replica")
        chaos.hold(3)
        chaos.loss("replication is asynchronous", chaos.changed_at - 1.0)
        chaos.redis.call("REPLICAOF", "NO", "ONE")
        chaos.mark("fault", "the old master is promoted")
        _ready_again(chaos)
        chaos.hold(2)


class _second_redis:
    """Another Redis, in a folder of its own, for a `with` block."""

    def __init__(self, chaos):
        folder = os.path.join(chaos.arena.folder, "second")
        os.makedirs(folder)
        self._redis = RedisServer(folder)

    def __enter__(self):
        self._redis.start()
        return self._redis

    def __exit__(self, *exc):
        self._redis.close()


def _be_replica(redis, master):
    redis.call("REPLICAOF", "127.0.0.1", master.port)
    until(lambda: "master_link_status:up" in redis.call("INFO", "replication"), 20, "the replica is in step")


def _redirect(chaos, replica):
    """Whoever calls the master's port reaches the other one from now on: the address that moves."""
    chaos.net.add("-p", "tcp", "--dport", chaos.redis.port, "-j", "REDIRECT", "--to-ports", replica.port, table="nat")


@row("F17", "the disk of Redis is full (AOF on a small tmpfs): it refuses writes", settle_s=5, needs=("net",),
     redis_args=("--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"),
     setup=lambda arena: _small_disk(arena))
def disk_full(chaos):
    filler = os.path.join(chaos.redis.data, "filler")
    with chaos.fault("disk full"):
        _fill(filler)
        refused = chaos.until(lambda: _refuses(chaos), 20, "Redis refuses to write")
        chaos.expect(refused, "the fault took place")
        chaos.hold(3)
        os.remove(filler)
        chaos.until(lambda: not _refuses(chaos), 10, "Redis writes again")


def _small_disk(arena):
    data = arena.redis.data
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", data], capture_output=True, text=True)
    if done.returncode:
        raise NotRun(f"needs to mount a tmpfs: {done.stderr.strip()}")
    arena.at_end(lambda: subprocess.run(["umount", "-l", data], check=False))


def _fill(path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(fd, bytes(1024))
    except OSError:
        os.close(fd)


def _refuses(chaos):
    return "aof_last_write_status:err" in chaos.redis.call("INFO", "persistence")


@row("F18", "Redis at its maxmemory, noeviction: it refuses writes", settle_s=5)
def out_of_memory(chaos):
    with chaos.fault("maxmemory 1mb"):
        chaos.redis.call("CONFIG", "SET", "maxmemory", "1mb")
        chaos.hold(4)
        chaos.redis.call("CONFIG", "SET", "maxmemory", "0")
    _ready_again(chaos)


# What is destroyed behind the back of living gateways is found by their background check, once a minute.
@row("F18e", "Redis evicts keys (maxmemory, allkeys-random)", settle_s=75)
def eviction(chaos):
    with chaos.fault("allkeys-random"):
        chaos.loss("evicted", chaos.born)
        chaos.redis.call("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
        for _ in range(4):
            chaos.redis.call("CONFIG", "SET", "maxmemory", "1mb")
            chaos.hold(0.2)
            chaos.redis.call("CONFIG", "SET", "maxmemory", "0")
            chaos.hold(1)
    _ready_again(chaos)


@row("F19", "FLUSHALL and FUNCTION FLUSH", settle_s=5)
def everything_flushed(chaos):
    for name in chaos.random.sample(("FLUSHALL", "FUNCTION FLUSH"), 2):
        with chaos.fault(name):
            if name == "FLUSHALL":
                chaos.loss(name, chaos.born)
            chaos.redis.call(*name.split())
        chaos.hold(2)


@row("F19k", "a room's keys deleted, another room's keys of the wrong type for a second", settle_s=75)
def keys_destroyed(chaos):
    first, second = chaos.random.sample(chaos.load.rooms, 2)
    with chaos.fault("DEL", room=first):
        chaos.loss("DEL", chaos.born)
        chaos.redis.call("DEL", *_keys(chaos, first))
    chaos.hold(2)
    with chaos.fault("WRONGTYPE", room=second):
        chaos.loss("WRONGTYPE", chaos.born)
        _wrong_type(chaos, second)
    chaos.hold(2)


def _keys(chaos, room):
    return chaos.redis.call("KEYS", f"parley:*{{{room}}}*") or ["none"]


def _wrong_type(chaos, room):
    """Each key of the room is a string for a second, and then gone."""
    for key in _keys(chaos, room):
        chaos.redis.call("SET", key, "not what it was")
    chaos.hold(1)
    chaos.redis.call("DEL", *_keys(chaos, room))


@row("F20", "Redis wants a password, denies commands, takes no more clients, is loading, runs a busy script",
     settle_s=8)
def redis_refuses(chaos):
    acts = [_password, _denied, _too_many_clients, _busy, _loading]
    chaos.random.shuffle(acts)
    for act in acts:
        act(chaos)
        _ready_again(chaos, within_s=4)  # reconnect_max, a tick, and a busy machine
        chaos.hold(1)


def _password(chaos):
    with chaos.fault("NOAUTH"):
        chaos.redis.call("CONFIG", "SET", "requirepass", "secret")
        chaos.redis.call("CLIENT", "KILL", "TYPE", "pubsub")
        chaos.redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        chaos.hold(2)
        chaos.expect(all(g.readyz() == 503 for g in chaos.gateways), "/readyz says 503 without the password")
        chaos.redis.call("CONFIG", "SET", "requirepass", "")


def _denied(chaos):
    with chaos.fault("NOPERM"):
        chaos.redis.call("ACL", "SETUSER", "default", "-fcall", "-publish")
        chaos.hold(2)
        chaos.redis.call("ACL", "SETUSER", "default", "+@all")


def _too_many_clients(chaos):
    with chaos.fault("maxclients"):
        chaos.redis.call("CONFIG", "SET", "maxclients", "3")
        chaos.redis.call("CLIENT", "KILL", "TYPE", "pubsub")
        chaos.redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        chaos.hold(2)
        chaos.redis.call("CONFIG", "SET", "maxclients", "10000")


def _busy(chaos):
    with chaos.fault("BUSY"):
        chaos.redis.call("CONFIG", "SET", "busy-reply-threshold", "200")
        endless = subprocess.Popen(["redis-cli", "-p", str(chaos.redis.port), "EVAL", "while true do end", "0"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        chaos.hold(2.5)
        chaos.redis.cli("SCRIPT", "KILL", check=False)
        endless.wait(10)


def _loading(chaos):
    """A restart from a snapshot that takes a few seconds to read."""
    began = time.monotonic()
    with chaos.fault("LOADING"):
        chaos.redis.call("DEBUG", "POPULATE", "20000", "ballast", "100", timeout_s=20)
        chaos.redis.call("SAVE", timeout_s=20)
        chaos.redis.kill()
        chaos.loss("snapshot", chaos.born)
        chaos.redis.process.argv += ["--key-load-delay", "150"]
        chaos.redis.process.start()
        chaos.hold(1)
        until(lambda: _answers(chaos), 30, "Redis has read its snapshot")
        chaos.redis.process.argv = chaos.redis.process.argv[:-2]
        chaos.redis.call("EVAL", "for _,k in ipairs(redis.call('KEYS','ballast:*')) do redis.call('DEL',k) end", "0")


def _answers(chaos):
    try:
        return chaos.redis.call("PING", timeout_s=1) == "PONG"
    except Exception:
        return False
