# SPDX-License-Identifier: MIT
"""Readers that do not read: first a gap is told, then they are closed; nobody else notices."""

import contextlib
import time

from party import fresh
from runner import test
from wait import until
from ws import Client

ALONE = dict(gateways=1, redis=False, haproxy=False)
CLUSTERS = {
    "soft": dict(ALONE, settings={"client.backlog_soft": "32k", "client.backlog_hard": "64m",
                                  "client.send_buffer": "16k"}),
    "hard": dict(ALONE, settings={"client.backlog_soft": "64k", "client.backlog_hard": "128k",
                                  "client.send_buffer": "16k"}),
    "stuck": dict(ALONE, settings={"client.backlog_soft": "64k", "client.backlog_hard": "4m",
                                   "client.send_buffer": "16k", "client.stuck": "2s"}),
}
BIG = "x" * 8000


@contextlib.contextmanager
def _slow_and_others(cluster, room):
    with Client(cluster.port, rcvbuf=4096) as slow, Client(cluster.port) as writer, \
            Client(cluster.port) as reader:
        slow.join(room, "slow")
        writer.join(room, "writer")
        reader.join(room, "reader")
        writer.wait_online(room, 3)
        yield slow, writer, reader


@test("soft")
def past_the_soft_limit_a_reader_is_told_the_gap_and_goes_on_live(cluster):
    room = fresh("room")
    with _slow_and_others(cluster, room) as (slow, writer, reader):
        for n in range(200):
            writer.chat(room, f"{n} {BIG}")
            reader.expect("chat", offset=n + 1)
        reader.ping()
        assert not reader.take_all("gap"), "the others see everything"
        gap = slow.expect("gap")["data"]
        assert gap["why"] == "slow" and gap["room"] == room, gap
        last = writer.chat(room, "live again")
        slow.expect("chat", offset=last["offset"])
        slow.ping()


@test("soft")
def a_slow_reader_costs_no_memory(cluster):
    room, gateway = fresh("room"), cluster.gateways[0]
    with _slow_and_others(cluster, room) as (_slow, writer, reader):
        def caught_up():
            last = writer.chat(room, "end")["offset"]
            reader.idle(0.05)
            writer.take_all("chat")
            return [m for m in reader.take_all("chat") if m["offset"] == last]

        def burst(count):
            # The other reader does not read meanwhile either; what it misses is told, and it goes on.
            for _ in range(count):
                writer.send("chat", room=room, text=BIG)
            until(caught_up, 10, "the other reader is live again")
        burst(300)
        before = gateway.rss_bytes()
        burst(3000)  # 24 MB
        grown = gateway.rss_bytes() - before
        assert grown < 12 * 2**20, f"grown by {grown >> 10} KB"
        held = gateway.metrics().total("parley_send_queue_bytes")
        assert held < 2**20, f"{held} bytes are held for clients"


@test("hard")
def past_the_hard_limit_a_reader_is_closed_as_slow(cluster):
    room, gateway = fresh("room"), cluster.gateways[0]
    start = gateway.log_size()
    before = gateway.metrics().total("parley_connections_closed_total", code="4002")
    with _slow_and_others(cluster, room) as (slow, writer, reader):
        # Direct messages are not cut like a room's: they count against the hard limit.
        for _ in range(100):
            writer.send("direct", to="slow", text=BIG)
        writer.ping()
        until(lambda: gateway.metrics().total("parley_connections_closed_total", code="4002")
              == before + 1, 8, "the slow reader is closed")
        assert "slow" in gateway.log(start)
        slow.expect_close((4002, None))
        reader.wait_online(room, 2)
        writer.chat(room, "the others go on")
        reader.expect("chat", text="the others go on")


@test("stuck", long=True)
def a_reader_that_is_stuck_is_closed_as_slow(cluster):
    room, gateway = fresh("room"), cluster.gateways[0]
    with _slow_and_others(cluster, room) as (_slow, writer, reader):
        started = time.monotonic()
        for _ in range(20):
            writer.chat(room, BIG)
        until(lambda: gateway.metrics().total("parley_connections_closed_total", code="4002") == 1,
              8, "the stuck reader is closed")
        assert time.monotonic() - started > 1.5, "closed too early"
        reader.wait_online(room, 2)
        writer.ping()
