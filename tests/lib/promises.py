# SPDX-License-Identifier: MIT
"""What the protocol promises of every message that a gateway sends, checked on each one:

  - valid UTF-8, one JSON object on one line, no member twice, `type` a string, `data` an object;
  - the data of an event holds what the table of events names, with the right kind of value;
  - within one epoch the offsets of a room are consecutive from `welcome` on, but for a `gap` told;
  - nothing of a room arrives before its `welcome` or after `left`.
"""

import json


def _no_twice(pairs):
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), f"a member twice: {names}"
    return dict(pairs)


def _no_constant(name):
    raise AssertionError(f"not JSON: {name}")


def strict_json(payload):
    """One message's payload as a dict. Raises AssertionError when it is not what it must be."""
    text = payload.decode("utf-8")
    assert "\n" not in text and "\r" not in text, f"a message of several lines: {text!r}"
    value = json.loads(text, object_pairs_hook=_no_twice, parse_constant=_no_constant)
    assert isinstance(value, dict), f"not an object: {text!r}"
    return value


_NUMBER, _TEXT, _LIST, _BOOL = (int,), (str,), (list,), (bool,)

# type: the members of data that must be there, with their kinds.
_EVENTS = {
    "welcome": {"room": _TEXT, "user": _TEXT, "online": _NUMBER, "epoch": _TEXT, "offset": _NUMBER,
                "recovered": _BOOL, "heartbeat": (int, float), "connection": _TEXT, "gateway": _TEXT},
    "chat": {"room": _TEXT, "from": _TEXT, "text": _TEXT, "ts": _NUMBER},
    "direct": {"from": _TEXT, "to": _TEXT, "text": _TEXT, "ts": _NUMBER},
    "signal": {"room": _TEXT, "from": _TEXT, "kind": _TEXT},
    "presence": {"room": _TEXT, "online": _NUMBER},
    "gap": {"room": _TEXT, "epoch": _TEXT, "from": _NUMBER, "to": _NUMBER, "why": _TEXT},
    "bye": {"reason": _TEXT, "reconnect_in": _NUMBER},
    "error": {"code": _TEXT, "message": _TEXT},
    "left": {"room": _TEXT},
    "ack": {},
    "ping": {},
    "pong": {},
    "history": {"room": _TEXT, "epoch": _TEXT, "messages": _LIST, "more": _BOOL},
}


class Promises:
    """The rooms of one connection, as its messages tell them."""

    def __init__(self):
        self._rooms = {}  # room: [epoch, last offset or None when any may follow]

    def check(self, message, payload):
        type_ = message.get("type")
        assert isinstance(type_, str), f"no type: {payload!r}"
        assert type_ in _EVENTS, f"a type that protocol.md does not know: {payload!r}"
        data = message.get("data", {})
        assert isinstance(data, dict), f"data is no object: {payload!r}"
        for name, kinds in _EVENTS[type_].items():
            assert type(data.get(name)) in kinds, f"{type_}: {name} missing or wrong: {payload!r}"
        handler = getattr(self, f"_on_{type_}", None)
        if handler:
            handler(message, data)

    def _on_welcome(self, _message, data):
        # What is replayed goes up to `cut`, what is live goes on from there.
        self._rooms[data["room"]] = {"epoch": data["epoch"], "cut": data["offset"],
                                     "last": data["offset"], "replayed": None}

    def _on_left(self, _message, data):
        self._rooms.pop(data["room"], None)

    def _on_gap(self, _message, data):
        room = self._member_of(data)
        room["epoch"] = data["epoch"]
        if data["why"] == "reset":
            room["last"] = None
            return
        assert data["to"] >= data["from"], f"a gap backwards: {data}"
        if data["to"] <= room["cut"] and room["last"] == room["cut"]:
            room["replayed"] = data["to"]
        else:
            room["last"] = data["to"]

    def _on_signal(self, _message, data):
        self._member_of(data)

    def _on_presence(self, message, data):
        if "id" not in message:
            self._member_of(data)
            assert isinstance(data.get("joined", []), list) and isinstance(data.get("left", []), list)

    def _on_chat(self, message, data):
        room = self._member_of(data)
        offset = message.get("offset")
        if offset is None:
            return  # Published from outside, unlogged.
        assert type(offset) is int and offset > 0, f"a strange offset: {message}"
        last, cut, replayed = room["last"], room["cut"], room["replayed"]
        if last == cut and offset <= cut:
            assert replayed is None or offset == replayed + 1, \
                f"replayed {offset} after {replayed} in {data['room']!r} without a gap"
            room["replayed"] = offset
            return
        assert replayed in (None, cut), f"live {offset} before the replay came from {replayed} to {cut}"
        assert last is None or offset == last + 1, \
            f"offset {offset} after {last} in {data['room']!r} without a gap"
        room["last"] = offset
        room["replayed"] = None

    def _member_of(self, data):
        assert data["room"] in self._rooms, f"of a room not joined: {data}"
        return self._rooms[data["room"]]
