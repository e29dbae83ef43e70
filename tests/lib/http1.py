# SPDX-License-Identifier: MIT
"""HTTP/1.1 by hand: requests of any bytes, and what comes back, down to a closed or a hanging socket."""

import select
import socket
import time


class Response:
    """status is an integer; header names are in lower case; repeated headers stay in headers_list."""

    def __init__(self, status, reason, headers_list, body, closed):
        self.status = status
        self.reason = reason
        self.headers_list = headers_list
        self.headers = dict(headers_list)
        self.body = body
        self.closed = closed

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:200]!r}>"


def parse_head(head):
    """Parses a response's head (bytes, without the empty line). Raises ValueError on nonsense."""
    lines = head.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"not an HTTP answer: {lines[0]!r}")
    status, _, reason = rest.partition(" ")
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"not a header: {line!r}")
        headers.append((name.strip().lower(), value.strip()))
    return int(status), reason, headers


def request_bytes(method, path, headers=None, version="HTTP/1.1", host="localhost"):
    lines = [f"{method} {path} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    for name, value in (headers or {}).items():
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def _body_complete(method, status, headers, body):
    if method == "HEAD" or status in (101, 204, 304) or status < 200:
        return True
    headers = dict(headers)
    if "content-length" in headers:
        return len(body) >= int(headers["content-length"])
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return body.endswith(b"0\r\n\r\n")
    return False


def _unchunk(body):
    out = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if not size or int(size, 16) == 0:
            return out
        out += body[:int(size, 16)]
        body = body[int(size, 16) + 2:]


def _readable(sock, timeout_s):
    """poll() and not select(): a test may hold more than 1024 descriptors."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def read_response(sock, timeout_s=5.0, method="GET", already=b""):
    """Reads one answer. Returns a Response, None when the peer closed without one, or raises
    TimeoutError when it neither answered nor closed."""
    deadline, data, closed = time.monotonic() + timeout_s, bytearray(already), False
    while True:
        head, end, body = bytes(data).partition(b"\r\n\r\n")
        if end:
            status, reason, headers = parse_head(head)
            if closed or _body_complete(method, status, headers, body):
                if dict(headers).get("transfer-encoding", "").lower() == "chunked":
                    body = _unchunk(body)
                return Response(status, reason, headers, body, closed)
        elif closed:
            return None
        left = deadline - time.monotonic()
        if left <= 0 or not _readable(sock, left):
            raise TimeoutError(f"no whole answer within {timeout_s:g} s, got {bytes(data)[:200]!r}")
        try:
            received = sock.recv(65536)
        except OSError:
            received = b""
        closed = not received
        data += received


def connect(port, timeout_s=5.0):
    sock = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def http(port, path="/", method="GET", headers=None, timeout_s=5.0, host="localhost"):
    """One request on a connection of its own. Raises when there is no answer."""
    with connect(port, timeout_s) as sock:
        sock.sendall(request_bytes(method, path, headers, host=host))
        response = read_response(sock, timeout_s, method)
    if response is None:
        raise ConnectionError(f"{method} {path}: closed without an answer")
    return response


def status_or_none(port, path):
    """The status of a GET, or None when nobody answers: for waiting until a server is there."""
    try:
        return http(port, path, timeout_s=2).status
    except (OSError, ValueError):
        return None
