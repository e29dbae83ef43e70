# SPDX-License-Identifier: MIT
"""SIGHUP: the settings are read again, and what can change does, under open connections."""

import os
import signal
import time

from party import fresh, party
from runner import test
from wait import until
from ws import Client, UpgradeRefused, pump_all

BASE = """
[client]
rate_messages = 0
[room]
presence_interval = 100ms
rejoin_grace = 300ms
"""
_OPTIONS = dict(haproxy=False, config=BASE, settings={"client.rate_messages": None})
CLUSTERS = {"redis": dict(gateways=2, **_OPTIONS),
            "memory": dict(gateways=1, redis=False, **_OPTIONS)}
WEIGHT = {"redis": 10, "memory": 10}


def _results(gateway):
    page = gateway.metrics()
    return [page[f'parley_config_reloads_total{{result="{result}"}}'] for result in ("ok", "failed")]


def _hup(gateway):
    """Returns how many reloads of each result this one was, and what it logged."""
    before, start = _results(gateway), gateway.log_size()
    gateway.signal(signal.SIGHUP)
    until(lambda: _results(gateway) != before, 5, "the reload is over")
    return [now - was for now, was in zip(_results(gateway), before)], gateway.log(start)


def _reload(cluster, text):
    """All gateways take the text as their file. Returns what the first one logged."""
    cluster.write_config(text)
    answers = [_hup(gateway) for gateway in cluster.gateways]
    assert all(results == [1, 0] for results, _ in answers), answers
    return answers[0][1]


def _texts(client, room, **more):
    reply = client.request("history", room=room, **more)["data"]
    return [m["data"]["text"] for m in reply["messages"]]


@test("redis", "memory")
def a_changed_rate_holds_for_connections_that_are_open(cluster):
    room = fresh("room")
    _reload(cluster, BASE)
    with party(cluster.ports(1), room, "alice") as (alice,):
        for _ in range(60):
            alice.ping()
        log = _reload(cluster, BASE.replace("rate_messages = 0", "rate_messages = 1/min burst 2"))
        assert "event=reload " in log and "changed=client.rate_messages" in log, log
        for _ in range(2):
            alice.ping()
        assert alice.error_of("ping")["code"] == "rate_limited"
        with Client(cluster.ports(1)[0]) as bob:
            for _ in range(2):
                bob.ping()
            assert bob.error_of("ping")["code"] == "rate_limited"
        _reload(cluster, BASE)
        for _ in range(10):
            alice.ping()


@test("redis", "memory")
def a_broken_file_changes_nothing(cluster):
    room = fresh("room")
    _reload(cluster, BASE)
    gateway = cluster.gateways[0]
    stamp = gateway.metrics()["parley_config_last_reload_success_timestamp_seconds"]
    with party(cluster.ports(1), room, "alice") as (alice,):
        for broken, line in (
                ("[client]\nrate_messages = 1/min burst 1\nmax_romms = 1\n",
                 'parley.conf:3:1: unknown key \\"max_romms\\" in [client]; did you mean '
                 '\\"max_rooms\\"?'),
                ("[client]\nrate_messages = 1/min burst 1\n[room \"a*b\"]\n", "parley.conf:3:1: "),
                ("[client]\nmax_message_bytes = 1k\nbacklog_soft = 2k\nbacklog_hard = 4k\n",
                 "without a restart: client.backlog_soft=2k must be at least")):
            cluster.write_config(broken)
            results, log = _hup(gateway)
            assert results == [0, 1] and "event=reload_failed" in log and line in log, log
            for _ in range(5):
                alice.ping()
        os.remove(cluster.config_path)
        results, log = _hup(gateway)
        assert results == [0, 1] and "cannot read the file" in log, log
        alice.ping()
    now = gateway.metrics()["parley_config_last_reload_success_timestamp_seconds"]
    assert now == stamp and abs(stamp - time.time()) < 60, (now, stamp)
    cluster.write_config(BASE)


@test("redis", "memory")
def what_needs_a_restart_is_named_and_waits_for_it(cluster):
    log = _reload(cluster, BASE + "[client]\nmax_rooms = 1\nheartbeat = 11s\n[server]\npath = /x\n")
    warning = [line for line in log.splitlines() if "event=reload" in line and "level=warn" in line]
    assert len(warning) == 1 and 'changed="server.path client.heartbeat"' in warning[0], log
    with Client(cluster.ports(1)[0]) as alice:
        welcome = alice.join(fresh("room"), "alice")
        assert welcome["heartbeat"] == 25, welcome
        assert alice.error_of("join", room=fresh("room"))["code"] == "too_many_rooms"
    _reload(cluster, BASE)


@test("redis", "memory")
def the_settings_of_the_door_change(cluster):
    port = cluster.ports(1)[0]
    _reload(cluster, BASE + "[client]\nallowed_origins = http://a.example\nallow_no_origin = no\n")

    def refused(origin):
        try:
            Client(port, origin=origin).close()
        except UpgradeRefused as error:
            assert error.response.status == 403, error.response
            return True
        return False

    assert not refused("http://a.example") and refused("http://b.example") and refused(None)
    _reload(cluster, BASE + "[client]\nallowed_origins = http://b.example\n")
    assert refused("http://a.example") and not refused("http://b.example") and not refused(None)
    _reload(cluster, BASE)


