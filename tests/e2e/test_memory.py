# SPDX-License-Identifier: MIT
"""server.memory_max: who costs too much gives up something, newcomers wait, nobody else notices."""

import contextlib
import json
import signal
import time

import frames
import http1
from cluster import is_sanitized
from party import fresh
from runner import test
from wait import until
from ws import Client, UpgradeRefused

BASE = """
[server]
memory_max = {most}
[client]
backlog_soft = 256m
backlog_hard = 1g
send_buffer = 16k
[room]
history_size = {history}
"""
ALONE = dict(gateways=1, redis=False, haproxy=False, config=BASE.format(most=0, history=0))
CLUSTERS = {"main": ALONE}
BIG = "x" * 15000
MIB = 1 << 20


def _limit(cluster, most, history=0):
    """In MiB; it holds at the gateway's next look."""
    gateway, start = cluster.gateways[0], cluster.gateways[0].log_size()
    cluster.write_config(BASE.format(most=f"{most}m" if most else 0, history=history))
    gateway.signal(signal.SIGHUP)
    until(lambda: "event=reload " in gateway.log(start), 5, "the reload is over")


def _resident(gateway):
    return gateway.rss_bytes() // MIB


def _closed_as_slow(gateway):
    return gateway.metrics().total("parley_connections_closed_total", reason="slow")


def _talk(writer, reader, room, count, text=BIG):
    """Everything is received in order. count: a multiple of 20."""
    for number in range(count):
        writer.send("chat", room=room, text=f"{number} {text}")
        if number % 20 == 19:
            writer.ping()
            writer.take_all("chat")
            offsets = [reader.expect("chat")["offset"] for _ in range(20)]
            assert offsets == list(range(offsets[0], offsets[0] + 20)), offsets
    assert not reader.take_all("gap"), "who reads misses nothing"


def _read_up_to(client, last):
    """Each message is heard once, or told of in a gap. Returns how many of each."""
    covered = heard = told = 0
    deadline = time.monotonic() + 20
    while covered < last:
        assert time.monotonic() < deadline, f"{covered} of {last}"
        client.idle(0.05)
        for message in client.inbox:
            if message["type"] == "gap":
                data = message["data"]
                assert data["why"] == "slow" and data["from"] == covered + 1, (covered, data)
                told += data["to"] - covered
                covered = data["to"]
            elif message["type"] == "chat":
                assert message["offset"] == covered + 1, (covered, message["offset"])
                heard += 1
                covered += 1
        client.inbox.clear()
    return heard, told


@test("main", fresh=True)
def backlogs_of_slow_readers_are_cut_before_memory_runs_out(cluster):
    room, gateway = fresh("room"), cluster.gateways[0]
    if is_sanitized(gateway.argv[0]):
        return  # what was cut would stay resident, and the slow reader be closed in the end
    with Client(cluster.port, rcvbuf=1 << 19) as slow, Client(cluster.port) as writer, \
            Client(cluster.port) as reader:
        for client, user in ((slow, "slow"), (writer, "writer"), (reader, "reader")):
            client.join(room, user)
        _talk(writer, reader, room, 200)
        reader.idle(1.2)  # by then the slow one has taken nothing for a second
        before, start = _resident(gateway), gateway.log_size()
        most = before + 24
        _limit(cluster, most)
        worst = 0
        for _ in range(20):  # 72 MB, about 7 MB between two looks
            _talk(writer, reader, room, 240)
            worst = max(worst, _resident(gateway))
        # Without the cuts it would be 48 above. Between two looks as much comes as the machine manages.
        assert worst < most + 40, f"{worst} MiB of {most}"
        until(lambda: gateway.metrics().total("parley_memory_over") == 0, 15,
              lambda: f"it is below the limit: {gateway.log(start)}")
        page = gateway.metrics()
        assert page.total("parley_memory_given_up_bytes_total") > 20 * MIB
        # It was not closed: it reads on, is told what it missed, which may be all of the rest, and
        # hears the next one.
        heard, told = _read_up_to(slow, writer.chat(room, "the end")["offset"])
        assert told > 0, heard
        last = writer.chat(room, "live again")["offset"]
        slow.expect("chat", offset=last)
        assert page.total("parley_connections_closed_total", reason="slow") == 0
    _limit(cluster, 0)


@test("main", fresh=True)
def who_asks_for_much_and_reads_nothing_is_closed(cluster):
    room, gateway = fresh("room"), cluster.gateways[0]
    _limit(cluster, 0, history=100)
    with Client(cluster.port, rcvbuf=4096) as glutton, Client(cluster.port) as writer, \
            Client(cluster.port) as reader:
        for client, user in ((glutton, "glutton"), (writer, "writer"), (reader, "reader")):
            client.join(room, user)
        _talk(writer, reader, room, 100)
        glutton.ping()
        glutton.take_all("chat")
        most = _resident(gateway) + 24
        _limit(cluster, most, history=100)
        worst, slow, asked = 0, _closed_as_slow(gateway), 0.0
        request = json.dumps({"type": "history", "data": {"room": room, "limit": 100}})

        def closed():
            nonlocal worst, asked
            if time.monotonic() - asked > 0.1:  # 12 MB of answers a second, on any machine
                asked = time.monotonic()
                with contextlib.suppress(OSError):
                    for _ in range(20):  # send() would read what comes
                        glutton.sock.sendall(frames.frame(frames.TEXT, request))
            worst = max(worst, _resident(gateway))
            return _closed_as_slow(gateway) > slow
        until(closed, 20, "it is closed as slow")
        assert worst < most + 64, f"{worst} MiB of {most}"
        _talk(writer, reader, room, 40)
        until(lambda: gateway.metrics().total("parley_memory_over") == 0, 15, "it is below the limit")
        Client(cluster.port).close()
    _limit(cluster, 0)


@test("main", fresh=True)
def a_gateway_above_its_limit_refuses_newcomers_and_serves_who_is_there(cluster):
    room, gateway = fresh("room"), cluster.gateways[0]
    _limit(cluster, 0, history=5000)
    with Client(cluster.port) as writer, Client(cluster.port) as reader:
        writer.join(room, "writer")
        reader.join(room, "reader")
        _talk(writer, reader, room, 1600)  # 24 MB, which the room keeps
        start = gateway.log_size()
        _limit(cluster, 16, history=5000)
        until(lambda: gateway.metrics().total("parley_memory_over") == 1, 3, "it is above the limit")
        try:
            Client(cluster.port).close()
            raise AssertionError("a newcomer came in")
        except UpgradeRefused as error:
            assert error.response.status == 503 and b'"no_memory"' in error.response.body, error.response
            assert int(error.response.headers["retry-after"]) >= 1, error.response
        assert http1.http(cluster.port, "/ws").status == 503, "a page can ask why"
        assert gateway.metrics().total("parley_handshakes_rejected_total", reason="memory") == 2
        assert writer.error_of("join", room=fresh("room"), user="writer")["code"] == "unavailable"
        _talk(writer, reader, room, 40)
        _limit(cluster, 4000, history=5000)
        until(lambda: gateway.metrics().total("parley_memory_over") == 0, 3, "it is below the limit")
        Client(cluster.port).close()
        writer.join(fresh("room"), "writer")
        told = [line for line in gateway.log(start).splitlines() if "event=memory" in line]
        assert len(told) == 2 and "state=over" in told[0] and "state=ok" in told[1], told
    _limit(cluster, 0)
