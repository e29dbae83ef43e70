# SPDX-License-Identifier: MIT
"""Gateways that die, stand still, or are told to stop: what the others and their clients see."""

import contextlib
import signal
import time

import http1
from party import fresh, party
from runner import test
from wait import Timeout, until
from ws import Client, UpgradeRefused, pump_all, until_all

CLUSTERS = {
    "main": dict(gateways=3, settings={"room.rejoin_grace": "500ms"}),
    # A grace that is longer than HAProxy's two checks, as it is by default.
    "graceful": dict(gateways=3, settings={"shutdown.grace": "3s"}),
}
WEIGHT = {"main": 25, "graceful": 12}


def _reconnect(port, room, user, timeout_s):
    """What a page does: tries until it is welcome again. Returns the client and the time taken."""
    started = time.monotonic()
    while True:
        try:
            client = Client(port, timeout_s=2)
            client.join(room, user)
            return client, time.monotonic() - started
        except (OSError, UpgradeRefused, Timeout):
            if time.monotonic() - started > timeout_s:
                raise
            time.sleep(0.05)


def _settle(cluster):
    """Waits until every gateway knows the others, and may judge them quickly: a gateway that just came is
    held for dead only when it stood still for `lease` (5 s), until it was seen to live for a second."""
    until(lambda: all(g.age_s > 2.5 and g.metrics().total("parley_cluster_gateways") == len(cluster.gateways)
                      for g in cluster.gateways), 15, "the gateways know each other", every_s=0.1)


def _told(client, list_name, user, since):
    """How often a digest in the inbox names the user, from a place in the inbox on."""
    return sum(m["data"].get(list_name, []).count(user)
               for m in client.inbox[since[client]:] if m["type"] == "presence")


def _gateway_of(cluster, welcome):
    """The index of the gateway that a welcome names."""
    return int(welcome["gateway"].split("-")[1]) - 1


@test("main")
def the_members_of_a_killed_gateway_are_seen_to_leave(cluster):
    _settle(cluster)
    room, victim = fresh("room"), cluster.gateways[0]
    with party(cluster.ports(3), room, "alice", "bob", "carol", "dave") as members:
        gone, watchers = [members[0], members[3]], members[1:3]
        pump_all(watchers, 0.4)
        killed = time.monotonic()
        victim.kill()
        until_all(watchers, lambda: all(c.online[room] == 2 for c in watchers), 5, "online is 2")
        took = time.monotonic() - killed
        assert took < 2, f"online was wrong for {took:.1f} s"
        for client in watchers:
            client.wait(lambda c=client: {"alice", "dave"} <= {
                name for m in c.inbox if m["type"] == "presence" for name in m["data"].get("left", [])},
                "both leaves are told")
            data = client.request("presence", room=room)["data"]
            assert {m["user"] for m in data["members"]} == {"bob", "carol"}, data
        for client in gone:
            client.expect_close()
        watchers[0].chat(room, "life goes on")
        watchers[1].expect("chat", text="life goes on")
    victim.restart()


@test("main")
def a_killed_gateway_leaves_nothing_in_redis(cluster):
    room, victim = fresh("room"), cluster.gateways[2]
    with party(cluster.ports(3), room, "alice", "bob", "carol") as (alice, _bob, _carol):
        victim.kill()
        alice.wait_online(room, 2)

        def traces():
            registers = cluster.redis.call("HKEYS", f"parley:room:{{{room}}}:online")
            return [k for k in registers + cluster.redis.call("HKEYS", "parley:gateways")
                    + cluster.redis.call("KEYS", "*") if "gw-3" in k]
        until(lambda: not traces(), 10, lambda: f"no trace of gw-3: {traces()}", every_s=0.1)
    victim.restart()


@test("main")
def clients_of_a_killed_gateway_come_back_through_haproxy(cluster):
    _settle(cluster)
    room = fresh("room")
    with contextlib.ExitStack() as stack:
        clients, victims = [], []
        for n in range(6):
            client = stack.enter_context(Client(cluster.haproxy.port))
            welcome = client.join(room, f"user-{n}")
            clients.append((client, _gateway_of(cluster, welcome)))
        clients[0][0].wait_online(room, 6)
        assert len({index for _, index in clients}) >= 2, "leastconn spreads them"
        index = clients[0][1]
        cluster.gateways[index].kill()
        for n, (client, at) in enumerate(clients):
            if at == index:
                client.expect_close()
                again, took = _reconnect(cluster.haproxy.port, room, f"user-{n}", 10)
                stack.callback(again.close)
                victims.append(again)
                assert took < 3, f"back only after {took:.1f} s"
        victims[0].chat(room, "I am back")
        survivor = next(client for client, at in clients if at != index)
        survivor.expect("chat", text="I am back")
        survivor.wait_online(room, 6, 5)
    cluster.gateways[index].restart()


