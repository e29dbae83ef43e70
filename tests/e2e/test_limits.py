# SPDX-License-Identifier: MIT
"""Limits of rooms, rates and connections, each with its answer."""

import contextlib
import time

import frames
import http1
from party import connections, fresh, party
from runner import test
from wait import until
from ws import Client, UpgradeRefused, upgrade_headers

ALONE = dict(gateways=1, redis=False, haproxy=False)
CLUSTERS = {
    "narrow": dict(ALONE, settings={"client.max_rooms": "3", "room.max_members": "2"}),
    "narrow_redis": dict(gateways=2, haproxy=False, settings={
        "client.max_rooms": "3", "room.max_members": "2"}),
    "rated": dict(ALONE, settings={
        "client.rate_messages": "5/s burst 10", "client.rate_refused": "10/min burst 10",
        "client.rate_joins": "2/s burst 3", "client.rate_errors": "5/min burst 5"}),
    "full": dict(ALONE, settings={"client.max_connections": "5"}),
    "herded": dict(ALONE, settings={"client.connect_rate": "30/min burst 5"}),
    "crowded": dict(ALONE, settings={"client.max_per_ip": "3", "server.trusted_proxies": "127.0.0.0/8"}),
}


@test("narrow", "narrow_redis")
def a_connection_joins_no_more_rooms_than_allowed(cluster):
    rooms = [fresh("room") for _ in range(4)]
    with Client(cluster.gateways[0].port) as alice:
        for room in rooms[:3]:
            alice.join(room, "alice")
        assert alice.error_of("join", room=rooms[3], user="alice")["code"] == "too_many_rooms"
        alice.join(rooms[0], "alice")  # Where it is a member already it may join again.
        alice.request("leave", room=rooms[0])
        alice.join(rooms[3], "alice")


@test("narrow", "narrow_redis")
def a_full_room_takes_nobody_until_one_leaves(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob), \
            Client(cluster.gateways[0].port) as carol:
        error = carol.error_of("join", room=room, user="carol")
        assert error["code"] == "room_full", error
        alice.request("leave", room=room)
        bob.wait_online(room, 1)
        until(lambda: carol.request("join", room=room, user="carol")["type"] == "welcome", 3,
              "carol can join")


@test("narrow")
def requests_sent_at_once_respect_the_limit_too(cluster):
    with Client(cluster.gateways[0].port) as alice:
        ids = [alice.ask("join", room=fresh("room"), user="alice") for _ in range(6)]
        replies = [alice.reply_to(i) for i in ids]
        assert [r["type"] for r in replies].count("welcome") == 3, replies
        assert all(r["data"]["code"] == "too_many_rooms" for r in replies if r["type"] == "error")


@test("rated")
def too_many_messages_are_refused_with_the_time_to_wait(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "alice") as (alice,):
        replies = [alice.reply_to(i) for i in
                   [alice.ask("chat", room=room, text=str(n)) for n in range(14)]]
        refused = [r["data"] for r in replies if r["type"] == "error"]
        acked = [r["data"] for r in replies if r["type"] == "ack"]
        assert len(acked) >= 9 and refused, replies
        for error in refused:
            assert error["code"] == "rate_limited", error
            assert 0 < error["retry_after"] <= 5000, error
        # What was refused was not published; what was acked was, in order.
        alice.expect("chat", offset=acked[-1]["offset"])
        assert [a["offset"] for a in acked] == list(range(1, len(acked) + 1))
        until(lambda: alice.request("chat", room=room, text="later")["type"] == "ack", 5,
              "after the wait it works again", every_s=0.3)


@test("rated")
def too_many_joins_are_refused(cluster):
    with Client(cluster.port) as alice:
        replies = [alice.reply_to(i) for i in
                   [alice.ask("join", room=fresh("room"), user="alice") for _ in range(6)]]
        codes = [r["data"].get("code") for r in replies]
        assert codes[0] is None and codes[-1] == "rate_limited", codes
        assert replies[-1]["data"]["retry_after"] > 0


@test("rated")
def who_goes_on_beyond_the_limit_is_closed_with_4429(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "alice") as (alice,):
        for n in range(100):
            alice.send("chat", room=room, text=str(n))
        alice.expect_close(4429, "flood")
        assert alice.take_all("error", code="rate_limited"), "it was warned first"


@test("rated")
def ten_thousand_messages_at_once_hurt_only_their_sender(cluster):
    room = fresh("room")
    with party(cluster.ports(1), room, "alice", "bob") as (alice, bob):
        flood = b"".join(frames.frame(frames.TEXT, '{"type":"ping"}') for _ in range(10000))
        alice.timeout_s = 10
        started = time.monotonic()
        alice.send_bytes(flood)
        bob.ping()
        assert time.monotonic() - started < 5, "bob waited for alice's flood"
        alice.expect_close(4429, "flood")
        bob.chat(room, "still here")


