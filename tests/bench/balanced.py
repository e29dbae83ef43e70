# SPDX-License-Identifier: MIT
"""A gateway behind the shipped HAProxy configuration, which reaches it over TCP or over a unix socket."""

import os
import re
import sys

import systems

sys.path.insert(0, os.path.join(systems.ROOT, "deploy", "local"))

import haproxy  # noqa: E402

SOCKET = "{folder}/gateway.sock"


def _balancer(socket):
    def command(place):
        place.front_port = place.lease()[0]
        admin = place.admin_ports[0]
        text = haproxy.render(port=place.front_port, gateways=[("gw-1", place.port, admin)],
                              socket=os.path.join(place.folder, "haproxy.sock"))
        if socket:
            # What deploy/README.md says of unix sockets; health checks go to the admin port as before.
            where = "unix@" + socket.replace("{folder}", place.folder)
            text, count = re.subn(rf"127\.0\.0\.1:{place.port} check port {admin}",
                                  lambda _: f"{where} check addr 127.0.0.1 port {admin}", text)
            assert count == 1, "deploy/local/haproxy.py writes the gateways' lines in another way"
        path = os.path.join(place.folder, "haproxy.cfg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return ["haproxy", "-db", "-f", path]
    return command


def _system(name, label, listen, balancer):
    return systems.System(name, label, "parley", systems.parley(listen=listen), ready=systems.parley_ready,
                          balancer=balancer)


ALL = {s.name: s for s in (
    _system("direct-tcp", "no balancer", "127.0.0.1:{port}", None),
    _system("haproxy-tcp", "HAProxy, TCP to the gateway", "127.0.0.1:{port}", _balancer(None)),
    _system("haproxy-unix", "HAProxy, unix socket to the gateway", "unix:" + SOCKET, _balancer(SOCKET)),
)}