@test("redis", "memory")
def the_proxies_that_are_believed_change(cluster):
    gateway = cluster.gateways[0]

    def address_of(forwarded):
        start = gateway.log_size()
        with Client(gateway.port, headers={"X-Forwarded-For": forwarded}) as client:
            client.join(fresh("room"), "alice")
        line = until(lambda: [l for l in gateway.log(start).splitlines() if "conn_close" in l], 5)
        return line[0].partition(" ip=")[2].split()[0]

    _reload(cluster, BASE)
    assert address_of("203.0.113.1") == "127.0.0.1"
    _reload(cluster, BASE + "[server]\ntrusted_proxies = 127.0.0.0/8\n")
    assert address_of("203.0.113.1") == "203.0.113.1"
    _reload(cluster, BASE)
    assert address_of("203.0.113.1") == "127.0.0.1"


@test("memory")
def the_log_level_changes_and_the_log_says_so(cluster):
    gateway = cluster.gateways[0]
    for level in ("warn", "debug", "info"):
        assert "event=reload " in _reload(cluster, BASE + f"[log]\nlevel = {level}\n")
        start = gateway.log_size()
        with Client(gateway.port) as client:
            client.join(fresh("room"), "alice")
            client.ping()
        until(lambda: gateway.metrics()["parley_connections"] == 0, 5, "it is gone")
        seen = {word for word in ("conn_open", "conn_close") if word in gateway.log(start)}
        wanted = {"warn": set(), "info": {"conn_close"}, "debug": {"conn_open", "conn_close"}}
        assert seen == wanted[level], (level, gateway.log(start))


@test("redis", "memory")
def a_room_that_is_open_follows_its_new_policy(cluster):
    room = fresh("game:room")
    _reload(cluster, BASE)
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        assert alice.chat(room, "one")["offset"] == 1
        _reload(cluster, BASE + '[room "game:*"]\nhistory_size = 0\nmax_members = 2\n')
        assert alice.chat(room, "two")["offset"] == 2
        assert alice.error_of("history", room=room)["code"] == "history_disabled"
        with Client(cluster.ports(1)[0]) as carol:
            assert carol.error_of("join", room=room, user="carol")["code"] == "room_full"
        log = _reload(cluster, BASE + '[room "game:*"]\npublish = server\n')
        assert 'changed="room \\"game:*\\""' in log, log
        assert alice.error_of("chat", room=room, text="x")["code"] == "forbidden"
        _reload(cluster, BASE)
        assert alice.chat(room, "three")["offset"] == 3
        alice.expect("chat", text="three")  # a gateway's history ends where its members are
        assert _texts(alice, room, before=4)[-1:] == ["three"]
        assert "two" not in _texts(alice, room)
        for text in ("one", "two", "three"):
            bob.expect("chat", text=text)


@test("redis", "memory")
def presence_goes_and_comes_back_under_an_open_room(cluster):
    room = fresh("room")
    _reload(cluster, BASE)
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        pump_all([alice, bob], 0.3)
        assert len(alice.request("presence", room=room)["data"]["members"]) == 2
        _reload(cluster, BASE.replace("[room]", "[room]\npresence = count"))
        assert alice.request("presence", room=room)["data"] == {
            "room": room, "online": 2, "members": []}
        if cluster.redis:
            until(lambda: not cluster.redis.call("KEYS", f"*{room}*:members:*"), 5, "no names")
        _reload(cluster, BASE.replace("[room]", "[room]\npresence = off"))
        for client in (alice, bob):
            client.wait_online(room, 0)
        if cluster.redis:
            until(lambda: not cluster.redis.call("KEYS", f"*{room}*:online"), 5, "no registers")
        with Client(cluster.ports(1)[0]) as carol:
            assert carol.join(room, "carol")["online"] == 0
            _reload(cluster, BASE)
            for client in (alice, bob, carol):
                client.wait_online(room, 3)
                client.expect("presence", more=True)

            def names():
                members = alice.request("presence", room=room)["data"]["members"]
                return sorted(m["user"] for m in members) == ["alice", "bob", "carol"]
            until(names, 5, "everybody is listed again")


@test("redis")
def a_hundred_reloads_leave_nothing_behind(cluster):
    room = fresh("game:room")
    texts = [BASE + f'[room "game:*"]\nhistory_size = {n}\n[room "{n}*"]\n' for n in range(1, 3)]
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        files = [gateway.open_files() for gateway in cluster.gateways]
        for n in range(50):
            for text in texts:
                cluster.write_config(text)
                for gateway in cluster.gateways:
                    gateway.signal(signal.SIGHUP)
            alice.chat(room, f"{n}")
        for n in range(50):
            bob.expect("chat", text=f"{n}")
        _reload(cluster, BASE)
        until(lambda: all(gateway.open_files() <= count
                          for gateway, count in zip(cluster.gateways, files)), 5, "no file is open")
