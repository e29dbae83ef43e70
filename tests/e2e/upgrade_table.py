# SPDX-License-Identifier: MIT
"""Every bad or odd handshake with its answer, straight to a gateway and through HAProxy.

An answer is a status, or CLOSED (the connection ends without one).

Two answers are milder than they could be, and harmless: bare line feeds are accepted as line ends (RFC
9112, section 2.2, allows it), and an extension offer that is junk is ignored like any other offer. A
client that offers only subprotocols that nobody knows is hung up on by libwebsockets.
"""

CLOSED = "closed"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def upgrade(target="/ws", method="GET", version="HTTP/1.1", without=(), more=(), body=b"", **changed):
    """A right handshake, but for what the arguments say. Header names are given with underscores."""
    headers = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade",
               "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}
    for name, value in changed.items():
        headers[name.replace("_", "-")] = value
    lines = [f"{method} {target} {version}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name not in without]
    lines += list(more)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


# name: (bytes, answer of a gateway, answer through HAProxy)
ROWS = {
    "H1 plain GET /ws": (upgrade(without=("Upgrade", "Connection")), 426, 426),
    "H2 GET elsewhere": (upgrade("/other", without=("Upgrade", "Connection")), 404, 404),
    "H3 upgrade elsewhere": (upgrade("/other"), 404, 404),
    "H3 upgrade of /": (upgrade("/"), 404, 404),
    "H3 upgrade of the library": (upgrade("/client/js/parley.js"), 404, 404),
    "H4 /ws/": (upgrade("/ws/"), 404, 404),
    "H4 //ws": (upgrade("//ws"), 404, 404),
    "H4 /%77s": (upgrade("/%77s"), 404, 404),
    "H4 /ws%00x": (upgrade("/ws%00x"), CLOSED, 404),
    "H4 /../ws": (upgrade("/../ws"), 404, 404),
    "H4 /./ws": (upgrade("/./ws"), 404, 404),
    "H4 /x/../ws": (upgrade("/x/../ws"), 404, 404),
    "H4 /ws/../ws": (upgrade("/ws/../ws"), 404, 404),
    "H4 /WS": (upgrade("/WS"), 404, 404),
    "H4 /ws;x": (upgrade("/ws;x"), 404, 404),
    "H5 absolute target": (upgrade("http://localhost/ws"), 404, 404),
    "H6 POST": (upgrade(method="POST"), 405, 405),
    "H6 PUT": (upgrade(method="PUT"), 405, 405),
    "H6 OPTIONS": (upgrade(method="OPTIONS"), 405, 405),
    "H6 HEAD": (upgrade(method="HEAD"), 405, 405),
    "H6 an invented method": (upgrade(method="FETCH"), 400, 405),
    "H7 HTTP/1.0": (upgrade(version="HTTP/1.0"), 400, 400),
    "H8 HTTP/9.9": (upgrade(version="HTTP/9.9"), 505, 505),
    "H9 no Host": (upgrade(without=("Host",)), 400, 400),
    "H10 two Hosts": (upgrade(more=("Host: other",)), 400, 400),
    "H11 no key": (upgrade(without=("Sec-WebSocket-Key",)), 400, 400),
    "H11 empty key": (upgrade(Sec_WebSocket_Key=""), 400, 400),
    "H11 short key": (upgrade(Sec_WebSocket_Key="c2hvcnQ="), 400, 400),
    "H11 long key": (upgrade(Sec_WebSocket_Key="a" * 64), 400, 400),
    "H11 key that is no base64": (upgrade(Sec_WebSocket_Key="!" * 22 + "=="), 400, 400),
    "H12 two keys": (upgrade(more=(f"Sec-WebSocket-Key: {KEY}",)), 400, 400),
    "H13 no version": (upgrade(without=("Sec-WebSocket-Version",)), 426, 426),
    "H13 version 8": (upgrade(Sec_WebSocket_Version="8"), 426, 426),
    "H13 version 99": (upgrade(Sec_WebSocket_Version="99"), 426, 426),
    "H13 version 13abc": (upgrade(Sec_WebSocket_Version="13abc"), 426, 426),
    "H13 two versions": (upgrade(more=("Sec-WebSocket-Version: 8",)), 426, 426),
    "H14 no Connection": (upgrade(without=("Connection",)), CLOSED, 400),
    "H14 Connection: close": (upgrade(Connection="close"), CLOSED, 400),
    "H15 Connection: keep-alive, Upgrade": (upgrade(Connection="keep-alive, Upgrade"), 101, 101),
    "H15 lower-case words": (upgrade(Connection="upgrade", Upgrade="WebSocket"), 101, 101),
    "H16 Upgrade: foo": (upgrade(Upgrade="foo"), 403, 400),
    "H17 Upgrade: h2c": (upgrade(Upgrade="h2c", more=("HTTP2-Settings: AAMAAABkAAQAAP__",)), 400, 400),
    "H18 Upgrade: websocket, h2c": (upgrade(Upgrade="websocket, h2c"), 403, 400),
    "H18 two Upgrade headers": (upgrade(more=("Upgrade: h2c",)), 400, 400),
    "H19 the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 400),
    "H20 CONNECT": (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n", 400, 405),
    "H20 OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 403, 405),
    "H20 TRACE": (b"TRACE /ws HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, 405),
    "H21 a TLS hello": (bytes.fromhex("16030100c8010000c40303") + bytes(range(200)), 400, 400),
    "H21 64 random bytes": (bytes((n * 73 + 17) % 256 for n in range(64)), 400, 400),
    "H21 an empty line": (b"\r\n\r\n\r\n\r\n", CLOSED, 408),
    "H22 a URI of 8 KB": (upgrade("/ws?" + "x" * 8192), CLOSED, 502),
    "H22 a URI of 64 KB": (upgrade("/" + "x" * 65536), CLOSED, 400),
    "H22 a header of 8 KB": (upgrade(more=("X-Long: " + "x" * 8192,)), CLOSED, 502),
    "H22 a header of 64 KB": (upgrade(more=("X-Long: " + "x" * 65536,)), CLOSED, 400),
    "H22 a cookie of 5 KB": (upgrade(Cookie="c=" + "x" * 5120), 101, 101),
    "H22 500 headers": (upgrade(more=[f"X-{n}: {n}" for n in range(500)]), CLOSED, 400),
    "H23 NUL in a header": (upgrade(more=("X-Nul: a\0b",)), 400, 400),
    "H23 a folded header": (upgrade(more=("X-Fold: a", " b")), CLOSED, 101),
    "H23 bare line feeds": (upgrade().replace(b"\r\n", b"\n"), 101, 101),
    "H23 a space before the colon": (upgrade(more=("X-Space : a",)), 400, 400),
    "H23 a header without a name": (upgrade(more=(": a",)), CLOSED, 400),
    "H23 a line without a colon": (upgrade(more=("nonsense",)), CLOSED, 400),
    "H24 a body": (upgrade(Content_Length="5", body=b"hello"), 400, 400),
    "H24 chunked": (upgrade(Transfer_Encoding="chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), 400, 400),
    "H24 Content-Length: -1": (upgrade(Content_Length="-1"), 400, 400),
    "H24 Content-Length: 99999999999999999999": (
        upgrade(Content_Length="99999999999999999999"), 400, 400),
    "H24 Content-Length twice": (upgrade(Content_Length="5", more=("Content-Length: 6",),
                                         body=b"hello"), 400, 400),
    "H24 both": (upgrade(Content_Length="5", Transfer_Encoding="chunked",
                         body=b"0\r\n\r\n"), 400, 400),
    "H26 two Origins": (upgrade(Origin="http://localhost", more=("Origin: http://evil",)), 403, 403),
    "H28 an unknown subprotocol": (upgrade(Sec_WebSocket_Protocol="other"), CLOSED, 502),
    "H28 a subprotocol of 300 bytes": (upgrade(Sec_WebSocket_Protocol="p" * 300), CLOSED, 400),
    "H28 1,000 subprotocols": (upgrade(Sec_WebSocket_Protocol=",".join(["p"] * 1000)), CLOSED, 400),
    "H28 an empty subprotocol": (upgrade(Sec_WebSocket_Protocol=""), 101, 101),
    "H29 a window of 99 bits": (upgrade(
        Sec_WebSocket_Extensions="permessage-deflate; server_max_window_bits=99"), 101, 101),
    "H29 an unknown extension": (upgrade(Sec_WebSocket_Extensions="x-unknown; a=b"), 101, 101),
    "H29 100 offers": (upgrade(Sec_WebSocket_Extensions=",".join(
        ["permessage-deflate; client_max_window_bits"] * 100)), 400, 400),
    "H29 junk": (upgrade(Sec_WebSocket_Extensions=";;,,==;\"x"), 101, 101),
    "H30 PROXY version 1": (b"PROXY TCP4 1.2.3.4 127.0.0.1 5 80\r\n" + upgrade(), 400, 400),
    "H30 PROXY version 2": (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + upgrade(), CLOSED, 400),
    "H32 nothing sent": (b"", CLOSED, 408),
    "H32 half a request line": (b"GET /w", CLOSED, 408),
    "H32 half a header": (upgrade()[:60], CLOSED, 408),
    "H32 no empty line": (upgrade()[:-2], CLOSED, 408),
}

# What libwebsockets lets through when a client speaks to a gateway directly: it parses the handshake and
# shows only the outcome. The answer that a gateway gives is pinned here, with the reason, so that a
# change is noticed; through HAProxy each has the answer of its row.
EXCEPTIONS = {
    **{name: (101, "the path is decoded and its dot segments are removed before anyone can see it")
       for name in ("H4 //ws", "H4 /%77s", "H4 /../ws", "H4 /./ws", "H4 /x/../ws", "H4 /ws/../ws")},
    "H23 NUL in a header": (101, "unknown headers are skipped without a look at their bytes"),
    "H23 a space before the colon": (101, "it is taken for an unknown header, and skipped"),
}
