# SPDX-License-Identifier: MIT
"""Clients that do not read, and clients that come and go without pause."""

import time

from rows import row
from wait import until

SMALL_BACKLOG = {"client.backlog_soft": "64k", "client.backlog_hard": "256k", "client.send_buffer": "16k",
                 "client.stuck": "8s", "client.heartbeat": "30s", "client.heartbeat_timeout": "20s"}
SECONDS = 12
# A slow reader reads on when so much was said in its room: with what the kernel holds (twice 16k and twice
# 8k) that is past the soft limit and not past the hard one.
UNREAD_BYTES = 170_000


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


class _Slow:
    """Lets a client read only when much waits for it, again and again."""

    def __init__(self, load, client):
        self._load, self._client = load, client
        self._stop()

    def _stop(self):
        self._said, self._up_to = self._load.said_bytes["room-1"], None
        if self._client.wire:
            self._client.wire.pause()

    def look(self):
        if self._up_to is None and self._load.said_bytes["room-1"] - self._said >= UNREAD_BYTES:
            observers = self._load.observers.values()
            self._up_to = max(o.places["room-1"].offset or 0 for o in observers)
            self.read_on()
        elif self._up_to is not None and (self._client.places["room-1"].offset or 0) >= self._up_to:
            self._stop()

    def read_on(self):
        if self._client.wire:
            self._client.wire.resume()


def _read_slowly(chaos, clients):
    """For as long as the others do not read at all."""
    slow = chaos.load.call(lambda: [_Slow(chaos.load, c) for c in clients])
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        chaos.load.call(lambda: [s.look() for s in slow])
        chaos.hold(0.02)
    chaos.load.call(lambda: [s.read_on() for s in slow])


def _absences(client):
    return len(client.back_s) + (client.lost_at is not None)


def _too_slow(chaos, crowd, slow_count, grow_mb):
    """Some stop reading while texts are long: they are closed. The others only fall behind, skip, are told so
    and go on. Memory must not grow by more than this."""
    slow, stopped = crowd[:slow_count], crowd[slow_count:]
    before, absences = _worst_rss(chaos), {c: _absences(c) for c in crowd}
    chaos.load.padding = 8000
    with chaos.fault("stop reading", stopped=len(stopped), slow=len(slow)):
        _stop_reading(chaos, stopped)
        _read_slowly(chaos, slow)
        grown = _worst_rss(chaos) - before
        chaos.measure("RSS grew by, MB", grown)
        chaos.expect(grown < grow_mb, f"the memory of a gateway stays bounded (grew by {grown:.0f} MB)")
        chaos.load.padding = 60
        _read_again(chaos, stopped)
    chaos.until(lambda: all(_absences(c) > absences[c] for c in stopped), 10, "who stops reading is closed")
    closed = sum(g.metrics().total("parley_connections_closed_total", reason="slow") for g in chaos.gateways)
    skipped = sum(g.metrics().total("parley_messages_dropped_total", reason="slow_consumer") for g in chaos.gateways)
    lost = sum(_absences(c) > absences[c] for c in slow)
    chaos.measure("closed as slow", closed)
    chaos.measure("messages that slow readers skipped", skipped)
    chaos.measure("fewest gaps of a slow reader", min(c.slow_gaps for c in slow))
    chaos.expect(closed >= len(stopped), f"who stops reading is closed as slow ({closed:g} of {len(stopped)} were)")
    chaos.expect(lost == 0, f"who reads slowly stays ({lost} did not)")
    chaos.expect(all(c.slow_gaps for c in slow), "whoever reads slowly was told of what was skipped")


@row("F22", "of six clients three stop reading for 12 s while much is said, and three fall behind again and again",
     settle_s=8, settings=SMALL_BACKLOG, bounds={"slow_readers": True})
def slow_consumers(chaos):
    _too_slow(chaos, _crowd(chaos, 6), 3, 24)
    chaos.hold(2)


# A third of them on each gateway; what they do not read is in one log of the room, kept once.
@row("F23", "of 1000 clients more in one room 950 stop reading for 12 s and 50 fall behind; then they go",
     settle_s=20, calm_s=15, settings=SMALL_BACKLOG, bounds={"slow_readers": True}, load={"chats_per_s": 80})
def many_slow_consumers(chaos):
    crowd = _crowd(chaos, 1000)
    _too_slow(chaos, crowd, 50, 64)
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
