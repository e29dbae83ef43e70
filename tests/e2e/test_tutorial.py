# SPDX-License-Identifier: MIT
"""A page that was written after the tutorial alone must work, unchanged, for ever. It says join, chat
and a bare ping; it knows welcome, chat and pong; it ignores everything else."""

import time

from party import fresh
from runner import test
from ws import Client

CLUSTERS = {
    "redis": dict(gateways=2, settings={"room.presence_interval": "100ms"}),
    "memory": dict(gateways=1, redis=False, haproxy=False),
}


class TutorialPage:
    """The page's own code: it looks at `type` and at the few members that the tutorial names."""

    def __init__(self, port, room, user):
        self.client = Client(port)
        self.online = None
        self.lines = []
        self.pongs = 0
        self.client.send_text('{"type": "join", "data": {"room": "%s", "user": "%s"}}' % (room, user))

    def on_message(self, message):
        if message["type"] == "welcome":
            self.online = message["data"]["online"]
        elif message["type"] == "chat":
            data = message["data"]
            self.lines.append((data["from"], data["text"], data["ts"]))
        elif message["type"] == "pong":
            self.pongs += 1

    def read_until(self, condition, what):
        def look():
            while self.client.inbox:
                self.on_message(self.client.inbox.pop(0))
            return condition()
        self.client.wait(look, what)


@test("redis", "memory")
def a_page_that_knows_only_the_tutorial_works(cluster):
    room = fresh("general")
    watcher = Client(cluster.gateways[0].port)
    watcher.join(room, "watcher")
    watcher.wait_online(room, 1)
    alice = TutorialPage(cluster.port, room, "alice")
    alice.read_until(lambda: alice.online in (1, 2), "alice is welcome")
    watcher.wait_online(room, 2)  # From now on every gateway knows of alice.
    bob = TutorialPage(cluster.port, room, "bob")
    bob.read_until(lambda: bob.online == 3, "bob is welcome and sees everybody")

    alice.client.send_text('{"type": "chat", "data": {"room": "%s", "text": "Hello!"}}' % room)
    bob.client.send_text('{"type":"chat","data":{"text":"Hi alice"}}')
    for page in (alice, bob):
        page.read_until(lambda page=page: len(page.lines) == 2, "both lines reach everybody")
        assert {line[:2] for line in page.lines} == {("alice", "Hello!"), ("bob", "Hi alice")}
        for _, _, ts in page.lines:
            assert isinstance(ts, int) and abs(ts - time.time()) < 5, ts

    bob.client.send_text('{"type":"ping"}')
    bob.read_until(lambda: bob.pongs == 1, "a bare ping gets a pong")

    alice.client.drop()
    watcher.wait_online(room, 2)
    bob.client.drop()
    watcher.wait_online(room, 1)
    watcher.close()


@test("redis", "memory")
def what_a_tutorial_page_says_beyond_the_protocol_is_harmless(cluster):
    room = fresh("general")
    with Client(cluster.port) as page:
        page.send_text('{"type":"join","version":3,"data":{"room":"%s","user":"dora","colour":"red"}}'
                       % room)
        page.expect("welcome", room=room)
        page.send_text('{"type":"chat","data":{"text":"x","user":"mallory","from":"mallory","ts":1},'
                       '"offset":99,"ts":1}')
        chat = page.expect("chat")
        assert chat["data"]["from"] == "dora" and chat["data"]["ts"] > 1, chat
        assert chat["offset"] == 1, chat
        assert "user" not in chat["data"], chat
