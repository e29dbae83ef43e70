# SPDX-License-Identifier: MIT
"""A cable between the gateways and Redis that is cut silently, both ways or one: nobody waits for the
kernel's quarter of an hour, no answer is false, and after it heals all goes on."""

import contextlib
import json
import tempfile
import time

import http1
from cluster import Cluster
from namespaces import THERE, Elsewhere, is_root
from party import fresh, party
from redisserver import RedisServer
from runner import test
from wait import until
from ws import Client, pump_all

# command_timeout is 2 s: after that a link without an answer is down.
NOTICED_S = 3.5
BACK_S = 10


@contextlib.contextmanager
def _apart(build):
    """(cable, cluster) with Redis at the other end of the cable; None without root."""
    if not is_root():
        print("skipped: a network of its own wants root")
        yield None
        return
    with Elsewhere() as cable, tempfile.TemporaryDirectory(prefix="parley-test-") as folder:
        redis = RedisServer(folder, host=THERE, prefix=cable.popen_prefix)
        try:
            redis.start()
            with Cluster(build, gateways=2, redis=False, haproxy=False,
                         settings={"redis.url": redis.url}) as cluster:
                yield cable, cluster
        finally:
            redis.close()


def _checks(gateway):
    found = json.loads(http1.http(gateway.admin_port, "/readyz").body)["checks"]
    return found["redis_publish"], found["redis_subscribe"]


def _chat_until_acked(client, room, text):
    def acked():
        reply = client.request("chat", room=room, text=text, key=text)
        return reply["data"] if reply["type"] == "ack" else None
    return until(acked, BACK_S, "the chat is acked again", every_s=0.1)


@test(long=True)
def a_silent_partition_is_noticed_in_time_and_healed(build):
    with _apart(build) as both:
        if both is None:
            return
        cable, cluster = both
        room, first = fresh("room"), cluster.gateways[0]
        with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
            alice.chat(room, "before")
            bob.expect("chat", text="before")
            cable.lose_requests()
            cable.lose_replies()
            cut = time.monotonic()
            id_ = alice.ask("chat", room=room, text="during")
            reply = alice.reply_to(id_, NOTICED_S)
            assert reply["data"]["code"] in ("unavailable", "unknown_outcome"), reply
            for gateway in cluster.gateways:
                until(lambda g=gateway: _checks(g)[0].startswith("down: "), NOTICED_S, "the link is down")
            assert time.monotonic() - cut < NOTICED_S, "noticed in time"
            print(f"noticed after {time.monotonic() - cut:.1f} s")
            # What is sent on the other link is not acknowledged by its kernel either.
            with Client(cluster.ports(1)[0]) as carol:
                id_ = carol.ask("join", room=fresh("room"), user="carol")
                assert carol.reply_to(id_, NOTICED_S)["data"]["code"] == "unavailable"
                until(lambda: _checks(first)[1].startswith("down: "), NOTICED_S, "the other link is down")
            while time.monotonic() - cut < 12:
                pump_all([alice, bob], 0.2)
                asked = time.monotonic()
                alice.ping()
                assert time.monotonic() - asked < 0.5, "the gateway stood still"
            cable.heal()
            healed = time.monotonic()
            for gateway in cluster.gateways:
                gateway.wait_ready(BACK_S)
            _chat_until_acked(alice, room, "after")
            bob.expect("chat", text="after", timeout_s=BACK_S)
            print(f"back after {time.monotonic() - healed:.1f} s")
            pump_all([alice, bob], 2)
            for client in (alice, bob):
                assert client.online[room] == 2, client.online
                assert not [m for m in client.inbox if m["type"] == "presence" and m["data"].get("left")]


@test()
def when_only_replies_are_lost_nothing_is_acked_and_a_retry_finds_the_first(build):
    with _apart(build) as both:
        if both is None:
            return
        cable, cluster = both
        room = fresh("room")
        with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
            before = alice.chat(room, "before")
            cable.lose_replies()
            ids = [alice.ask("chat", room=room, text=f"text {n}", key=f"text {n}") for n in range(5)]
            codes = [alice.reply_to(id_, NOTICED_S)["data"]["code"] for id_ in ids]
            assert "unknown_outcome" in codes, codes
            assert set(codes) <= {"unavailable", "unknown_outcome"}, codes
            cable.heal()
            for gateway in cluster.gateways:
                gateway.wait_ready(BACK_S)
            for n in range(5):
                one, two = (_chat_until_acked(alice, room, f"text {n}") for _ in range(2))
                assert (one["epoch"], one["offset"]) == (two["epoch"], two["offset"]), (one, two)
                assert one["epoch"] == before["epoch"], (before, one)
            _chat_until_acked(alice, room, "last")
            bob.expect("chat", text="last", timeout_s=BACK_S)
            texts = [m["data"]["text"] for m in bob.take_all("chat")]
            assert sorted(t for t in texts if t.startswith("text")) == [f"text {n}" for n in range(5)], texts
