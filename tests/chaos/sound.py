# SPDX-License-Identifier: MIT
"""A record as of a cluster that keeps every promise, for the checker's self-test: three clients in one
room; resumes, a gap, an absence longer than the history, an unknown outcome, and a restart of Redis."""

E1, E2 = "1111111111111111", "2222222222222222"
ROOM = "room-1"
USERS = ("alice", "bob", "carol")
HISTORY = 10
MS = 10**6


class Script:
    """Writes events one millisecond apart."""

    def __init__(self):
        self.events, self._ids, self._now = [], 0, 1000 * MS
        self.here = {}  # client: connection, while it is there
        self.add("run", settings={"room.history_size": str(HISTORY), "room.history_ttl": "60s"},
                 bounds={"upgrades_per_s": 50, "keys": 10, "calm_s": 2.0, "slow_readers": True})

    def add(self, kind, client=None, **members):
        self._now += MS
        event = {"t": self._now, "k": kind, **members}
        if client:
            event["c"] = client
        self.events.append(event)
        return event

    def wait(self, seconds):
        self._now += int(seconds * 1000) * MS

    def next_id(self):
        self._ids += 1
        return self._ids

    def enter(self, client, n, epoch, offset, since=None, recovered=False):
        id_ = self.next_id()
        self.add("connect", client, n=n, port=1)
        self.add("open", client, n=n)
        self.add("join", client, n=n, id=id_, room=ROOM, user=client, since=since)
        self.welcome(client, n, id_, epoch, offset, since, recovered)
        self.here[client] = n

    def welcome(self, client, n, id_, epoch, offset, since=None, recovered=False):
        self.add("welcome", client, n=n, id=id_, room=ROOM, user=client, epoch=epoch, offset=offset,
                 recovered=recovered, online=len(self.here), gateway="gw-1", connection="c", since=since)

    def vanish(self, client):
        self.add("close", client, n=self.here.pop(client), code=1006, by="net")

    def send(self, client, h, try_=1):
        id_ = self.next_id()
        self.add("send", client, n=self.here[client], id=id_, type="chat", room=ROOM, h=h, key=h, **{"try": try_})
        return id_

    def ack(self, client, id_, h, epoch, offset):
        self.add("ack", client, n=self.here[client], id=id_, h=h, room=ROOM, epoch=epoch, offset=offset)

    def nack(self, client, id_, h, code):
        self.add("nack", client, n=self.here[client], id=id_, h=h, code=code)

    def hear(self, clients, h, from_, epoch, offset):
        for client in clients:
            self.add("recv", client, n=self.here[client], room=ROOM, epoch=epoch, offset=offset,
                     **{"from": from_}, h=h)

    def chat(self, client, h, epoch, offset, to=None):
        id_ = self.send(client, h)
        self.hear(self.here if to is None else to, h, client, epoch, offset)
        self.ack(client, id_, h, epoch, offset)

    def gap(self, client, epoch, first, last, why):
        self.add("gap", client, n=self.here[client], room=ROOM, epoch=epoch, **{"from": first}, to=last, why=why)

    def send_direct(self, client, h, to, try_=1):
        id_ = self.next_id()
        self.add("send", client, n=self.here[client], id=id_, type="direct", to=to, h=h, key=h, **{"try": try_})
        return id_

    def direct(self, client, h, to, try_=1):
        id_ = self.send_direct(client, h, to, try_)
        self.add("direct", to, n=self.here[to], **{"from": client}, to=to, h=h)
        self.add("ack", client, n=self.here[client], id=id_, h=h, to=to)

    def samples(self, when, more):
        self.add("sample", name="gw-1", when=when, rss=10000 + more, fds=20)
        self.add("sample", name="redis", when=when, rss=9000, fds=20, keys=more, subscriptions=1, lasting=2)

    def rest(self):
        truth = dict.fromkeys(USERS, 1)
        self.add("quiet")
        self.add("truth", room=ROOM, members=truth)
        self.add("settling", name="presence exact", bound_ms=2000, gateways=["gw-1", "gw-2"])
        for gateway in ("gw-1", "gw-2"):
            self.add("reading", gateway=gateway, room=ROOM, online=3, members=dict(truth))
        self.add("settled", name="presence exact", after_ms=900, bound_ms=2000, ok=True)
        self.wait(3)
        for _ in range(5):
            self.add("probe", name="gw-1", ms=3.0, ok=True)


