# SPDX-License-Identifier: MIT
"""The shipped HAProxy configuration with this machine's ports filled in.

    text = render(port=8080, gateways=[("gw-1", 8081, 9081)], socket="/path/haproxy.sock")

The local cluster and the end-to-end tests both run what this returns, so the rules that are tested are those that
are shipped. Only lines that an operator would edit are changed; a line that is not found is an error, not a guess.
"""
import os
import re

_HERE = os.path.dirname(os.path.abspath(__file__))
SHIPPED = os.path.join(_HERE, "..", "haproxy", "haproxy.cfg")


def render(port, gateways, socket, address="127.0.0.1"):
    """gateways: (name, port, admin port) of each; socket: where the runtime API listens."""
    with open(SHIPPED, encoding="utf-8") as file:
        text = file.read()
    text = _replace(text, r"^    stats socket \S+", f"    stats socket {socket}")
    text = _replace(text, r"^    bind \S+", f"    bind {address}:{port}")
    servers = [f"    server {name} 127.0.0.1:{client} check port {admin}\n" for name, client, admin in gateways]
    return _replace(text, r"(^    server .*\n)+", "".join(servers))


def _replace(text, pattern, new):
    # A function as replacement, because a path may hold what re takes for an escape.
    text, count = re.subn(pattern, lambda _: new, text, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"deploy/haproxy/haproxy.cfg: {count} lines match {pattern!r}, 1 is needed")
    return text
