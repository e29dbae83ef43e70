# SPDX-License-Identifier: MIT
"""The load: who is there, what they say, and who is to be a member of what. All choices come from the
seed. Everything here runs in one event loop; other threads go through Load.call() and Load.run()."""

import asyncio
import collections
import random
import threading

from client import Client

ROOMS = 6
RESIDENTS = 48
CHURNERS = 9
CHATS_PER_S = 200
DIRECTS_PER_S = 10
CHURN_PER_S = 6
# So much of what is unsaid a client keeps; a person does not write more into a dead page.
UNSAID_MAX = 12
PROBE_EVERY_S = 0.2
FRAME_BYTES = 140
PROBE_LOST_S = 5.0


class Load:
    """port: HAProxy's; gateways: {name: port} for those who go there directly."""

    def __init__(self, record, seed, port, gateways, grace_s, residents=RESIDENTS, churners=CHURNERS,
                 chats_per_s=CHATS_PER_S):
        self.record, self.port, self.gateways, self.grace_s = record, port, gateways, grace_s
        self.random = random.Random(f"load {seed}")
        self.rooms = [f"room-{n}" for n in range(1, ROOMS + 1)]
        self.residents, self.churners = [], []
        self.crowd = []  # whom a row adds: they only listen
        self.storm_per_s = 0  # joins and leaves of room-1 a second, by the churners
        self.opened_at = []  # of every connection, in time.monotonic()
        self.observers = {}  # gateway name -> Client
        self.truth = {room: collections.Counter() for room in self.rooms}
        self.chatting = self.churning = False
        self.chats_per_s = chats_per_s
        self.padding = 60  # a text is longer by up to so many characters
        self.said_bytes = collections.Counter()  # room: of texts, about as long as their frames
        self.flaps = []  # (gateway, room, user): see watch_flaps()
        self._tallies = {}
        self.left_seen = {}  # (gateway, room, user) -> when its observer was told
        self._counts = (residents, churners)
        self._made = collections.Counter()
        self._texts = 0
        self._answers = {}
        self._probes = {}
        self._tasks = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    # From other threads.

    def call(self, function, *args):
        """Runs a plain function in the loop and returns what it returns."""
        async def wrapped():
            return function(*args)
        return self.run(wrapped())

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self):
        async def cancel_all():
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self.run(cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # The population.

    @property
    def clients(self):
        """All that still take part."""
        everyone = [*self.residents, *self.churners, *self.crowd, *self.observers.values()]
        return [c for c in everyone if not c.stays_away]

    def client(self, kind, user=None, port=None, rcvbuf=None):
        """A new client, not started; its user is its own name unless given."""
        self._made[kind] += 1
        name = f"{kind}-{self._made[kind]}"
        client = Client(self.record, name, user or name, port or self.port,
                        random.Random(self.random.random()), self.grace_s, rcvbuf)
        client.on_opened = lambda: self.opened_at.append(self._loop.time())
        return client

    def start_later(self, client, delay_s):
        self._loop.call_later(delay_s, client.start)

    def open_rooms(self, rooms):
        """Rooms beyond the usual ones; their members are watched, nobody speaks there but at the end."""
        for room in rooms:
            self.rooms.append(room)
            self.truth[room] = collections.Counter()
            for observer in self.observers.values():
                self.enter(observer, room)

    def populate(self):
        """Residents (every eighth user has two connections), churners, and an observer a gateway."""
        residents, churners = self._counts
        for number in range(residents):
            twin = self.residents[-ROOMS].user if number % 8 == 7 and number >= ROOMS else None
            client = self.client("resident", twin)
            self.residents.append(client)
            self.enter(client, self.rooms[number % ROOMS])
        for _ in range(churners):
            self._add_churner()
        for name in self.gateways:
            self.observe(name)
        for client in self.clients:
            client.start()
        self._tasks = [self._loop.create_task(task) for task in
                       (self._chat(), self._churn(), self._storm(), self._probe())]

    def observe(self, gateway):
        """A direct connection to that gateway, a member of every room."""
        client = self.client("observer", port=self.gateways[gateway])
        client.on_reading = lambda room, online, members: self._reading(gateway, room, online, members)
        client.on_digest = lambda room, joined, left: self._digest(gateway, room, joined, left)
        client.on_opened = lambda: self._tallies.pop(gateway, None)
        client.on_pong = lambda id_: self._pong(gateway, id_)
        self.observers[gateway] = client
        for room in self.rooms:
            self.enter(client, room)
        return client

    def enter(self, client, room):
        client.join(room)
        self._change(client, room, +1)

    def leave(self, client, room):
        client.leave(room)
        self._change(client, room, -1)

    def remove(self, client, how="close"):
        """For good."""
        for room in client.places:
            self._change(client, room, -1)
        client.stop(how)

    def _change(self, client, room, by):
        self.truth[room][client.user] += by
        if self.truth[room][client.user] == 0:
            del self.truth[room][client.user]
        self._write_truth(room)

    def _write_truth(self, room):
        self.record.write("truth", room=room, members=dict(self.truth[room]))

    def of_gateway(self, name):
        """Residents and churners that are connected to this gateway now."""
        return [c for c in (*self.residents, *self.churners) if c.gateway == name and not c.stays_away]

    # What they do.

    def text(self, word="text"):
        self._texts += 1
        return f"{word} {self._texts} " + "x" * self.random.randrange(self.padding)

    async def _chat(self):
        """Steady: what a delay of this loop left out is made up for, but not without bound."""
        said, began = 0, self._loop.time()
        while True:
            await asyncio.sleep(0.02)
            due = int((self._loop.time() - began) * self.chats_per_s)
            for _ in range(min(due - said, 50) if self.chatting else 0):
                self._say_something()
            said = due

    def _say_something(self):
        talkers = self.residents + self.churners
        client = self.random.choice(talkers)
        if client.stays_away or not client.places or len(client.entries) >= UNSAID_MAX:
            return
        if self.random.random() < DIRECTS_PER_S / CHATS_PER_S:
            client.say("direct", self.random.choice(talkers).user, self.text("direct"))
        else:
            room, text = self.random.choice(list(client.places)), self.text()
            self.said_bytes[room] += len(text) + FRAME_BYTES
            client.say("chat", room, text)

    async def _churn(self):
        while True:
            await asyncio.sleep(1 / CHURN_PER_S)
            if self.churning and self.churners:
                self._change_something(self.random.randrange(len(self.churners)))

    async def _storm(self):
        while True:
            await asyncio.sleep(0.02)
            for _ in range(self.storm_per_s // 50):
                client = self.random.choice(self.churners)
                if "room-1" not in client.places:
                    self.enter(client, "room-1")
                elif len(client.places) > 1:
                    self.leave(client, "room-1")
                else:
                    self.enter(client, "room-2")

    def _change_something(self, index):
        client, dice = self.churners[index], self.random.random()
        inside, outside = list(client.places), [r for r in self.rooms if r not in client.places]
        if dice < 0.1:
            self.remove(client, self.random.choice(("close", "drop")))
            del self.churners[index]
            self._add_churner().start()
        elif dice < 0.2:
            client.drop()
        elif outside and (dice < 0.6 or len(inside) < 2):
            self.enter(client, self.random.choice(outside))
        elif len(inside) > 1:
            self.leave(client, self.random.choice(inside))

    def _add_churner(self):
        client = self.client("churner")
        self.churners.append(client)
        self.enter(client, self.random.choice(self.rooms))
        return client

    # Probes: one ping at a time on each observer's connection.

    async def _probe(self):
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            for name, client in self.observers.items():
                if client.stays_away:
                    self._probes.pop(name, None)  # it left before the answer came
                    continue
                asked = self._probes.get(name)
                if asked and self._loop.time() - asked[1] < PROBE_LOST_S and client.connected:
                    continue
                if asked:
                    self.record.write("probe", name=name, ms=None, ok=False)
                    self._probes.pop(name)
                id_ = client.ping()
                if id_ is not None:
                    self._probes[name] = (id_, self._loop.time())

    def _pong(self, gateway, id_):
        asked = self._probes.get(gateway)
        if asked and asked[0] == id_:
            del self._probes[gateway]
            ms = (self._loop.time() - asked[1]) * 1000
            self.record.write("probe", name=gateway, ms=round(ms, 2), ok=True)

    # Presence at rest.

    def _reading(self, gateway, room, online, members):
        self.record.write("reading", gateway=gateway, room=room, online=online, members=members)
        truth = self.truth[room]
        self._answers[gateway, room] = online == truth.total() and members == truth

    def _digest(self, gateway, room, joined, left):
        for user in left:
            self.left_seen[gateway, room, user] = self._loop.time()
        tally = self._tallies.get(gateway, {}).get(room)
        if tally is not None:
            tally.update(joined)
            tally.subtract(left)
            self.flaps += [(gateway, room, user) for user in left
                           if user.startswith("resident") and tally[user] <= 0]

    def watch_flaps(self):
        """From now on: residents that digests say have no connection left. What an observer tells counts
        until it loses its own connection."""
        self.flaps.clear()
        self._tallies = {gateway: {room: collections.Counter(self.truth[room]) for room in self.rooms}
                         for gateway in self.observers}

    async def settle(self, name, bound_s, gateways, since, patience_s):
        """Waits until the readings of these gateways equal the truth. Returns (ok, seconds since)."""
        self.churning = False
        for room in self.rooms:
            self._write_truth(room)
        self.record.write("settling", name=name, bound_ms=round(bound_s * 1000), gateways=gateways)
        ok, deadline = False, self._loop.time() + patience_s
        while not ok and self._loop.time() < deadline:
            asked_at = self._loop.time()
            ok = await self._read_all(gateways)
        after_s = (asked_at if ok else self._loop.time()) - since
        self.record.write("settled", name=name, after_ms=round(after_s * 1000),
                          bound_ms=round(bound_s * 1000), ok=ok)
        return ok, after_s

    async def _read_all(self, gateways):
        self._answers.clear()
        for gateway in gateways:
            for room in self.rooms:
                self.observers[gateway].ask_presence(room)
        wanted, until = len(gateways) * len(self.rooms), self._loop.time() + 0.5
        while len(self._answers) < wanted and self._loop.time() < until:
            await asyncio.sleep(0.01)
        ok = len(self._answers) == wanted and all(self._answers.values())
        if not ok:
            await asyncio.sleep(0.05)
        return ok

    # The end.

    async def until(self, condition, timeout_s):
        deadline = self._loop.time() + timeout_s
        while not condition():
            if self._loop.time() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def drain(self, timeout_s):
        """Nobody says anything new; waits until all that was said is acked or given up."""
        self.chatting = False
        return await self.until(lambda: all(c.settled for c in self.clients), timeout_s)

    async def barriers(self, timeout_s):
        """The last message of each room, by whoever is in it. True when all members got them all."""
        entries = {}
        for room in self.rooms:
            speaker = next((c for c in [*self.residents, *self.crowd]
                            if c.connected and room in c.places), None)
            if speaker:
                entries[room] = speaker.say("chat", room, self.text("final"))
        await self.until(lambda: all(e.ack for e in entries.values()), timeout_s)
        for room, entry in entries.items():
            if entry.ack:
                self.record.write("final", room=room, h=entry.h, epoch=entry.ack["epoch"],
                                  offset=entry.ack["offset"])

        def all_seen():
            return all(room not in c.places or e.h in c.places[room].seen
                       for c in self.clients for room, e in entries.items())
        seen = len(entries) == len(self.rooms) and await self.until(all_seen, timeout_s)
        for client in self.clients:
            if client.connected:
                self.record.write("end", client.name)
        return seen

    async def folds(self, timeout_s):
        """What each client makes of presence: waits, since its rule allows names to differ for a while."""
        def all_equal():
            return all(p.people == self.truth[p.room] for c in self.clients for p in c.places.values())
        await self.until(all_equal, timeout_s)
        for client in self.clients:
            for place in client.places.values():
                self.record.write("fold", client.name, room=place.room,
                                  members=None if place.people is None else dict(place.people))

    async def leave_all(self):
        for client in list(self.clients):
            self.remove(client)
        await self.until(lambda: not self.truth_total(), 1)

    def truth_total(self):
        return sum(t.total() for t in self.truth.values())
