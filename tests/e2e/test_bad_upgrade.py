# SPDX-License-Identifier: MIT
"""Handshakes that are wrong, hostile or odd (upgrade_table.py): never a crash, never a hang of more
than 12 s, and never 101 where the table does not say so; and the gateway serves the next client."""

import select
import time

import frames
import http1
from party import fresh
from runner import test
from upgrade_table import CLOSED, EXCEPTIONS, ROWS, upgrade
from wait import until
from ws import Client

CLUSTERS = {"main": dict(gateways=1, redis=False)}
WEIGHT = {"main": 30}
LIMIT_S = 12
HANG = "neither an answer nor a close"


_cache = {}


def _answers(cluster):
    """Sends all rows, to a gateway and to HAProxy, at once and each on a connection of its own. Returns
    their answers by (port, name). Asked once: some rows wait for a time limit of ten seconds."""
    if not _cache:
        _cache.update(_ask_all((cluster.gateways[0].port, cluster.haproxy.port)))
    return _cache


def _ask_all(ports):
    waiting, received, answers = {}, {}, {}
    for port in ports:
        for name, row in ROWS.items():
            sock = http1.connect(port)
            waiting[sock], received[sock] = (port, name), b""
            try:
                sock.sendall(row[0])
            except OSError:
                pass  # Refused while we were still talking: the answer is there to be read.
    deadline = time.monotonic() + LIMIT_S
    while waiting and (left := deadline - time.monotonic()) > 0:
        for sock in select.select(list(waiting), [], [], left)[0]:
            try:
                data = sock.recv(65536)
            except OSError:
                data = b""
            received[sock] += data
            if not data or b"\r\n\r\n" in received[sock]:
                answers[waiting.pop(sock)] = _judge(received[sock])
                sock.close()
    for sock, asked in waiting.items():
        answers[asked] = HANG
        sock.close()
    return answers


def _judge(data):
    if not data:
        return CLOSED
    try:
        return http1.parse_head(data.partition(b"\r\n\r\n")[0])[0]
    except ValueError:
        return f"no HTTP: {data[:60]!r}"


def _assert_answers(answers, port, expected):
    wrong = [f"{name}: {answers[port, name]}, not {wanted}" for name, wanted in expected.items()
             if answers[port, name] != wanted]
    assert not wrong, "\n" + "\n".join(wrong)


def _assert_serves(port):
    with Client(port) as client:
        client.join(fresh("room"), "alice")


@test("main", long=True)
def a_gateway_answers_every_handshake_as_the_table_says(cluster):
    gateway = cluster.gateways[0]
    expected = {name: EXCEPTIONS.get(name, (row[1],))[0] for name, row in ROWS.items()}
    _assert_answers(_answers(cluster), gateway.port, expected)
    _assert_serves(gateway.port)
    until(lambda: gateway.metrics().total("parley_connections") == 0, 5, "every place is free again")


@test("main", long=True)
def through_haproxy_every_handshake_gets_the_answer_of_the_table(cluster):
    _assert_answers(_answers(cluster), cluster.haproxy.port, {name: row[2] for name, row in ROWS.items()})
    _assert_serves(cluster.haproxy.port)


@test("main")
def every_exception_is_denied_through_haproxy(cluster):
    for name in EXCEPTIONS:
        assert 400 <= ROWS[name][2] < 500, name


@test("main")
def a_426_says_what_to_do(cluster):
    for data in (ROWS["H1 plain GET /ws"][0], ROWS["H13 version 8"][0]):
        with http1.connect(cluster.gateways[0].port) as sock:
            sock.sendall(data)
            response = http1.read_response(sock)
            assert response.status == 426, response
            assert response.headers.get("upgrade", "").lower() == "websocket", response
            assert response.headers.get("sec-websocket-version") == "13", response


@test("main")
def no_extension_is_granted_without_compression(cluster):
    for offer in ("permessage-deflate", "permessage-deflate; client_max_window_bits, x"):
        with Client(cluster.port, headers={"Sec-WebSocket-Extensions": offer}) as client:
            assert "sec-websocket-extensions" not in client.response.headers
            client.ping()


@test("main")
def a_frame_in_the_packet_of_the_handshake_is_answered(cluster):
    for port in (cluster.gateways[0].port, cluster.haproxy.port):
        with http1.connect(port) as sock:
            sock.sendall(upgrade() + frames.frame(frames.TEXT, '{"type":"ping","id":1}'))
            data, deadline = b"", time.monotonic() + 5
            while b"pong" not in data and time.monotonic() < deadline:
                if select.select([sock], [], [], 1)[0]:
                    data += sock.recv(4096)
            assert data.startswith(b"HTTP/1.1 101") and b'"pong"' in data, data


@test("main")
def a_second_handshake_in_the_same_packet_is_frame_data(cluster):
    with http1.connect(cluster.gateways[0].port) as sock:
        sock.sendall(upgrade() + upgrade())
        sock.settimeout(5)
        data = b""
        while more := sock.recv(4096):
            data += more
        assert data.count(b" 101 ") == 1, data
        assert b"\x88" in data, data  # 'G' has a reserved bit set: closed with 1002.


@test("main", long=True)
def a_byte_at_a_time_does_not_keep_a_place(cluster):
    open_ = [http1.connect(p) for p in (cluster.gateways[0].port, cluster.haproxy.port)]
    started = time.monotonic()
    for byte in upgrade():
        for sock in list(open_):
            try:
                sock.send(bytes([byte]))
                ended = bool(select.select([sock], [], [], 0)[0])  # An answer (408), or the end.
            except OSError:
                ended = True
            if ended:
                open_.remove(sock)
                sock.close()
        if not open_:
            return
        assert time.monotonic() - started < LIMIT_S, f"{len(open_)} still open after {LIMIT_S} s"
        select.select(open_, [], [], 0.5)
    raise AssertionError("the handshake was taken although it came in a byte at a time")


@test("main")
def a_forwarded_address_is_not_believed_without_a_trusted_proxy(cluster):
    gateway = cluster.gateways[0]
    start = gateway.log_size()
    with Client(gateway.port, headers={"X-Forwarded-For": "203.0.113.77"}) as client:
        client.join(fresh("room"), "alice")
        client.request("chat", text="x")
    until(lambda: "event=conn_close" in gateway.log(start), 5, "the access line is written")
    assert "203.0.113.77" not in gateway.log(start), gateway.log(start)
