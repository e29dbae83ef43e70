# SPDX-License-Identifier: MIT
"""The network between gateways and Redis: silent, one-way, reset."""

from rows import row

SHORT_GRACE = {"room.rejoin_grace": "500ms"}


def _link(chaos, gateway):
    return chaos.arena.redis_address[gateway.name], chaos.redis.port


def _up(gateway):
    return gateway.metrics().total("parley_redis_up") == 2


@row("F12", "a gateway and Redis cannot hear each other for 30 s (DROP both ways); its clients go elsewhere, "
     "half for good", settle_s=8, needs=("net",), settings=SHORT_GRACE, warm_s=6.5)
def partition(chaos):
    victim = chaos.pick_gateway()
    clients = chaos.of_gateway(victim)
    with chaos.fault("DROP", gateway=victim.name):
        chaos.net.drop(*_link(chaos, victim))
        if chaos.until(lambda: victim.readyz() == 503, 10, "/readyz says 503"):
            chaos.measure("noticed after, s", chaos.since())
        chaos.until(lambda: not chaos.arena.balanced(victim.name), 10, "HAProxy sends nobody there")
        away = chaos.random.sample(clients, len(clients) // 2)
        chaos.send_home(away)
        chaos.drop_all([c for c in clients if c not in away] + chaos.strays())
        others = [g.name for g in chaos.gateways if g is not victim]
        chaos.mark("fault", "its clients are gone", gateway=victim.name)
        chaos.settle("exact on the others", 4.0, others)
        chaos.churn()
        chaos.hold(max(0.0, 25 - chaos.since()))
    if chaos.until(lambda: _up(victim) and victim.readyz() == 200, 10, "linked again"):
        chaos.measure("linked again after, s", chaos.since())


@row("F13", "a gateway's commands reach Redis, the answers are lost (DROP one way): 2.5 s, three times", settle_s=8,
     needs=("net",), ci=True)
def one_way_loss(chaos):
    for _ in range(3):
        victim = chaos.pick_gateway()
        with chaos.fault("DROP answers", gateway=victim.name):
            chaos.net.drop(*_link(chaos, victim), to=False)
            chaos.hold(2.5)
        if chaos.until(lambda g=victim: _up(g) and g.readyz() == 200, 10, "linked again"):
            chaos.measure("linked again after, s", chaos.since())
        chaos.hold(chaos.random.uniform(1, 2))


@row("F14", "all links to Redis are reset for 200 ms, every 2 s, five times", settle_s=5, needs=("net",))
def reset_storm(chaos):
    for _ in range(5):
        with chaos.fault("REJECT tcp-reset", ms=200):
            for gateway in chaos.gateways:
                chaos.net.reset(*_link(chaos, gateway))
            chaos.hold(0.2)
        chaos.hold(1.8)
    chaos.until(lambda: all(_up(g) for g in chaos.gateways), 10, "linked again")