@test("main", long=True)
def a_frozen_gateway_is_reaped_and_returns_without_double_members(cluster):
    room, victim = fresh("room"), cluster.gateways[0]
    with party(cluster.ports(3), room, "alice", "bob", "carol") as (alice, bob, carol):
        pump_all([bob, carol], 0.5)
        since = {c: len(c.inbox) for c in (bob, carol)}
        victim.freeze()
        until_all([bob, carol], lambda: bob.online[room] == carol.online[room] == 2, 9, "online is 2")
        bob.chat(room, "without alice")
        victim.thaw()
        # Its connections never broke: they count again, under the gateway's new id.
        until_all([bob, carol], lambda: bob.online[room] == carol.online[room] == 3, 6,
                  "online is 3 again")
        # Whoever was told that she left is told that she is back.
        for client in (bob, carol):
            client.wait(lambda c=client: 1 == _told(c, "left", "alice", since)
                        == _told(c, "joined", "alice", since), "alice is told to be gone, and back")
        alice.expect("chat", text="without alice", timeout_s=8)
        data = bob.request("presence", room=room)["data"]
        assert {m["user"]: m["connections"] for m in data["members"]} == {
            "alice": 1, "bob": 1, "carol": 1}, data
        alice.chat(room, "I am back")
        for client in (bob, carol):
            client.expect("chat", text="I am back")
        victim.wait_ready()


@test("main", long=True)
def a_gateway_that_stood_still_under_load_goes_on_under_a_new_id(cluster):
    # SIGSTOP for longer than the lease, while everybody speaks: reaped, it comes back as another.
    _settle(cluster)
    room, victim = fresh("room"), cluster.gateways[0]
    with party(cluster.ports(3), room, "alice", "bob", "carol", "dave") as members:
        mine, others = [members[0], members[3]], members[1:3]

        def speak(speakers, for_s, over=lambda: False):
            ends = time.monotonic() + for_s
            while time.monotonic() < ends and not over():
                for client in speakers:
                    client.send("chat", room=room, text="load")
                    client.take_all("chat")
                pump_all(speakers, 0.02)
        before = _ids(cluster, victim)
        speak(members, 0.5)
        victim.freeze()
        asked = [(c, c.ask("chat", room=room, text=f"from {c.user}, meanwhile")) for c in mine]
        speak(others, 7)
        assert [c.online[room] for c in others] == [2, 2], [c.online[room] for c in others]
        assert not _ids(cluster, victim), "the dead one's entry is gone"
        victim.thaw()
        back = time.monotonic()
        speak(members, 2, lambda: all(c.online[room] == 4 for c in members))
        took = time.monotonic() - back
        assert [c.online[room] for c in members] == [4] * 4, f"after {took:.1f} s"
        assert len(_ids(cluster, victim)) == 1 and not _ids(cluster, victim) & before
        for client in members:
            data = client.request("presence", room=room)["data"]
            assert {m["user"]: m["connections"] for m in data["members"]} == {
                "alice": 1, "bob": 1, "carol": 1, "dave": 1}, data
        # No connection broke; what they asked was answered, and an ack was no lie: the clients check
        # that no offset is left out.
        for client, id_ in asked:
            assert client.reply_to(id_)["type"] in ("ack", "error")
        last = members[3].chat(room, "last")
        for client in members:
            client.expect("chat", offset=last["offset"])
    victim.wait_ready()


def _ids(cluster, gateway):
    """The ids under which a gateway is registered now."""
    return {id_ for id_ in cluster.redis.call("HKEYS", "parley:gateways")
            if id_.startswith(gateway.name)}


@test("main")
def who_joins_while_the_gateway_drains_is_sent_elsewhere(cluster):
    # P22. In the grace it still serves; after `bye` a join is refused and nobody becomes a member.
    room, late, leaver = fresh("room"), fresh("late"), cluster.gateways[2]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(leaver.port)) for _ in range(12)]
        watcher = stack.enter_context(Client(cluster.gateways[0].port))
        watcher.join(late, "watcher")
        leaver.terminate()
        until(lambda: leaver.readyz() == 503, 2, "not ready")
        clients[0].join(room, "user-0")
        asked, refused = {}, []

        def ask_at_bye():
            for n, client in enumerate(clients):
                if client not in asked and client.take_all("bye"):
                    asked[client] = client.ask("join", room=late, user=f"user-{n}")
            return all(c.closed for c in clients)
        until_all(clients, ask_at_bye, 8, "everybody is sent away")
        for client, id_ in asked.items():
            client.expect_close(4000, "moved")
            for message in client.inbox:
                assert message["type"] != "welcome", message
                if message.get("id") == id_:
                    refused.append(message["data"])
        assert len(asked) == len(clients) and refused, "nobody was told"
        for error in refused:
            assert error["code"] == "unavailable" and error["retry_after"] > 0, error
        assert watcher.request("presence", room=late)["data"]["online"] == 1
        assert leaver.wait_exit(10) == 0
        again, _ = _reconnect(cluster.haproxy.port, late, "user-0", 5)
        stack.callback(again.close)
        watcher.wait_online(late, 2)
    leaver.restart()


