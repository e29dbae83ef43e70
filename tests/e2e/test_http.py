# SPDX-License-Identifier: MIT
"""Plain HTTP: the page and the library, refusals, origins, and the admin listener."""

import json
import re

import http1
from party import fresh, party
from runner import test
from wait import until
from ws import Client, UpgradeRefused

CLUSTERS = {
    "redis": dict(gateways=2, haproxy=False),
    "memory": dict(gateways=1, redis=False, haproxy=False),
    "origins": dict(gateways=1, redis=False, haproxy=False, settings={
        "client.allowed_origins": "https://chat.example https://other.example:8443"}),
    "browsers_only": dict(gateways=1, redis=False, haproxy=False,
                          settings={"client.allow_no_origin": "no"}),
    "no_files": dict(gateways=1, redis=False, haproxy=False, settings={"server.static_dir": ""}),
}


def _json_error(response):
    assert response.headers.get("content-type", "").startswith("application/json"), response
    error = json.loads(response.body)["error"]
    assert error["code"] and error["message"], error
    return error["code"]


@test("memory")
def the_page_has_a_policy_and_an_etag(cluster):
    page = http1.http(cluster.port, "/")
    assert page.status == 200 and b"<html" in page.body.lower(), page
    assert page.headers["content-type"].startswith("text/html"), page
    assert "default-src 'self'" in page.headers["content-security-policy"], page
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"], page
    assert page.headers.get("x-content-type-options") == "nosniff", page
    assert int(page.headers["content-length"]) == len(page.body)
    again = http1.http(cluster.port, "/", headers={"If-None-Match": page.headers["etag"]})
    assert again.status == 304 and not again.body, again
    assert again.headers.get("etag") == page.headers["etag"], again
    other = http1.http(cluster.port, "/", headers={"If-None-Match": '"other"'})
    assert other.status == 200 and other.body == page.body


@test("memory")
def the_library_comes_with_its_type(cluster):
    library = http1.http(cluster.port, "/client/js/parley.js")
    assert library.status == 200 and b"export" in library.body, library
    assert library.headers["content-type"].split(";")[0] in (
        "text/javascript", "application/javascript"), library
    assert library.headers["etag"]


@test("memory")
def everything_that_the_page_names_is_there(cluster):
    page = http1.http(cluster.port, "/").body.decode()
    named = re.findall(r'(?:src|href)="(/[^"#?]*)"', page)
    assert named, "the page names nothing?"
    for path in named:
        assert http1.http(cluster.port, path).status == 200, path


@test("memory")
def what_is_not_there_is_404_with_a_reason(cluster):
    for path in ("/nothing", "/client/nothing.js", "/client/", "/client/js", "/index.html", "/api/v1/rooms",
                 "/metrics", "/healthz", "/readyz", "/favicon.ico.bak"):
        response = http1.http(cluster.port, path)
        assert response.status == 404, (path, response)
        _json_error(response)


@test("memory")
def no_path_leads_out_of_the_folder(cluster):
    for path in ("/client/../CMakeLists.txt", "/client/../../etc/passwd", "/client/%2e%2e/CMakeLists.txt",
                 "/client/..%2fCMakeLists.txt", "/client/js/../../CMakeLists.txt", "/../etc/passwd",
                 "/client//etc/passwd", "/client/%2fetc/passwd", "/client/.%00./x", "//etc/passwd",
                 "/client/js/parley.js%00.html", "/client/\\..\\CMakeLists.txt"):
        with http1.connect(cluster.port) as sock:
            sock.sendall(http1.request_bytes("GET", path))
            response = http1.read_response(sock)
        if response is not None:
            assert response.status in (400, 403, 404), (path, response)
            assert b"root:" not in response.body and b"cmake" not in response.body.lower(), path


@test("memory")
def head_is_get_without_a_body(cluster):
    for path, status in (("/", 200), ("/nothing", 404)):
        head = http1.http(cluster.port, path, method="HEAD")
        assert head.status == status and not head.body, head
    page = http1.http(cluster.port, "/")
    assert head.headers and http1.http(cluster.port, "/", method="HEAD").headers.get(
        "content-length") in (page.headers["content-length"], None)


@test("memory")
def other_methods_are_refused(cluster):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        with http1.connect(cluster.port) as sock:
            sock.sendall(http1.request_bytes(method, "/", {"Content-Length": "0"}))
            response = http1.read_response(sock)
        assert response is None or response.status in (404, 405), (method, response)


@test("memory")
def a_connection_is_kept_for_several_requests(cluster):
    with http1.connect(cluster.port) as sock:
        for path, status in (("/", 200), ("/nothing", 404), ("/ws", 426), ("/", 200)):
            sock.sendall(http1.request_bytes("GET", path))
            response = http1.read_response(sock)
            if response is None or response.closed:
                return  # Closing after an answer is allowed, too.
            assert response.status == status, (path, response)


@test("memory")
def a_plain_get_of_the_endpoint_is_426(cluster):
    response = http1.http(cluster.port, "/ws")
    assert response.status == 426 and response.headers["upgrade"].lower() == "websocket", response
    _json_error(response)


