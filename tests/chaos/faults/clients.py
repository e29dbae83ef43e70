# SPDX-License-Identifier: MIT
"""Clients that do not read, and clients that come and go without pause."""

from rows import row
from wait import until

SMALL_BACKLOG = {"client.backlog_soft": "64k", "client.backlog_hard": "256k", "client.send_buffer": "16k",
                 "client.stuck": "5s", "client.heartbeat": "30s", "client.heartbeat_timeout": "20s"}


def _stop_reading(chaos, clients):
    chaos.load.call(lambda: [c.wire.pause() for c in clients if c.wire])


def _read_again(chaos, clients):
    chaos.load.call(lambda: [c.wire.resume() for c in clients if c.wire])


def _worst_rss(chaos):
    return max(g.rss_bytes() for g in chaos.gateways) / 1048576


def _crowd(chaos, count):
    """Clients that only listen to room-1, straight at the gateways: no proxy reads for them."""
    def gather(load):
        ports = list(load.gateways.values())
        clients = []
        for number in range(count):
            client = load.client("crowd", port=ports[number % len(ports)], rcvbuf=8192)
            load.crowd.append(client)
            load.enter(client, "room-1")
            load.start_later(client, number * 0.008)
            clients.append(client)
        return clients
    clients = chaos.load.call(gather, chaos.load)
    chaos.until(lambda: all(c.settled for c in clients), 60, "the crowd came in")
    return clients


def _too_slow(chaos, clients, grow_mb):
    """They stop reading for 12 s while texts are long. Memory must not grow by more than this."""
    before = _worst_rss(chaos)
    chaos.load.padding = 8000
    with chaos.fault("stop reading", clients=len(clients)):
        _stop_reading(chaos, clients)
        chaos.hold(12)
        grown = _worst_rss(chaos) - before
        chaos.measure("RSS grew by, MB", grown)
        chaos.expect(grown < grow_mb, f"the memory of a gateway stays bounded (grew by {grown:.0f} MB)")
        chaos.load.padding = 60
        _read_again(chaos, clients)
    cut = sum(g.metrics().total("parley_connections_closed_total", reason="slow") for g in chaos.gateways)
    skipped = sum(g.metrics().total("parley_messages_dropped_total", reason="slow_consumer") for g in chaos.gateways)
    chaos.measure("closed as slow", cut)
    chaos.measure("messages that slow readers skipped", skipped)
    chaos.expect(cut + skipped > 0, "the fault took place: somebody was too slow")


@row("F22", "six clients stop reading for 12 s while much is said, then read on", settle_s=8, settings=SMALL_BACKLOG,
     bounds={"slow_readers": True})
def slow_consumers(chaos):
    _too_slow(chaos, _crowd(chaos, 6), 24)
    chaos.hold(2)


# A third of them on each gateway; what they do not read is in one log of the room, kept once.
@row("F23", "1000 clients more in one room stop reading for 12 s, then go", settle_s=20, calm_s=15,
     settings=SMALL_BACKLOG, bounds={"slow_readers": True}, load={"chats_per_s": 60})
def many_slow_consumers(chaos):
    crowd = _crowd(chaos, 1000)
    _too_slow(chaos, crowd, 64)
    chaos.send_home(crowd)
    chaos.hold(3)


@row("F33", "100 joins and leaves a second in one room for 10 s, and one user in five tabs", settle_s=5, ci=True,
     settings={"room.history_ttl": "3s", "room.dedupe_ttl": "3s"}, bounds={"keys": 30})
def join_storm(chaos):
    tabs = chaos.load.call(_tabs, chaos.load)
    chaos.until(lambda: all(c.settled for c in tabs), 10, "the tabs are in")
    rooms = sum(g.metrics().total("parley_rooms") for g in chaos.gateways)
    with chaos.fault("join and leave"):
        chaos.load.storm_per_s = 100
        chaos.hold(10)
        chaos.load.storm_per_s = 0
    chaos.send_home(tabs[:2], "close")
    until(lambda: sum(g.metrics().total("parley_rooms") for g in chaos.gateways) <= rooms, 10,
          "no room is left open that was not before")


def _tabs(load):
    clients = []
    for _ in range(5):
        client = load.client("tab", user="five-tabs")
        load.crowd.append(client)
        load.enter(client, "room-1")
        client.start()
        clients.append(client)
    return clients
