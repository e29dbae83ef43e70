# SPDX-License-Identifier: MIT
"""A client that behaves like client/js: comes back with full jitter, resumes with `since`, says unacked
messages again with their key, drops repeats, folds presence. All it sees goes into the record."""

import asyncio
import collections
import socket

from record import text_hash
from wire import Wire

# As the library's, but for a shorter longest wait, so that a run ends sooner.
MIN_DELAY_S, MAX_DELAY_S = 0.5, 5.0
CONNECT_TIMEOUT_S = 5.0
REPLY_TIMEOUT_S = 10.0
JOIN_AGAIN_S = 1.0
DOUBT_MAX_S = 8.0
STABLE_S = 10.0
WINDOW = 8
ASK_AGAIN = ("unavailable", "unknown_outcome", "rate_limited", "timeout")


def is_final(code):
    """The protocol's one rule for close codes."""
    return code in (1002, 1003) or 1007 <= code <= 1010 or 4500 <= code <= 4999


class Place:
    """What a client knows of a room it wants to be in. offset: covered so far, None when unknown."""

    def __init__(self, room):
        self.room = room
        self.joined = False
        self.epoch = None
        self.offset = None
        self.online = 0
        self.people = None
        self.asking = False
        self.differs_since = None
        self.snapshot_at = 0.0
        self.doubtful = False  # names came so soon after the snapshot that it may have had them
        self.doubt_s = None    # the wait before a list in doubt is asked for again
        self.seen = set()  # hashes of barriers

    @property
    def since(self):
        return None if self.epoch is None or self.offset is None else [self.epoch, self.offset]


class Entry:
    """A message until it is acked or given up."""

    def __init__(self, kind, target, text, key):
        self.kind, self.target, self.text, self.key = kind, target, text, key
        self.h = text_hash(text)
        self.tries = 0
        self.in_flight = False
        self.not_before = 0.0
        self.ack = None