@test("memory")
def an_upgrade_elsewhere_is_404(cluster):
    for path in ("/", "/other", "/ws/", "/client/js/parley.js"):
        try:
            Client(cluster.port, path=path).close()
        except UpgradeRefused as refused:
            assert refused.response.status == 404, refused.response
            _json_error(refused.response)
        else:
            raise AssertionError(f"{path} was upgraded")


def _origin_status(port, origin, host="localhost"):
    """The status of an upgrade with this Origin; a refusal must say why."""
    try:
        with Client(port, origin=origin, host=host):
            return 101
    except UpgradeRefused as refused:
        assert _json_error(refused.response) == "origin_not_allowed"
        return refused.response.status


@test("memory")
def by_default_the_origin_must_be_the_same_host(cluster):
    port = cluster.port
    host = f"chat.example:{port}"
    assert _origin_status(port, None, host) == 101, "no Origin: not a browser"
    for origin in (f"http://{host}", f"http://CHAT.example:{port}"):
        assert _origin_status(port, origin, host) == 101, origin
    for origin in ("null", "http://evil.example", f"http://chat.example.evil:{port}",
                   f"http://{host}.evil", f"http://evil.{host}", f"http://{host}/", "file://",
                   f"http://{host}@evil.example", f"{host}", f"http://chat.example:{port + 1}"):
        assert _origin_status(port, origin, host) == 403, origin


@test("origins")
def with_a_list_only_its_origins_are_allowed(cluster):
    port = cluster.port
    for origin in ("https://chat.example", "https://other.example:8443"):
        assert _origin_status(port, origin) == 101, origin
    for origin in ("http://chat.example", "https://chat.example:81", "https://chat.example.evil",
                   "https://chat.example/", "https://other.example", "null", f"http://localhost:{port}",
                   "https://xchat.example", "https://chat.example https://other.example:8443"):
        assert _origin_status(port, origin) == 403, origin


@test("browsers_only")
def no_origin_can_be_refused(cluster):
    assert _origin_status(cluster.port, None) == 403
    assert _origin_status(cluster.port, f"http://localhost:{cluster.port}",
                          f"localhost:{cluster.port}") == 101


@test("no_files")
def without_a_folder_there_is_no_page_and_all_else_works(cluster):
    assert http1.http(cluster.port, "/").status == 404
    with Client(cluster.port) as client:
        client.join(fresh("room"), "alice")


@test("redis", "memory")
def the_admin_listener_tells_health_and_readiness(cluster):
    for gateway in cluster.gateways:
        health = http1.http(gateway.admin_port, "/healthz")
        assert health.status == 200 and json.loads(health.body) == {"status": "ok"}, health
        ready = http1.http(gateway.admin_port, "/readyz")
        body = json.loads(ready.body)
        assert ready.status == 200 and body["status"] == "ready", ready
        assert body["gateway"].startswith(gateway.name) and body["checks"]["listen"] == "ok", body
        assert http1.http(gateway.admin_port, "/nothing").status == 404
        assert http1.http(gateway.admin_port, "/ws").status == 404


@test("redis", "memory")
def the_metrics_page_is_what_prometheus_reads(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        before = [g.metrics() for g in cluster.gateways]
        alice.chat(room, "counted")
        for client in (alice, bob):
            client.expect("chat")
        after = [g.metrics() for g in cluster.gateways]

        def grown(name, **labels):
            return sum(a.total(name, **labels) - b.total(name, **labels)
                       for a, b in zip(after, before))
        assert grown("parley_messages_received_total", type="chat") == 1
        assert grown("parley_published_total") == 1
        assert grown("parley_deliveries_total") >= 2
        assert sum(m.total("parley_connections") for m in after) == 2
        assert sum(m.total("parley_memberships") for m in after) == 2
        assert all(m.total("parley_build_info") == 1 for m in after)
    page = http1.http(cluster.gateways[0].admin_port, "/metrics")
    assert page.headers["content-type"].startswith("text/plain"), page


@test("redis", "memory")
def closes_and_errors_are_counted_by_reason(cluster):
    gateway = cluster.gateways[0]
    before = gateway.metrics()
    with Client(gateway.port) as client:
        client.error_of("chat", text="x")
        client.send_bytes(b"\x82\x80\0\0\0\0")
        client.expect_close(1003, "binary")
    until(lambda: gateway.metrics().total("parley_connections_closed_total")
          == before.total("parley_connections_closed_total") + 1, 3, "the close is counted")
    after = gateway.metrics()
    assert after.total("parley_client_errors_total", code="not_joined") == \
        before.total("parley_client_errors_total", code="not_joined") + 1
    assert after.total("parley_connections_closed_total", code="1003") == \
        before.total("parley_connections_closed_total", code="1003") + 1


@test("redis")
def without_redis_a_gateway_is_alive_and_not_ready(cluster):
    gateway = cluster.gateways[0]
    cluster.redis.kill()
    until(lambda: gateway.readyz() == 503, 5, "not ready")
    response = http1.http(gateway.admin_port, "/readyz")
    body = json.loads(response.body)
    assert body["status"] == "degraded", body
    assert any(str(value).startswith("down") for value in body["checks"].values()), body
    assert http1.http(gateway.admin_port, "/healthz").status == 200
    with Client(gateway.port) as client:
        client.ping()
    cluster.redis.start()
    for each in cluster.gateways:
        each.wait_ready()
