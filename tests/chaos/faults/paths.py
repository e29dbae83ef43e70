# SPDX-License-Identifier: MIT
"""Bad lines: loss, delay, single bytes, and clients whose connection carries nothing any more."""

import contextlib

from faults.gateways import leaves
from proxy import Proxy
from rows import row

LOSS = 0.05
HEARTBEAT_S, HEARTBEAT_TIMEOUT_S, GRACE_S = 3, 2, 0.5
CLOSE_WAIT_S = 2  # so long a gateway waits for the answer to its CLOSE, and the member stays one
HALF_OPEN = 12


@row("F15", "5 % of all packets lost, then 20 ms on the way to Redis and to the clients, then single bytes; 6 s each",
     settle_s=8, needs=("net",), ci=True, setup=lambda arena: arena.interpose(), load={"chats_per_s": 80})
def bad_lines(chaos):
    _loss(chaos)
    with contextlib.closing(Proxy(("127.0.0.1", chaos.haproxy.port), f"clients {chaos.seed}")) as clients_line:
        through = chaos.random.sample(chaos.load.residents, len(chaos.load.residents) // 3)
        _move(chaos, through, clients_line.port)
        chaos.until(lambda: clients_line.connections >= len(through) // 2, 10, "clients come through the line")
        lines = [*chaos.arena.lines.values(), clients_line]
        _spoil(chaos, "delay", lines, lambda line: line.slow(20, 10))
        _spoil(chaos, "single bytes", lines, _chop)
        chaos.expect(all(line.connections >= 2 for line in chaos.arena.lines.values()),
                     "the fault took place: every gateway's links go through its line")
        with chaos.fault("reset of the clients' line"):
            _move(chaos, through, chaos.haproxy.port)
            clients_line.reset()
        chaos.until(lambda: clients_line.connections == 0, 10, "everybody goes straight again")


def _loss(chaos):
    """On arrival: what is dropped where it is sent would be known to the sender."""
    with chaos.fault("loss", probability=LOSS):
        chaos.net.add("-p", "tcp", "-m", "statistic", "--mode", "random", "--probability", LOSS, "-j", "DROP",
                      chain="INPUT")
        chaos.hold(6)
    chaos.hold(1)


def _move(chaos, clients, port):
    """Their next connection goes there, and is made now."""
    def go():
        for client in clients:
            client.port = port
            client.drop()
    chaos.load.call(go)


def _spoil(chaos, name, lines, how):
    with chaos.fault(name):
        for line in lines:
            how(line)
        chaos.hold(6)
        for line in lines:
            line.mend()
    chaos.hold(1)


def _chop(line):
    line.chop = True


@row("F24", f"{HALF_OPEN} clients, half of them behind HAProxy, whose connections carry nothing any more", settle_s=5,
     settings={"client.heartbeat": f"{HEARTBEAT_S}s", "client.heartbeat_timeout": f"{HEARTBEAT_TIMEOUT_S}s",
               "room.rejoin_grace": f"{int(GRACE_S * 1000)}ms"})
def half_open_clients(chaos):
    victim = chaos.pick_gateway()
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(contextlib.closing(Proxy(("127.0.0.1", port), chaos.seed)))
                 for port in (victim.port, chaos.haproxy.port)]
        clients = chaos.load.call(_gather, chaos.load, lines)
        chaos.until(lambda: all(c.settled for c in clients), 20, "the clients behind the lines are in")
        before = _unanswered(chaos)
        gone = [(room, client.user) for client in clients for room in client.places]
        chaos.load.left_seen.clear()
        with chaos.fault("half-open", clients=len(clients)):
            for line in lines:
                line.hold()
            chaos.send_home(clients)
            leaves(chaos, gone, "leaves told everywhere, s")
        told = chaos.measured.get("leaves told everywhere, s", [])
        bound = HEARTBEAT_S + HEARTBEAT_TIMEOUT_S + CLOSE_WAIT_S + GRACE_S + 1
        chaos.expect(all(s <= bound for s in told), f"told within {bound:g} s: {told}")
        chaos.expect(_unanswered(chaos) - before >= len(clients), "each was closed for its unanswered ping")
        chaos.expect(all(line.connections == HALF_OPEN // 2 for line in lines), "the lines held to the end")


def _gather(load, lines):
    clients = []
    for number in range(HALF_OPEN):
        client = load.client("half-open", port=lines[number % len(lines)].port)
        load.crowd.append(client)
        load.enter(client, load.rooms[number % len(load.rooms)])
        client.start()
        clients.append(client)
    return clients


def _unanswered(chaos):
    return sum(g.metrics().total("parley_connections_closed_total", reason="heartbeat") for g in chaos.gateways)
