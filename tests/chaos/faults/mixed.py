# SPDX-License-Identifier: MIT
"""F36: whatever the seed says, for a minute, two faults at a time: one of the gateways, one of what they share.

Each act is a generator that yields how long it wants to wait: the acts of both kinds take turns in the
row's own thread. (A process that is started by another thread would end with that thread.)"""

import random
import time

from rows import row

SECONDS = 60


def _kill_gateway(chaos, dice):
    victim = dice.choice(chaos.gateways)
    with chaos.fault("kill -9", gateway=victim.name):
        victim.kill()
        yield dice.uniform(0.2, 3)
        victim.start()


def _stop_gateway(chaos, dice):
    victim = dice.choice(chaos.gateways)
    with chaos.fault("SIGTERM", gateway=victim.name):
        victim.terminate()
        while victim.running and chaos.since() < 40:
            yield 0.1
        chaos.expect(victim.wait_exit(1) == 0, "exit code 0 after SIGTERM")
        victim.start()


def _freeze_gateway(chaos, dice):
    victim = dice.choice(chaos.gateways)
    with chaos.fault("SIGSTOP", gateway=victim.name):
        victim.freeze()
        yield dice.uniform(0.5, 9)
        victim.thaw()


def _cut_gateway(chaos, dice):
    victim = dice.choice(chaos.gateways)
    to, back = dice.choice(((True, True), (False, True), (True, False)))
    with chaos.fault("DROP", gateway=victim.name, to=to, back=back):
        chaos.net.drop(chaos.arena.redis_address[victim.name], chaos.redis.port, to, back)
        yield dice.uniform(0.5, 8)
        chaos.net.clear()


def _tell_haproxy(chaos, command):
    """While the other act has HAProxy killed there is nobody to tell; it comes back with all servers ready."""
    try:
        chaos.arena.haproxy_says(command)
    except (ConnectionRefusedError, FileNotFoundError):
        pass


def _drain_server(chaos, dice):
    victim = dice.choice(chaos.gateways)
    with chaos.fault("maint", gateway=victim.name):
        _tell_haproxy(chaos, f"set server gateways/{victim.name} state maint")
        _tell_haproxy(chaos, f"shutdown sessions server gateways/{victim.name}")
        yield dice.uniform(0.5, 3)
        _tell_haproxy(chaos, f"set server gateways/{victim.name} state ready")


def _restart_redis(chaos, dice):
    with chaos.fault("kill -9 redis"):
        chaos.redis.kill()
        yield dice.uniform(0, 3)
        chaos.loss("Redis keeps nothing", chaos.born)
        chaos.redis.start()


def _roll_redis_back(chaos, dice):
    with chaos.fault("snapshot"):
        saved = time.monotonic()
        chaos.redis.call("SAVE")
        yield dice.uniform(0.5, 2)
        chaos.redis.kill()
        chaos.loss("snapshot", saved)
        chaos.redis.start()


def _freeze_redis(chaos, dice):
    with chaos.fault("SIGSTOP redis"):
        chaos.redis.freeze()
        yield dice.uniform(0.3, 5)
        chaos.redis.thaw()


def _kill_links(chaos, dice):
    with chaos.fault("CLIENT KILL"):
        for _ in range(dice.randrange(1, 5)):
            chaos.redis.call("CLIENT", "KILL", "TYPE", dice.choice(("pubsub", "normal")), "SKIPME", "yes")
            yield dice.uniform(0, 0.5)


def _flush(chaos, dice):
    what = dice.choice(("FLUSHALL", "FUNCTION FLUSH"))
    with chaos.fault(what):
        if what == "FLUSHALL":
            chaos.loss(what, chaos.born)
        chaos.redis.call(*what.split())
        yield 0


def _no_memory(chaos, dice):
    with chaos.fault("maxmemory"):
        chaos.redis.call("CONFIG", "SET", "maxmemory", "1mb")
        yield dice.uniform(0.5, 3)
        chaos.redis.call("CONFIG", "SET", "maxmemory", "0")


def _kill_haproxy(chaos, dice):
    with chaos.fault("kill -9 haproxy"):
        chaos.haproxy.kill()
        yield dice.uniform(0, 2)
        chaos.haproxy.start()


OF_GATEWAYS = (_kill_gateway, _stop_gateway, _freeze_gateway, _cut_gateway, _drain_server)
OF_THE_REST = (_restart_redis, _roll_redis_back, _freeze_redis, _kill_links, _flush, _no_memory, _kill_haproxy)


def _nemesis(chaos, acts, dice, until):
    while time.monotonic() < until:
        yield dice.uniform(0.5, 3)
        yield from dice.choice(acts)(chaos, dice)


def _take_turns(chaos, nemeses):
    """Runs generators side by side until all have ended."""
    due = {nemesis: time.monotonic() for nemesis in nemeses}
    while due:
        nemesis = min(due, key=due.get)
        chaos.hold(max(0.0, due[nemesis] - time.monotonic()))
        try:
            due[nemesis] = time.monotonic() + next(nemesis)
        except StopIteration:
            del due[nemesis]


@row("F36", "a minute of faults that the seed picks, two at a time", settle_s=20, calm_s=20, needs=("net",), warm_s=4)
def random_faults(chaos):
    until = time.monotonic() + SECONDS
    _take_turns(chaos, [_nemesis(chaos, acts, random.Random(chaos.random.random()), until)
                        for acts in (OF_GATEWAYS, OF_THE_REST)])
    for gateway in chaos.gateways:
        gateway.wait_ready()
    chaos.haproxy.wait_ready()
    chaos.mark("heal", "all")
