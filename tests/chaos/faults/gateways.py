# SPDX-License-Identifier: MIT
"""Gateways that die, stand still, or are told to stop."""

import http1
from rows import row
from wait import until

# Names of lost members are held back for the rejoin grace; to measure how long it takes to notice, it must be short.
SHORT_GRACE = {"room.rejoin_grace": "100ms"}
# For the first `lease` (5 s) of its link a gateway takes nobody for dead who may only be slow.
KNOWN_S = 6.5


def leaves(chaos, gone, name):
    """How long until every gateway's observer was told of all these leaves; they are {room, user}."""
    wanted = [(gateway, room, user) for gateway in chaos.arena.alive for room, user in gone]

    def untold():
        return [key for key in wanted if key not in chaos.load.left_seen]
    if chaos.until(lambda: not untold(), 15, lambda: f"every leave is told everywhere, but {untold()[:5]}"):
        chaos.measure(name, max(chaos.load.left_seen[key] for key in wanted) - chaos.changed_at)


def _memberships(clients):
    """Of residents: a churner that had just come may never have been told of."""
    return [(room, client.user) for client in clients for room in client.places
            if client.name.startswith("resident")]


def _half_stay_away(chaos, clients):
    """Of a gateway's clients half never come back (returned: their rooms and users); the others do."""
    away = chaos.random.sample(clients, (len(clients) + 1) // 2)
    gone = _memberships(away)
    chaos.send_home(away)
    return gone


@row("F1", "gateway killed (kill -9); half of its clients never come back, the others at once", settle_s=5,
     settings=SHORT_GRACE, warm_s=KNOWN_S, ci=True)
def gateway_crash(chaos):
    victim = chaos.pick_gateway()
    chaos.load.left_seen.clear()
    chaos.hold(chaos.random.uniform(0, 0.5))  # any moment between two beats
    clients = chaos.of_gateway(victim)
    with chaos.fault("kill -9", gateway=victim.name):
        victim.kill()
        gone = _half_stay_away(chaos, clients)
        leaves(chaos, gone, "leaves told everywhere, s")
        # Reconnecting takes up to 3 s.
        chaos.settle("exact without the dead", 4.0)
        chaos.churn()
        chaos.hold(1)
        victim.restart()


@row("F2", "each gateway in turn killed at a random moment of a fan-out", settle_s=5)
def gateway_crash_in_a_fan_out(chaos):
    order = chaos.random.sample(chaos.gateways, len(chaos.gateways))
    for victim in order:
        chaos.hold(chaos.random.uniform(0.2, 1.2))
        with chaos.fault("kill -9", gateway=victim.name):
            victim.kill()
            chaos.hold(chaos.random.uniform(0.1, 1.5))
            victim.restart()


@row("F3", "graceful stop of one gateway (SIGTERM), then started again", settle_s=5, ci=True)
def graceful_stop(chaos):
    victim = chaos.pick_gateway()
    clients = chaos.of_gateway(victim)
    limit_s = 3 + 3 + 5  # shutdown.grace, shutdown.drain, and what the issue allows on top
    with chaos.fault("SIGTERM", gateway=victim.name):
        chaos.load.call(chaos.load.watch_flaps)
        victim.terminate()
        chaos.until(lambda: victim.readyz() == 503 or not victim.running, 2, "/readyz says 503")
        code = victim.wait_exit(limit_s + 5)
        chaos.measure("stopped after, s", chaos.since())
        chaos.expect(chaos.since() <= limit_s, f"it ended within {limit_s} s")
        chaos.expect(code == 0, f"exit code 0 (it was {code})")
        back = [c for c in clients if not c.stays_away and not c.gateway]
        chaos.measure("clients without a gateway at its end", len(back))
        chaos.mark("fault", "gone", gateway=victim.name)
        chaos.settle("exact without it", 3.0)
        chaos.expect(not chaos.load.flaps, f"nobody is told to have left: {chaos.load.flaps[:5]}")
        chaos.churn()
        victim.start()
        victim.wait_ready()


@row("F4", "rolling restart of all gateways (SIGTERM one by one)", settle_s=5)
def rolling_restart(chaos):
    chaos.load.call(chaos.load.watch_flaps)
    for victim in chaos.random.sample(chaos.gateways, len(chaos.gateways)):
        with chaos.fault("SIGTERM", gateway=victim.name):
            victim.terminate()
            code = victim.wait_exit(15)
            chaos.expect(code == 0, f"{victim.name}: exit code 0 (it was {code})")
            victim.start()
            victim.wait_ready()
            until(lambda: chaos.arena.balanced(victim.name), 10, f"HAProxy sends clients to {victim.name}")
    chaos.expect(not chaos.load.flaps, f"nobody is told to have left: {chaos.load.flaps[:5]}")


@row("F5", "gateway frozen (SIGSTOP) for 5, 15 and 60 s; when it is found dead its clients go elsewhere, half for good",
     settle_s=8, settings=SHORT_GRACE, warm_s=KNOWN_S)
def gateway_frozen(chaos):
    for seconds in (5, 15, 60):
        _freeze(chaos, max(chaos.gateways, key=lambda g: len(chaos.of_gateway(g))), seconds)
        chaos.hold(2)
        chaos.settle(f"exact again after {seconds} s", 8.0, [g.name for g in chaos.gateways])
        chaos.churn()


def _freeze(chaos, victim, seconds):
    clients = chaos.of_gateway(victim)
    chaos.load.left_seen.clear()
    with chaos.fault("SIGSTOP", gateway=victim.name, seconds=seconds):
        victim.freeze()
        if seconds < 10:
            chaos.hold(seconds)
            return
        gone = _half_stay_away(chaos, clients)
        chaos.drop_all([c for c in clients if not c.stays_away])
        leaves(chaos, gone, "leaves of a frozen gateway told everywhere, s")
        chaos.settle("exact without the frozen", 8.0)
        chaos.churn()
        chaos.hold(max(0.0, seconds - chaos.since()))


@row("F34", "a second gateway of the same name joins, and leaves again", settle_s=5)
def duplicate_gateway_name(chaos):
    twin = chaos.arena.twin_of(chaos.pick_gateway())
    with chaos.fault("twin", gateway=twin.name):
        twin.start()
        refused = not _comes_up(twin)
        chaos.record.write("note", name="twin", refused=refused)
        if not refused:
            guest = chaos.load.call(_guest, chaos.load, twin.port)
            chaos.until(lambda: guest.settled, 5, "a client of the twin is in")
            chaos.settle("exact with both", 3.0)
            chaos.send_home([guest], "close")
            twin.terminate()
            chaos.expect(twin.wait_exit(15) == 0, "the twin ends cleanly")
    chaos.expect(all(http1.status_or_none(g.admin_port, "/readyz") == 200 for g in chaos.gateways),
                 "the first ones stay ready")


def _guest(load, port):
    client = load.client("guest", port=port)
    load.crowd.append(client)
    load.enter(client, load.rooms[0])
    client.start()
    return client


def _comes_up(gateway):
    """Ready, or ended by itself."""
    until(lambda: not gateway.running or gateway.readyz() == 200, 10, f"{gateway.name} starts or refuses")
    return gateway.running