@test("rated")
def too_many_malformed_messages_are_closed_with_4500(cluster):
    with Client(cluster.port) as alice:
        for _ in range(20):
            alice.send_text("nonsense")
        alice.expect_close(4500, "protocol")
        assert alice.take_all("error", code="bad_json"), "it was warned first"


@test("full")
def beyond_max_connections_the_answer_is_503_with_retry_after(cluster):
    with connections(cluster.ports(1), 5) as crowd:
        for client in crowd:
            client.join(fresh("room"), "alice")
        try:
            with Client(cluster.port) as one_more:
                one_more.expect_close(1013, "full")
                raise AssertionError("a status was possible")
        except UpgradeRefused as refused:
            response = refused.response
            assert response.status == 503, response
            assert int(response.headers["retry-after"]) >= 1, response
        # A page sees no status of a refused socket: a plain request tells it.
        plain = http1.http(cluster.port, "/ws")
        assert plain.status == 503 and int(plain.headers["retry-after"]) >= 1, plain
        # Plain HTTP is still served, and a place that becomes free is given away.
        assert http1.http(cluster.port, "/nowhere").status == 404
        crowd[0].drop()

        def room_again():
            try:
                with Client(cluster.port) as client:
                    client.join(fresh("room"), "alice")
                    return True
            except UpgradeRefused:
                return False
        until(room_again, 3, "the free place can be taken")


@test("full")
def refused_connections_take_no_place(cluster):
    for _ in range(20):
        with http1.connect(cluster.port) as sock:
            sock.sendall(http1.request_bytes("GET", "/nowhere", upgrade_headers()))
            response = http1.read_response(sock)
            assert response.status == 404, response
    with connections(cluster.ports(1), 5) as crowd:
        for client in crowd:
            client.join(fresh("room"), "alice")


def _refusals(cluster, reason):
    return cluster.gateways[0].metrics().total("parley_handshakes_rejected_total", reason=reason)


@test("herded", fresh=True)
def beyond_the_connect_rate_newcomers_are_told_when_to_come_and_nobody_else_notices(cluster):
    gateway, room, refused, waits = cluster.gateways[0], fresh("room"), 0, set()
    start = gateway.log_size()
    with connections(cluster.ports(1), 5) as crowd:
        for client, user in zip(crowd, "abcde"):
            client.join(room, user)
        before = time.monotonic()
        for _ in range(40):
            asked = time.monotonic()
            try:
                Client(cluster.port).close()
            except UpgradeRefused as error:
                assert error.response.status == 503, error.response
                assert b'"too_fast"' in error.response.body, error.response
                waits.add(int(error.response.headers["retry-after"]))
                refused += 1
            assert time.monotonic() - asked < 2, "an answer comes at once"
        accepted = 40 - refused
        assert accepted <= (time.monotonic() - before) / 2 + 1, f"{accepted} came in"
        # 40 that come back, one every two seconds: they are spread over that time.
        assert min(waits) >= 1 and 20 < max(waits) <= 60 and len(waits) > 8, sorted(waits)
        assert _refusals(cluster, "connect_rate") == refused
        lines = [line for line in gateway.log(start).splitlines() if "event=conn_reject" in line]
        assert len(lines) == refused and all("code=too_fast" in line for line in lines), lines[:3]
        # A page sees no status of a refused socket: a plain request tells it, and takes no place.
        plain = http1.http(cluster.port, "/ws")
        assert plain.status == 503 and int(plain.headers["retry-after"]) >= 1, plain
        offset = crowd[0].chat(room, "still here")["offset"]
        crowd[4].expect("chat", offset=offset)

        def comes_in():
            try:
                Client(cluster.port).close()
                return True
            except UpgradeRefused:
                return False
        until(comes_in, 5, "the next one comes in", every_s=0.2)


def _from(cluster, address):
    return Client(cluster.port, headers={"X-Forwarded-For": address})


@test("crowded")
def one_address_has_no_more_connections_than_allowed(cluster):
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(_from(cluster, "203.0.113.7")) for _ in range(3)]
        try:
            _from(cluster, "203.0.113.7").close()
            raise AssertionError("a fourth one came in")
        except UpgradeRefused as error:
            assert error.response.status == 503 and b'"too_many"' in error.response.body, error.response
            assert int(error.response.headers["retry-after"]) >= 1, error.response
        assert _refusals(cluster, "address") >= 1
        # Others come in, and what closes makes room. Of IPv6 a whole /64 counts as one.
        stack.enter_context(_from(cluster, "203.0.113.8"))
        for host in range(3):
            stack.enter_context(_from(cluster, f"2001:db8::{host}"))
        stack.enter_context(_from(cluster, "2001:db8:0:1::1"))
        try:
            _from(cluster, "2001:db8::ffff").close()
            raise AssertionError("a fourth one of the network came in")
        except UpgradeRefused:
            pass
        crowd[0].drop()

        def comes_in():
            try:
                stack.enter_context(_from(cluster, "203.0.113.7"))
                return True
            except UpgradeRefused:
                return False
        until(comes_in, 3, "the free place can be taken")