@test("main")
def sigterm_says_bye_closes_with_4000_and_exits_with_0(cluster):
    room, leaver = fresh("room"), cluster.gateways[1]
    with party(cluster.ports(3), room, "alice", "bob", "carol", "dave", "eve") as members:
        going, staying = [members[1], members[4]], [members[0], members[2], members[3]]
        for member in members:
            member.chat(room, "before")
        pump_all(staying, 0.4)
        leaver.terminate()
        until(lambda: leaver.readyz() != 200, 2, "not ready")
        for client in going:
            bye = client.expect("bye", timeout_s=8)["data"]
            assert bye["reason"] and 0 <= bye["reconnect_in"] <= 60000, bye
            client.expect_close(4000, "moved", timeout_s=8)
        assert leaver.wait_exit(10) == 0
        until_all(staying, lambda: all(c.online[room] == 3 for c in staying), 3, "online is 3")
        for client in staying:
            client.wait(lambda c=client: {"bob", "eve"} <= {
                name for m in c.inbox if m["type"] == "presence" for name in m["data"].get("left", [])},
                "both leaves are told")
        traces = [k for k in cluster.redis.call("HKEYS", f"parley:room:{{{room}}}:online") if "gw-2" in k]
        assert not traces, traces
    leaver.restart()


@test("graceful", long=True)
def through_haproxy_nobody_notices_that_a_gateway_stops(cluster):
    room, leaver, count = fresh("room"), cluster.gateways[2], 0
    with Client(cluster.gateways[0].port) as watcher:
        watcher.join(room, "watcher")
        leaver.terminate()
        while leaver.running:
            # A page that opens at any moment of the stop is served at its first try.
            assert http1.http(cluster.haproxy.port, "/").status == 200
            with Client(cluster.haproxy.port) as client:
                client.join(room, f"user-{count}")
                client.chat(room, str(count))
            watcher.expect("chat", text=str(count))
            count += 1
        assert count > 20 and leaver.wait_exit() == 0, count
        assert http1.http(cluster.haproxy.port, "/").status == 200
    leaver.restart()


@test("main")
def a_draining_gateway_takes_no_new_connection(cluster):
    leaver, room = cluster.gateways[0], fresh("room")
    with Client(leaver.port) as member:
        member.join(room, "alice")
        leaver.terminate()
        answers = []

        def ended():
            try:
                Client(leaver.port, timeout_s=2).close()
                answers.append(101)
            except UpgradeRefused as refused:
                answers.append(refused.response.status if refused.response else None)
            except OSError:
                answers.append("refused")
            return not leaver.running
        until(ended, 10, "the gateway has stopped", every_s=0.1)
        assert leaver.exit_code == 0, leaver.exit_code
        assert all(a in (101, 503, None, "refused") for a in answers), answers
        assert 101 not in answers[answers.index(503):] if 503 in answers else True, answers
    leaver.restart()


@test("main")
def sigint_stops_at_once_with_0(cluster):
    leaver, room = cluster.gateways[1], fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        started = time.monotonic()
        leaver.signal(signal.SIGINT)
        bob.expect_close((1001, 4000))
        assert leaver.wait_exit(5) == 0 and time.monotonic() - started < 3
        alice.wait_online(room, 1, 3)
    leaver.restart()


@test("main", long=True)
def a_rolling_restart_loses_no_acked_message(cluster):
    room = fresh("room")
    with Client(cluster.haproxy.port) as reader:
        # The reader moves with its gateway; what it saw is put together from its connections.
        readers, acked = [reader], []
        reader.join(room, "reader")
        for gateway in cluster.gateways:
            gateway.terminate()
            gateway.wait_exit(15)
            gateway.start()
            gateway.wait_ready()
            client, took = _reconnect(cluster.haproxy.port, room, "writer", 5)
            with client:
                acked.append(client.chat(room, f"after {gateway.name}")["offset"])
            assert took < 3, took
            readers[-1].idle(0.05)
            if readers[-1].closed:
                readers.append(_reconnect(cluster.haproxy.port, room, "reader", 5)[0])
        assert acked == [1, 2, 3], "one epoch, consecutive offsets"
        for client in readers:
            client.close()