class Client:
    """port may change between connections; `stays_away` keeps it from coming back."""

    def __init__(self, record, name, user, port, random, grace_s=3.0, rcvbuf=None):
        self.record, self.name, self.user, self.port = record, name, user, port
        self.rcvbuf = rcvbuf
        self.places = {}
        self.entries = collections.OrderedDict()  # by key
        self.refused = 0
        self.slow_gaps = 0
        self.on_reading = None  # (room, online, members): an answer to ask_presence()
        self.on_digest = None  # (room, joined, left): the names of a digest
        self.on_pong = None  # (id)
        self.on_opened = None  # ()
        self.gateway = None
        self.heartbeat_s = 25.0
        self.lost_at = None
        self.back_s = []  # how long each absence took, from the loss to the first welcome
        self.stays_away = False
        self.failed = None
        self._random = random
        self._grace_s = grace_s
        self._loop = asyncio.get_running_loop()
        self._wire = None
        self._n = 0
        self._ids = 0
        self._keys = 0
        self._failures = 0
        self._opened_at = 0.0
        self._slot_at = 0.0
        self._not_before = 0.0
        self._asked = {}  # id -> (kind, subject, since, asked at)
        self._timers = set()
        self._tasks = set()

    # What the load decides.

    def start(self):
        self._connect()

    def stop(self, how="close"):
        """For good: `close` says CLOSE, `drop` resets the connection."""
        self.stays_away = True
        for timer in self._timers:
            timer.cancel()
        if self._wire:
            if how == "close":
                self._wire.close()
            else:
                self._wire.abort("stopped")

    def drop(self):
        """Loses its connection, and comes back like after any loss."""
        if self._wire:
            self._wire.abort("dropped")

    @property
    def wire(self):
        return self._wire

    @property
    def connected(self):
        return self._wire is not None and self._wire.is_open

    @property
    def settled(self):
        """It is where it wants to be, and has nothing left to say."""
        return self.connected and all(p.joined for p in self.places.values()) and not self.entries

    def join(self, room):
        self.places[room] = Place(room)
        if self.connected:
            self._join(self.places[room])

    def leave(self, room):
        """What it had to say there and was not acked yet is given up."""
        for entry in [e for e in self.entries.values() if e.target == room]:
            del self.entries[entry.key]
        if self.places.pop(room, None) and self.connected:
            self._ask("leave", room, {"room": room})

    def say(self, kind, target, text):
        """A chat to a room or a direct to a user; returns its entry."""
        self._keys += 1
        entry = Entry(kind, target, text, f"{self.name}.{self._keys}")
        self.entries[entry.key] = entry
        self._flush()
        return entry

    def ask_presence(self, room):
        """Its answer goes to on_reading(room, online, members)."""
        if self.connected:
            self._ask("presence", room, {"room": room, "limit": 1000})

    def ping(self):
        """Sends a ping and returns its id, or None when there is no connection."""
        if not self.connected:
            return None
        return self._ask("ping", None, None)

    # The life of the connection.

    def _connect(self):
        if self.stays_away or self.failed:
            return
        self._n += 1
        self._slot_at = 0.0
        self.record.write("connect", self.name, n=self._n, port=self.port)
        task = self._loop.create_task(self._open(self._n))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, n):
        wire = Wire(_Hooks(self, n), f"127.0.0.1:{self.port}")
        self._wire = wire
        sock = socket.socket()
        sock.setblocking(False)
        if self.rcvbuf:
            # Before connect(): the window is agreed in the handshake.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.rcvbuf)
        try:
            await asyncio.wait_for(self._loop.sock_connect(sock, ("127.0.0.1", self.port)), CONNECT_TIMEOUT_S)
            await self._loop.create_connection(lambda: wire, sock=sock)
        except (OSError, asyncio.TimeoutError):
            sock.close()
            self._refused(n, {})
            return
        self._after(CONNECT_TIMEOUT_S, lambda: None if wire.is_open else wire.abort("no answer"))
        if self.stays_away:
            wire.close()

    def opened(self, n):
        self.record.write("open", self.name, n=n)
        self._opened_at = self._loop.time()
        if self.on_opened:
            self.on_opened()
        for place in self.places.values():
            self._join(place)
        self._watch(n)

    def _watch(self, n):
        """Gives up a link that fell silent, like the library's LinkWatch; and requests without answer."""
        if n != self._n or not self.connected:
            return
        now = self._loop.time()
        if now - self._wire.heard > self.heartbeat_s + REPLY_TIMEOUT_S:
            self._wire.abort("silent")
            return
        for id_ in [i for i, a in self._asked.items() if now - a[3] > REPLY_TIMEOUT_S]:
            self._failed(self._asked.pop(id_), "timeout", None)
        for place in self.places.values():
            self._check_fold(place, now)
        self._after(0.25, lambda: self._watch(n))

    def ended(self, n, end):
        if n != self._n:
            return
        if "code" not in end:
            self._refused(n, end)
            return
        self.record.write("close", self.name, n=n, **end)
        self._forget()
        if is_final(end["code"]) and end["by"] == "gateway":
            self.failed = end
            return
        if self._loop.time() - self._opened_at > STABLE_S:
            self._failures = 0
        self._come_back(excused=end["code"] in (4000, 1013))

    def _refused(self, n, end):
        if n != self._n or self._wire is None:
            return
        self.record.write("refused", self.name, n=n, **end)
        self._forget()
        if end.get("retry_after"):
            self._not_before = self._loop.time() + end["retry_after"]
        self._come_back()

    def _forget(self):
        self._wire = None
        self.gateway = None
        if self.lost_at is None:
            self.lost_at = self._loop.time()
        self._asked.clear()
        for entry in self.entries.values():
            entry.in_flight = False
        for place in self.places.values():
            place.joined, place.people, place.asking = False, None, False

    def _come_back(self, excused=False):
        if self.stays_away:
            return
        now = self._loop.time()
        delay = MIN_DELAY_S + self._random.random() * min(MAX_DELAY_S, MIN_DELAY_S * 2 ** self._failures)
        if self._slot_at:
            delay = max(0.0, self._slot_at - now)
        if self._not_before > now:
            delay += self._not_before - now
        self._failures += 0 if excused else 1
        self._after(delay, self._connect)

    # Requests and their replies.

    def _ask(self, kind, subject, data, since=None):
        self._ids += 1
        self._asked[self._ids] = (kind, subject, since, self._loop.time())
        message = {"type": kind, "id": self._ids}
        if data:
            message["data"] = data
        if kind in ("join", "leave"):
            more = {"since": since, "user": self.user} if kind == "join" else {}
            self.record.write(kind, self.name, n=self._n, id=self._ids, room=subject, **more)
        self._wire.send(message)
        return self._ids

    def _join(self, place):
        data = {"room": place.room, "user": self.user}
        if place.since:
            data["since"] = {"epoch": place.since[0], "offset": place.since[1]}
        self._ask("join", place.room, data, place.since)

    def _flush(self):
        if not self.connected:
            return
        now, in_flight = self._loop.time(), sum(e.in_flight for e in self.entries.values())
        for entry in list(self.entries.values()):
            if in_flight >= WINDOW:
                return
            ready = entry.kind == "direct" or (
                entry.target in self.places and self.places[entry.target].joined)
            if not entry.in_flight and ready and now >= entry.not_before:
                in_flight += 1
                self._transmit(entry)

    def _transmit(self, entry):
        entry.in_flight = True
        entry.tries += 1
        self._ids += 1
        place = {"room" if entry.kind == "chat" else "to": entry.target}
        self._asked[self._ids] = ("send", entry.key, None, self._loop.time())
        # Recorded before it is sent: the checker compares times.
        self.record.write("send", self.name, n=self._n, id=self._ids, type=entry.kind, **place,
                          h=entry.h, key=entry.key, **{"try": entry.tries})
        self._wire.send({"type": entry.kind, "id": self._ids,
                         "data": {**place, "text": entry.text, "key": entry.key}})

    def message(self, n, message):
        if n == self._n and self._wire is not None:
            handler = getattr(self, "_on_" + message["type"], None)
            if handler:
                handler(message, message.get("data") or {})

    def _on_ack(self, message, data):
        asked = self._asked.pop(message["id"], None)  # None: too late for our patience
        entry = self.entries.pop(asked[1], None) if asked else None
        if entry:
            place = {"to": data["to"]} if "to" in data else {
                "room": data["room"], "epoch": data["epoch"], "offset": data["offset"]}
            entry.ack = place
            self.record.write("ack", self.name, n=self._n, id=message["id"], h=entry.h, **place)
        self._flush()

    def _on_error(self, message, data):
        asked = self._asked.pop(message.get("id"), None)
        if asked is None:
            self.record.write("note", self.name, name="error", data=data)
            return
        entry = self.entries.get(asked[1]) if asked[0] == "send" else None
        subject = {"h": entry.h} if entry else {"request": asked[0], "room": asked[1]}
        self.record.write("nack", self.name, n=self._n, id=message["id"], code=data["code"],
                          retry_after=data.get("retry_after"), **subject)
        self._failed(asked, data["code"], data.get("retry_after"))

    def _failed(self, asked, code, retry_ms):
        kind, subject = asked[0], asked[1]
        wait = JOIN_AGAIN_S if retry_ms is None else retry_ms / 1000
        if kind == "send" and subject in self.entries:
            self._entry_failed(self.entries[subject], code, wait)
        elif kind == "join" and subject in self.places:
            place = self.places[subject]
            self._after(wait, lambda: self._join_again(place))
        elif kind == "presence" and subject in self.places:
            self.places[subject].asking = False

    def _join_again(self, place):
        if self.connected and self.places.get(place.room) is place and not place.joined:
            self._join(place)

    def _entry_failed(self, entry, code, wait):
        entry.in_flight = False
        again = code in ASK_AGAIN or code == "not_joined"
        certain = code in ("unavailable", "rate_limited")
        # Half of them do not insist: what was refused for certain must then never be seen.
        if not again or (certain and entry.tries == 1 and self._random.random() < 0.5):
            self.refused += 1
            del self.entries[entry.key]
        elif code != "not_joined":
            entry.not_before = self._loop.time() + wait
            self._after(wait + 0.01, self._flush)

    # Events.

    def _on_welcome(self, message, data):
        asked = self._asked.pop(message.get("id"), None)
        room, place = data["room"], self.places.get(data["room"])
        self.gateway, self.heartbeat_s = data["gateway"], data["heartbeat"]
        self.record.write("welcome", self.name, n=self._n, id=message.get("id"), room=room,
                          user=data["user"], epoch=data["epoch"], offset=data["offset"],
                          recovered=data["recovered"], online=data["online"],
                          gateway=data["gateway"], connection=data["connection"],
                          since=asked[2] if asked else None)
        if place is None:
            return
        if not (place.since and data["recovered"] and data["epoch"] == place.epoch):
            place.epoch, place.offset = data["epoch"], data["offset"]
        place.joined = True
        place.online = data["online"]
        place.people, place.asking = None, False
        if self.lost_at is not None and all(p.joined for p in self.places.values()):
            self.back_s.append(self._loop.time() - self.lost_at)
            self.lost_at = None
        self._flush()

    def _on_chat(self, message, data):
        room, offset = data["room"], message["offset"]
        place = self.places.get(room)
        h = text_hash(data["text"])
        known = place is not None and place.joined
        repeat = known and place.offset is not None and offset <= place.offset
        self.record.write("repeat" if repeat else "recv", self.name, n=self._n, room=room,
                          epoch=place.epoch if place else None, offset=offset, **{"from": data["from"]}, h=h)
        if known and not repeat:
            place.offset = offset
            if data["text"].startswith("final "):
                place.seen.add(h)

    def _on_direct(self, _message, data):
        self.record.write("direct", self.name, n=self._n, **{"from": data["from"]}, to=data["to"],
                          h=text_hash(data["text"]))

    def _on_gap(self, _message, data):
        self.record.write("gap", self.name, n=self._n, room=data["room"], epoch=data["epoch"],
                          **{"from": data["from"]}, to=data["to"], why=data["why"])
        place = self.places.get(data["room"])
        if place is None:
            return
        self.slow_gaps += data["why"] == "slow"
        if data["why"] == "reset":
            place.epoch, place.offset = data["epoch"], None
        elif place.offset is not None and data["epoch"] == place.epoch:
            place.offset = max(place.offset, data["to"])

    def _on_left(self, message, data):
        self._asked.pop(message.get("id"), None)
        self.record.write("left", self.name, n=self._n, id=message.get("id"), room=data["room"])

    def _on_bye(self, _message, data):
        self.record.write("bye", self.name, n=self._n, reason=data["reason"],
                          reconnect_in=data["reconnect_in"])
        n, wire = self._n, self._wire
        self._slot_at = self._loop.time() + data["reconnect_in"] / 1000
        self._after(data["reconnect_in"] / 1000,
                    lambda: wire.close() if n == self._n and wire.is_open else None)

    def _on_ping(self, _message, _data):
        self._wire.send({"type": "pong"})

    def _on_pong(self, message, _data):
        self._asked.pop(message.get("id"), None)
        if self.on_pong and "id" in message:
            self.on_pong(message["id"])

    # Presence.

    def _on_presence(self, message, data):
        place = self.places.get(data["room"])
        if "id" in message:
            self._on_people(message, data, place)
            return
        more = {"more": True} if data.get("more") else {}
        self.record.write("presence", self.name, n=self._n, room=data["room"], online=data["online"],
                          joined=data.get("joined", []), left=data.get("left", []), **more)
        if self.on_digest:
            self.on_digest(data["room"], data.get("joined", []), data.get("left", []))
        if place is None:
            return
        place.online = data["online"]
        if place.people is not None and not self._repeats(place, data):
            names = bool(data.get("joined") or data.get("left"))
            place.doubtful |= names and self._loop.time() - place.snapshot_at < self._grace_s + 1
            place.people.update(data.get("joined", []))
            place.people.subtract(data.get("left", []))
            place.people = +place.people
        if more:
            place.people = None

    def _repeats(self, place, data):
        """The first digest after a snapshot may tell what that already had (client/js/presence.js)."""
        joined, left = data.get("joined", []), data.get("left", [])
        return (self._loop.time() - place.snapshot_at < 1.0 and len(joined) != len(left)
                and place.people.total() == place.online
                and all(place.people[user] for user in joined)
                and not any(place.people[user] for user in left))

    def _on_people(self, message, data, place):
        self._asked.pop(message["id"], None)
        members = {}
        for member in data["members"]:
            members[member["user"]] = members.get(member["user"], 0) + member["connections"]
        self.record.write("people", self.name, n=self._n, room=data["room"], online=data["online"],
                          members=members)
        if self.on_reading:
            self.on_reading(data["room"], data["online"], members)
        if place is not None:
            place.people, place.asking = collections.Counter(members), False
            longer = min(2 * (place.doubt_s or 0), DOUBT_MAX_S) if place.doubtful else 0
            place.doubtful, place.doubt_s = False, max(longer, self._grace_s + 1)
            place.online, place.snapshot_at = data["online"], self._loop.time()

    def _check_fold(self, place, now):
        """Asks where the names are not known, or their total differs from `online` for long."""
        if not place.joined or place.asking:
            return
        if place.doubtful and now - place.snapshot_at > place.doubt_s:
            place.asking = True
            self.ask_presence(place.room)
            return
        differs = place.people is None or place.people.total() != place.online
        if not differs:
            place.differs_since = None
            return
        if place.differs_since is None:
            place.differs_since = now
        if place.people is None or now - place.differs_since > self._grace_s + 1:
            place.differs_since, place.asking = None, True
            self.ask_presence(place.room)

    def _after(self, delay_s, call):
        def fire():
            self._timers.discard(timer)
            call()
        timer = self._loop.call_later(delay_s, fire)
        self._timers.add(timer)


class _Hooks:
    """Carries the connection's number, so that a late event of an earlier one is told apart."""

    def __init__(self, client, n):
        self._client, self._n = client, n

    def on_open(self):
        self._client.opened(self._n)

    def on_message(self, message):
        self._client.message(self._n, message)

    def on_wrong(self, text):
        self._client.record.write("wrong", self._client.name, n=self._n, what=text)

    def on_end(self, end):
        self._client.ended(self._n, end)