def sound():
    """The events of the whole run."""
    s = Script()
    s.samples("start", 0)
    for client in USERS:
        s.enter(client, 1, E1, 0)
    for offset in range(1, 6):
        s.chat(USERS[offset % 3], f"m{offset}", E1, offset)
    s.direct("alice", "d1", "bob")
    _carol_resumes(s)
    _outcomes(s)
    s.chat("bob", "m9", E1, 9, to=("alice", "bob"))
    s.gap("carol", E1, 9, 9, "slow")
    s.chat("bob", "m10", E1, 10)
    _carol_is_away_for_too_long(s)
    _redis_forgets(s)
    s.rest()
    _end(s)
    return s.events


def _carol_resumes(s):
    s.vanish("carol")
    s.chat("alice", "m6", E1, 6)
    s.chat("bob", "m7", E1, 7)
    s.enter("carol", 2, E1, 7, since=[E1, 5], recovered=True)
    s.hear(["carol"], "m6", "alice", E1, 6)
    s.hear(["carol"], "m7", "bob", E1, 7)
    s.welcome("carol", 2, s.next_id(), E1, 7, since=[E1, 5], recovered=True)  # she had asked twice
    for offset, from_ in ((6, "alice"), (7, "bob")):
        s.add("repeat", "carol", n=2, room=ROOM, epoch=E1, offset=offset, **{"from": from_}, h=f"m{offset}")


def _outcomes(s):
    """One is refused for good; one has an unknown outcome, is said again, and has one place."""
    s.nack("bob", s.send("bob", "m-never"), "m-never", "unavailable")
    s.nack("alice", s.send("alice", "m8"), "m8", "unknown_outcome")
    again = s.send("alice", "m8", try_=2)
    s.hear(s.here, "m8", "alice", E1, 8)
    s.ack("alice", again, "m8", E1, 8)


def _carol_is_away_for_too_long(s):
    s.vanish("carol")
    for offset in range(11, 11 + HISTORY + 1):
        s.chat("alice", f"m{offset}", E1, offset)
    s.enter("carol", 3, E1, 21, since=[E1, 10])
    s.gap("carol", E1, 11, 11, "history")
    s.chat("carol", "m22", E1, 22)


def _redis_forgets(s):
    """It comes back from a snapshot: a message is lost, and everybody is told. The runner tells of it last."""
    began = s.add("fault", name="restart", params={})["t"]
    s.send_direct("alice", "d2", "bob")  # heard, but never acked; and its key is forgotten
    s.add("direct", "bob", n=s.here["bob"], **{"from": "alice"}, to="bob", h="d2")
    s.send("alice", "m-kept")
    s.hear(["alice"], "m-kept", "alice", E1, 23)
    s.chat("alice", "m-lost", E1, 24, to=("alice",))
    ended = s.events[-1]["t"]
    s.chat("alice", "m-back", E1, 25, to=("alice",))
    for client in USERS:
        s.gap(client, E2, 0, 22, "reset")
    again = s.send("alice", "m-back", try_=2)  # as a sender does that was never acked
    s.hear(s.here, "m-back", "alice", E2, 23)
    s.ack("alice", again, "m-back", E2, 23)
    s.add("loss", why="restart", **{"from": began}, to=ended + 20 * MS)
    s.add("heal", name="restart")
    s.wait(1)
    s.ack("alice", s.send("alice", "m-kept", try_=2), "m-kept", E1, 23)  # Redis has not forgotten its key
    s.direct("alice", "d2", "bob", try_=2)
    s.chat("carol", "m24", E2, 24)
    s.chat("bob", "m25", E2, 25)


def _end(s):
    s.chat("alice", "last", E2, 26)
    s.add("final", room=ROOM, h="last", epoch=E2, offset=26)
    for client in USERS:
        s.add("end", client)
    for client in USERS:
        s.add("fold", client, room=ROOM, members=dict.fromkeys(USERS, 1))
    for client in USERS:
        s.add("left", client, n=s.here[client], id=s.next_id(), room=ROOM)
        s.add("close", client, n=s.here[client], code=1000, by="client")
    s.samples("end", 4)
