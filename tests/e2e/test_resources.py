# SPDX-License-Identifier: MIT
"""Too few descriptors, connections that end before they began: no spin, no flood, no crash, no leak."""

import socket
import time

import http1
from party import connections, fresh, party
from runner import test
from upgrade_table import upgrade
from wait import until
from ws import Client, UpgradeRefused

ALONE = dict(gateways=1, redis=False, haproxy=False)
CLUSTERS = {
    "few_files": dict(ALONE, wrapper=("prlimit", "--nofile=128:128")),
    "memory": ALONE,
    "redis": dict(gateways=1, haproxy=False),
}
WEIGHT = {"memory": 12}


@test("few_files")
def out_of_descriptors_a_gateway_neither_spins_nor_floods_its_log(cluster):
    gateway, room = cluster.gateways[0], fresh("room")
    with party(cluster.ports(1), room, "alice", "bob") as (alice, bob):
        waiting = []
        for _ in range(200):
            waiting.append(http1.connect(gateway.port))
        try:
            start, cpu, began = gateway.log_size(), gateway.cpu_seconds(), time.monotonic()
            while time.monotonic() - began < 1.5:
                alice.chat(room, "still here")
                bob.expect("chat")
                bob.idle(0.1)
            used = (gateway.cpu_seconds() - cpu) / (time.monotonic() - began)
            assert used < 0.1, f"{used:.0%} of a CPU while nothing can be accepted"
            lines = gateway.log(start).count("\n")
            assert lines <= 10, f"{lines} lines of log in 1.5 s"
        finally:
            for sock in waiting:
                sock.close()

        def served():
            try:
                with Client(gateway.port, timeout_s=1) as client:
                    client.ping()
                    return True
            except (OSError, UpgradeRefused, AssertionError):
                return False
        until(served, 5, "new clients are served again")
        alice.chat(room, "and the old ones")


@test("few_files")
def without_descriptors_for_more_it_says_so(cluster):
    gateway, kept, refused = cluster.gateways[0], [], None
    try:
        for _ in range(150):
            try:
                client = Client(gateway.port, timeout_s=2)
                client.join(fresh("room"), "alice")
                kept.append(client)
            except UpgradeRefused as error:
                refused = error.response
                break
            except AssertionError:
                break  # Not accepted for now: it waits in the backlog.
        assert len(kept) >= 10, len(kept)
        if refused is not None:
            assert refused.status == 503 and "retry-after" in refused.headers, refused
        kept[0].ping()
    finally:
        for client in kept:
            client.close()


def _reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


@test("memory", "redis")
def connections_that_end_before_they_are_established_harm_nobody(cluster):
    gateway, room, whole = cluster.gateways[0], fresh("room"), upgrade()
    with party(cluster.ports(1), room, "alice") as (alice,):
        files = gateway.open_files()
        for n in range(200):
            sock = http1.connect(gateway.port)
            cut = (0, 3, len(whole) // 2, len(whole) - 1, len(whole))[n % 5]
            sock.sendall(whole[:cut])
            if n % 2:
                _reset(sock)
            else:
                sock.close()
        alice.chat(room, "still here")
        until(lambda: gateway.open_files() <= files, 5, "every socket is closed")
        until(lambda: gateway.metrics().total("parley_connections") == 1, 5, "one connection counts")


@test("memory")
def http_requests_that_are_reset_harm_nobody(cluster):
    gateway = cluster.gateways[0]
    for n in range(100):
        sock = http1.connect(gateway.port)
        sock.sendall(http1.request_bytes("GET", ("/", "/ws", "/nothing", "/client/js/parley.js")[n % 4]))
        _reset(sock)
    assert http1.http(gateway.port, "/").status == 200


@test("memory", long=True)
def half_open_handshakes_are_closed_within_twelve_seconds(cluster):
    gateway = cluster.gateways[0]
    files = gateway.open_files()
    silent = [http1.connect(gateway.port) for _ in range(20)]
    for sock in silent[10:]:
        sock.sendall(upgrade()[:40])
    started = time.monotonic()
    try:
        cpu = gateway.cpu_seconds()
        for sock in silent:
            sock.settimeout(max(0.1, started + 12 - time.monotonic()))
            try:
                while sock.recv(4096):
                    pass
            except ConnectionResetError:
                pass
        assert gateway.cpu_seconds() - cpu < 1, "waiting costs CPU"
    finally:
        for sock in silent:
            sock.close()
    until(lambda: gateway.open_files() <= files, 3, "every socket is closed")


@test("redis")
def at_rest_a_gateway_uses_next_to_no_cpu(cluster):
    gateway = cluster.gateways[0]
    with party(cluster.ports(1), fresh("room"), "alice") as (alice,):
        alice.idle(0.3)
        cpu, started = gateway.cpu_seconds(), time.monotonic()
        alice.idle(2)
        used = (gateway.cpu_seconds() - cpu) / (time.monotonic() - started)
        assert used < 0.05, f"{used:.0%} of a CPU at rest"


@test("redis")
def every_key_of_an_empty_room_expires_and_no_channel_stays(cluster):
    redis = cluster.redis
    rooms, names = [fresh("room") for _ in range(5)], [fresh("user") for _ in range(10)]
    with connections(cluster.ports(1), len(names)) as clients:
        for client, name in zip(clients, names):
            for room in rooms:
                client.join(room, name)
            client.chat(rooms[0], "hello", key="k")
            assert client.request("direct", to=names[0], text="x", key="k")["type"] == "ack"
        for client in clients[:5]:
            for room in rooms:
                client.request("leave", room=room)
        for client in clients[5:]:
            client.drop()

    def lasting():
        return [key for key in redis.call("KEYS", "parley:*")
                if key != "parley:gateways" and redis.call("PTTL", key) == -1]
    until(lambda: not lasting(), 6, lambda: f"every key has a time to live; not so: {lasting()}")
    kept = redis.call("KEYS", "parley:*")
    assert any(key.endswith(":log") for key in kept) and any(":key:" in key for key in kept), kept
    for key in kept:
        assert redis.call("PTTL", key) <= 2 * 3600 * 1000, f"{key} lives for too long"
    until(lambda: not [c for c in redis.call("PUBSUB", "CHANNELS") if ":room:" in c or ":user:" in c],
          4, lambda: f"no room and no user is followed: {redis.call('PUBSUB', 'CHANNELS')}")


@test("memory")
def everything_is_given_back_when_the_clients_are_gone(cluster):
    gateway = cluster.gateways[0]

    def crowd():
        rooms = [fresh("room") for _ in range(10)]
        with connections(cluster.ports(1), 40) as clients:
            for n, client in enumerate(clients):
                for room in rooms:
                    client.send("join", room=room, user=f"user-{n}")
                client.send("chat", room=rooms[n % 10], text="x" * 1000)
            for client in clients:
                client.ping()
        until(lambda: gateway.metrics().total("parley_connections") == 0, 5, "no connection")
        until(lambda: gateway.metrics().total("parley_rooms") == 0, 5, "no room")
        assert gateway.metrics().total("parley_memberships") == 0
        assert gateway.metrics().total("parley_send_queue_bytes") == 0
    idle = gateway.open_files()
    crowd()
    until(lambda: gateway.open_files() <= idle, 6, "every socket is closed")
    files, memory = gateway.open_files(), gateway.rss_bytes()
    for _ in range(3):
        crowd()
    until(lambda: gateway.open_files() <= files, 6, "every socket is closed")
    # A sanitizer keeps freed memory for a while; the bound is against a leak of every crowd.
    assert gateway.rss_bytes() - memory < 48 * 2**20
