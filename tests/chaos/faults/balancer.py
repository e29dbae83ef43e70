# SPDX-License-Identifier: MIT
"""HAProxy that dies, is reloaded, drains, or cuts what is idle; and the herd that comes back."""

import re
import signal
import time

from rows import row

HERD = 2000
HERD_ROOM = 100
BACK_S = 30
GATEWAYS, RATE, BURST = 3, 60, 30
# Clients see what came in 1.3 s within one second, when their own loop is late.
SEEN_PER_S = GATEWAYS * (BURST + int(RATE * 1.3))


@row("F30", "HAProxy killed (kill -9), reloaded, a server in maintenance, one draining", settle_s=10)
def haproxy_faults(chaos):
    acts = [_killed, _reloaded, _maintenance, _draining]
    chaos.random.shuffle(acts)
    for act in acts:
        act(chaos)
        chaos.hold(1.5)


def _killed(chaos):
    with chaos.fault("kill -9 haproxy"):
        chaos.haproxy.kill()
        chaos.hold(1)
        chaos.haproxy.start()
        chaos.haproxy.wait_ready()


def _reloaded(chaos):
    """A new process takes over the port, the old one keeps its connections until it is stopped."""
    old = chaos.haproxy.detach()
    with chaos.fault("reload haproxy"):
        chaos.haproxy.start()
        chaos.haproxy.wait_ready()
        old.send_signal(signal.SIGUSR1)
        chaos.hold(1.5)
        old.kill()
        old.wait()


def _maintenance(chaos):
    victim = chaos.pick_gateway()
    with chaos.fault("maint", gateway=victim.name):
        chaos.arena.haproxy_says(f"set server gateways/{victim.name} state maint")
        chaos.arena.haproxy_says(f"shutdown sessions server gateways/{victim.name}")
        chaos.hold(2)
        chaos.arena.haproxy_says(f"set server gateways/{victim.name} state ready")


def _draining(chaos):
    """Those who are there stay there."""
    victim = chaos.pick_gateway()
    clients = [c for c in chaos.of_gateway(victim) if c in chaos.load.residents]
    with chaos.fault("drain", gateway=victim.name):
        chaos.arena.haproxy_says(f"set server gateways/{victim.name} state drain")
        chaos.hold(2)
        moved = [c.name for c in clients if c.gateway != victim.name]
        chaos.expect(not moved, f"residents stay on a draining server: {moved[:5]}")
        chaos.arena.haproxy_says(f"set server gateways/{victim.name} state ready")


def _short_tunnel(arena):
    path = arena.haproxy.argv[-1]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    text, count = re.subn(r"timeout tunnel \S+", "timeout tunnel 5s", text)
    assert count == 1, "one line sets the tunnel's timeout"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


@row("F31", "nobody says anything for three times the proxy's timeout (tunnel 5 s, heartbeat 2 s)", settle_s=5,
     setup=_short_tunnel, settings={"client.heartbeat": "2s", "client.heartbeat_timeout": "1s"})
def idle_connections(chaos):
    chaos.load.churning = chaos.load.chatting = False
    chaos.hold(1)
    absences = sum(len(c.back_s) for c in chaos.load.residents)
    with chaos.fault("silence"):
        chaos.hold(15)
        lost = sum(len(c.back_s) + (c.lost_at is not None) for c in chaos.load.residents) - absences
        chaos.expect(lost == 0, f"nobody loses a connection for being silent ({lost} did)")
    chaos.load.chatting = True
    chaos.hold(1)


@row("F32", f"HAProxy killed with {HERD} more clients, started again: the herd comes back, and each "
            f"gateway takes {RATE} a second", settle_s=BACK_S, calm_s=BACK_S,
     bounds={"upgrades_per_s": SEEN_PER_S}, load={"chats_per_s": 50},
     settings={"client.connect_rate": f"{RATE}/s burst {BURST}"}, gateways=GATEWAYS)
def herd(chaos):
    clients = chaos.load.call(_gather, chaos.load, HERD)
    chaos.until(lambda: all(c.settled for c in clients), 60, "the herd came in")
    chaos.measure("came in after, s", chaos.since())
    with chaos.fault("kill -9 haproxy", clients=HERD):
        chaos.haproxy.kill()
        chaos.hold(1)
        chaos.haproxy.start()
        chaos.haproxy.wait_ready()
    samples = {gateway.name: [] for gateway in chaos.gateways}

    def back():
        for gateway in chaos.gateways:
            samples[gateway.name].append(_opened(gateway))
        chaos.hold(0.25)
        return all(c.settled or c.stays_away for c in clients)
    if chaos.until(back, BACK_S, "the whole herd is back"):
        chaos.measure("all back after, s", chaos.since())
    for name, taken in samples.items():
        _expect_rate(chaos, name, taken)
    refused = sum(g.metrics().total("parley_handshakes_rejected_total", reason="connect_rate") for g in chaos.gateways)
    chaos.measure("refused by the rate", refused)
    chaos.expect(refused > HERD // 4, f"the rate was asked for ({refused:g} were refused)")
    chaos.measure("most upgrades in one second", _most_in_a_second(chaos))
    chaos.expect(not any(c.failed for c in clients), "no honest client gives up")


def _opened(gateway):
    """Accepted connections at some moment between two: (before, number, after)."""
    before = time.monotonic()
    number = gateway.metrics().total("parley_connections_opened_total")
    return before, number, time.monotonic()


def _expect_rate(chaos, name, taken):
    """C13 as the gateway itself counts: over any time no more than the rate and the burst."""
    for first, (began, had, _) in enumerate(taken):
        for _, has, ended in taken[first + 1:]:
            most = BURST + RATE * (ended - began) + 1
            if has - had > most:
                chaos.expect(False, f"{name} accepted {has - had:g} in {ended - began:.2f} s; {most:.0f} are allowed")
                return


def _gather(load, count):
    """Clients that only listen, a hundred to a room of their own."""
    herd_rooms = [f"herd-{n}" for n in range(1, count // HERD_ROOM + 1)]
    load.open_rooms(herd_rooms)
    clients = []
    for number in range(count):
        client = load.client("herd")
        load.crowd.append(client)
        load.enter(client, herd_rooms[number % len(herd_rooms)])
        load.start_later(client, number * 0.005)
        clients.append(client)
    return clients


def _most_in_a_second(chaos):
    opened = sorted(t for t in chaos.load.opened_at if t > chaos.changed_at)
    best, first = 0, 0
    for last, moment in enumerate(opened):
        while moment - opened[first] > 1.0:
            first += 1
        best = max(best, last - first + 1)
    return best
