# SPDX-License-Identifier: MIT
"""Names of rooms and users: what is allowed, and what is refused with which code."""

from party import fresh
from runner import test
from ws import Client

CLUSTERS = {"redis": dict(gateways=2, haproxy=False),
            "memory": dict(gateways=1, redis=False, haproxy=False)}

# Control, invisible and direction-changing characters, and braces, in any place of a name.
REFUSED_ANYWHERE = {
    "newline": "a\nb", "tab": "a\tb", "escape": "a\x1bb", "delete": "a\x7fb", "c1": "a\x85b",
    "line separator": "a\u2028b", "paragraph separator": "a\u2029b", "rtl override": "a\u202eb",
    "rtl embedding": "\u202aab", "isolate": "a\u2066b", "byte order mark": "\ufeffab",
    "open brace": "a{b", "close brace": "a}b", "braces": "{general}", "leading space": " a",
    "trailing space": "a ", "leading no-break space": "\u00a0a", "only a space": " ", "empty": "",
}
ALLOWED_ANYWHERE = {
    "plain": "general", "one byte": "a", "inner space": "two words", "dots": "..", "star": "*",
    "question": "a?", "bracket": "a[b]", "colon": "game:1", "slash": "a/b", "percent": "%s%n",
    "backslash": "a\\b", "quote": "a\"b'c", "accents": "Z\u00fcrich", "decomposed": "Zu\u0308rich",
    "emoji": "\U0001F600", "arabic": "\u0645\u0631\u062d\u0628\u0627", "proto": "__proto__",
    "markup": "<b>x</b>", "number": "0", "null word": "null", "glob": "*x",
}


@test("redis", "memory")
def rooms_with_a_good_name_work(cluster):
    names = {**ALLOWED_ANYWHERE, "longest": "r" * 128, "longest of wide": "\u20ac" * 42}
    with Client(cluster.ports(1)[0]) as alice, Client(cluster.ports(2)[1]) as bob:
        for what, name in names.items():
            room = name
            welcome = alice.join(room, "alice")
            assert welcome["room"] == room, (what, welcome)
            bob.join(room, "bob")
            bob.chat(room, what)
            assert alice.expect("chat", text=what)["data"]["room"] == room
            for client in (alice, bob):
                client.request("leave", room=room)


@test("redis", "memory")
def rooms_with_a_bad_name_are_refused(cluster):
    names = {**REFUSED_ANYWHERE, "too long": "r" * 129, "too long in bytes": "\u20ac" * 43}
    with Client(cluster.ports(1)[0]) as alice:
        for what, name in names.items():
            for request in ("join", "leave", "chat", "signal", "presence"):
                data = {"join": {"user": "alice"}, "chat": {"text": "x"},
                        "signal": {"kind": "k"}}.get(request, {})
                error = alice.error_of(request, room=name, **data)
                assert error["code"] == "bad_room", (request, what, error)
        for name in (7, None, True, [], {}):
            error = alice.error_of("join", room=name, user="alice")
            assert error["code"] in ("bad_room", "bad_envelope"), (name, error)
        error = alice.error_of("join", user="alice")
        assert error["code"] in ("bad_room", "bad_envelope"), error


@test("redis", "memory")
def users_with_a_good_name_work(cluster):
    room = fresh("room")
    names = {**ALLOWED_ANYWHERE, "longest": "u" * 64, "longest of wide": "\u20ac" * 21}
    for what, name in names.items():
        with Client(cluster.ports(1)[0]) as client, Client(cluster.ports(2)[1]) as writer:
            assert client.join(room, name)["user"] == name, what
            writer.join(fresh("room"), fresh("writer"))
            writer.request("direct", to=name, text=what)
            assert client.expect("direct")["data"]["to"] == name, what
            client.chat(room, what)
            assert client.expect("chat", text=what)["data"]["from"] == name


@test("redis", "memory")
def users_with_a_bad_name_are_refused(cluster):
    room = fresh("room")
    names = {**REFUSED_ANYWHERE, "too long": "u" * 65, "too long in bytes": "\u20ac" * 22}
    with Client(cluster.ports(1)[0]) as client:
        for what, name in names.items():
            error = client.error_of("join", room=room, user=name)
            assert error["code"] == "bad_user", (what, error)
        for name in (7, None, True, [], {}):
            error = client.error_of("join", room=room, user=name)
            assert error["code"] in ("bad_user", "bad_envelope"), (name, error)
        assert client.error_of("join", room=room)["code"] in ("bad_user", "bad_envelope")
        assert client.join(room, "good")["online"] == 1, "none of the refused joined"


@test("redis", "memory")
def names_are_compared_byte_by_byte(cluster):
    one = "Caf\u00e9-" + fresh("x")
    two = one.replace("\u00e9", "e\u0301")
    with Client(cluster.ports(1)[0]) as alice, Client(cluster.ports(2)[1]) as bob:
        alice.join(one, "alice")
        assert bob.join(two, "bob")["online"] == 1
        assert bob.join(one.upper(), "bob")["online"] == 1
        bob.chat(two, "not for alice")
        alice.ping()
        assert not alice.take_all("chat")


@test("redis", "memory")
def a_connection_has_one_user_name(cluster):
    with Client(cluster.ports(1)[0]) as alice:
        alice.join(fresh("room"), "alice")
        assert alice.error_of("join", room=fresh("room"), user="bob")["code"] == "already_user"
        assert alice.join(fresh("room"), "alice")["user"] == "alice"


@test("redis", "memory")
def kinds_of_signals_are_checked(cluster):
    room = fresh("room")
    with Client(cluster.ports(1)[0]) as alice:
        alice.join(room, "alice")
        for kind in ("", "x" * 65, 7, None, {}, "a\nb"):
            error = alice.error_of("signal", room=room, kind=kind)
            assert error["code"] in ("bad_envelope", "too_long"), (kind, error)
        assert alice.error_of("signal", room=room)["code"] == "bad_envelope"
        assert alice.request("signal", room=room, kind="cursor")["type"] == "ack"
