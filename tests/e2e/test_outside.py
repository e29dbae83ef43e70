# SPDX-License-Identifier: MIT
"""What others do on the same Redis: publish with or without a log entry, publish nonsense, watch."""

import json

from party import fresh, party
from runner import test
from wait import until

CLUSTERS = {"main": dict(gateways=2, haproxy=False), "one": dict(gateways=1, haproxy=False)}
WEIGHT = {"one": 12}


def _channel(room):
    return f"parley:room:{{{room}}}"


def _outsider_chat(room, text, **more):
    return json.dumps({"type": "chat", "data": {
        "room": room, "from": "outsider", "text": text, "ts": 1, **more}})


@test("main")
def a_bare_publish_reaches_the_members_unlogged(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        assert cluster.redis.cli("PUBLISH", _channel(room), _outsider_chat(room, "from outside")) == "2"
        for client in (alice, bob):
            message = client.expect("chat", text="from outside")
            assert "offset" not in message and message["data"]["from"] == "outsider", message
        assert alice.chat(room, "logged")["offset"] == 1, "it took no offset"
        bob.expect("chat", text="logged")


def _fcall_publish(cluster, room, data, key=None):
    """The documented call, as an operator types it. Returns the lines of the answer."""
    channel = _channel(room)
    keys = [f"{channel}:log", f"{channel}:meta"]
    keyed = []
    if key:
        keys.append(f"{channel}:key:6:system:{key}")
        keyed = [1]
    return cluster.redis.cli("FCALL", "parley1_publish", len(keys), *keys, channel, "", "", 100,
                             3600000, 300000, 1, data, *keyed, check=False).split("\n")


@test("main")
def the_documented_call_publishes_with_an_offset(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        assert alice.chat(room, "first")["offset"] == 1
        data = json.dumps({"room": room, "from": "system", "text": "Hello", "ts": 1790000000})
        answer = _fcall_publish(cluster, room, data)
        assert answer[1:] == ["2"], answer
        for client in (alice, bob):
            assert client.expect("chat", text="Hello")["offset"] == 2
        assert alice.chat(room, "third")["offset"] == 3


@test("main")
def the_documented_call_is_idempotent_with_a_key(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (_alice, bob):
        data = json.dumps({"room": room, "from": "system", "text": "once", "ts": 1})
        first, again = (_fcall_publish(cluster, room, data, key="k1") for _ in range(2))
        assert first[1:] == ["1"] and again == [first[0], "0", "1", first[0], "1"], (first, again)
        last = json.dumps({"room": room, "from": "system", "text": "last", "ts": 1})
        _fcall_publish(cluster, room, last)
        bob.expect("chat", text="last")
        assert len(bob.take_all("chat")) == 1


@test("main")
def the_documented_call_works_for_a_room_without_members(cluster):
    room = fresh("room")
    answer = _fcall_publish(cluster, room, '{"room":"%s","from":"s","text":"early","ts":1}' % room)
    assert answer[1:] == ["1"], answer
    with party(cluster.ports(2), room, "alice") as (alice,):
        assert alice.chat(room, "now")["offset"] == 2


@test("main")
def the_documented_call_refuses_what_is_no_message(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        for data in ("", "nonsense", "[]", "{", '{"a":1}x', '{"a":\n1}', "7", "null", '"text"'):
            answer = _fcall_publish(cluster, room, data)
            assert "ERR" in answer[0], (data, answer)
        assert alice.chat(room, "unharmed")["offset"] == 1
        bob.expect("chat", text="unharmed")
        assert not bob.take_all("chat")


@test("main")
def a_bare_signal_is_relayed(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        cluster.redis.call("PUBLISH", _channel(room), json.dumps(
            {"type": "signal", "data": {"room": room, "from": "bot", "kind": "typing"}}))
        for client in (alice, bob):
            assert client.expect("signal")["data"]["from"] == "bot"


@test("main")
def nonsense_is_dropped_counted_and_never_forwarded(cluster):
    room = fresh("room")
    payloads = [
        "", " ", "nonsense", "[]", "{", '{"type":"chat"', "{}", '{"type":1}', "null", "\n", "\n\n{}",
        '{"type":"welcome","data":{"room":"%s","online":99}}' % room,
        '{"type":"error","data":{"code":"x"}}', '{"type":"bye","data":{}}', '{"type":"ack"}',
        '{"type":"gap","data":{"room":"%s","from":1,"to":9}}' % room, '{"type":"ping"}',
        _outsider_chat(room, "forged")[:-1] + ',"offset":7}',
        '{"type":"chat","type":"chat","data":{}}', _outsider_chat(room, "x") + "x",
        _outsider_chat(room, "x") + "\n" + _outsider_chat(room, "y"),
        '{"type":"chat","data":{"text":"\\u0000"}}', '{"type":"chat","data":7}',
        b'{"type":"chat","data":{"text":"\xff\xfe"}}', b"\x00\x01\x02", b"\xff" * 100,
        "log", "log ", "log x y", "log 0123456789abcdef", "log 0123456789abcdef -1\n{}",
        "log 0123456789abcdef 99999999999999999999999\n{}", "log 0123456789abcdef 1",
        "log 0123456789ABCDEF 1\nnonsense", "log " + "0" * 5000 + " 1\n{}",
        "pres", "pres gw", "pres gw-1 x y", "pres gw-1 -1 -1\n-alice",
        "pres " + "g" * 5000 + " 1 1", "sig", "sig ", "sig gw\nnonsense", "x" * 200000,
        "[" * 100000, '{"a":' * 20000, "{" + '"k":1,' * 20000 + '"k":2}',
    ]
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        alice.idle(0.3)
        for client in (alice, bob):
            client.take_all("presence")
        before = [g.metrics().total("parley_messages_dropped_total", reason="bad_payload")
                  for g in cluster.gateways]
        for payload in payloads:
            cluster.redis.call("PUBLISH", _channel(room), payload)
        until(lambda: all(
            g.metrics().total("parley_messages_dropped_total", reason="bad_payload") >= b + 20
            for g, b in zip(cluster.gateways, before)), 5, "the nonsense is counted")
        ack = alice.chat(room, "unharmed")
        for client in (alice, bob):
            assert client.expect("chat", text="unharmed")["offset"] == ack["offset"] == 1
            others = [m for m in client.inbox if m["type"] not in ("presence", "gap")]
            assert not others, f"forwarded: {others}"
            assert client.online[room] == 2, client.online


@test("main")
def nonsense_for_users_gateways_and_control_harms_nobody(cluster):
    room, bob_name = fresh("room"), fresh("bob")
    ids = cluster.redis.call("HKEYS", "parley:gateways")
    channels = [f"parley:user:{{{bob_name}}}", "parley:control", "parley:user:{}", "parley:room:{}",
                *(f"parley:gateway:{i}" for i in ids)]
    with party(cluster.ports(2), room, "alice", bob_name) as (alice, bob):
        for channel in channels:
            for payload in ("", "nonsense", "{", "[]", '{"type":"error"}', b"\xff\x00", "1 2 3",
                            '{"type":"direct","data":7}', "x" * 50000, "gone", "beat -1"):
                cluster.redis.call("PUBLISH", channel, payload)
        alice.request("direct", to=bob_name, text="real")
        assert bob.expect("direct", text="real")["data"]["from"] == "alice"
        assert not [m for m in bob.inbox if m["type"] not in ("presence",)], bob.inbox
        for gateway in cluster.gateways:
            gateway.wait_ready()


@test("main")
def a_wrong_type_under_a_key_is_an_error_and_never_a_crash(cluster):
    for suffix in (":meta", ":log", ":online"):
        room = fresh("room")
        with party(cluster.ports(2), fresh("lobby"), "alice", "bob") as (alice, bob):
            cluster.redis.call("SET", _channel(room) + suffix, "wrong")
            reply = alice.request("join", room=room, user="alice")
            if reply["type"] == "welcome":
                chat = alice.request("chat", room=room, text="x")
                assert chat["type"] in ("ack", "error"), chat
                if suffix in (":meta", ":log"):
                    assert chat["type"] == "error", f"{suffix}: acked and not logged: {chat}"
            else:
                assert reply["data"]["code"] in ("unavailable", "internal"), reply
            cluster.redis.call("DEL", _channel(room) + suffix)
            bob.ping()
            until(lambda: alice.request("join", room=room, user="alice")["type"] == "welcome", 5,
                  "the room works again", every_s=0.2)


@test("main")
def libraries_of_other_numbers_stay_and_do_not_matter(cluster):
    # A rolling upgrade: older and newer gateways keep their functions beside ours.
    others = [f"#!lua name=parley{n}\nredis.register_function('parley{n}_publish', "
              f"function() return '{n}' end)" for n in (0, 2)]
    for code in others:
        cluster.redis.call("FUNCTION", "LOAD", code)

    def libraries():
        listed = cluster.redis.call("FUNCTION", "LIST", "LIBRARYNAME", "parley*", "WITHCODE")
        return {entry[1]: entry[entry.index("library_code") + 1] for entry in listed}
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, bob):
        assert alice.chat(room, "hello")["offset"] == 1
        bob.expect("chat", offset=1)
        before = libraries()
        assert set(before) == {"parley0", "parley1", "parley2"}, set(before)
        assert [before["parley0"], before["parley2"]] == others, "nobody touches them"
        cluster.redis.call("FUNCTION", "DELETE", "parley1")
        bob.chat(room, "loaded again")
        alice.expect("chat", text="loaded again")
    assert libraries() == before


@test("main")
def the_text_of_a_room_can_be_watched(cluster):
    room = fresh("room")
    with party(cluster.ports(2), room, "alice", "bob") as (alice, _bob), \
            cluster.redis.monitor() as monitor:
        alice.chat(room, "can you see me")
        line = monitor.expect("can you see me")
        assert ":room:" in line and room in line, line


@test("main")
def names_are_never_taken_for_formats_or_patterns(cluster):
    for name in ("%s%n%b", "*", "[a-z]*", "?", "a b", "\"quoted\"", "$5", "\u00e9"):
        room, other = name + fresh("-"), fresh("other")
        with party(cluster.ports(2), room, "alice", name) as (alice, bob):
            bob.join(other, name)
            alice.chat(room, "hello")
            assert bob.expect("chat", text="hello")["data"]["room"] == room
            assert alice.request("direct", to=name, text="x")["type"] == "ack"
            assert bob.expect("direct")["data"]["to"] == name


@test("one", long=True)
def at_rest_a_gateway_writes_at_most_four_monitor_lines_a_second(cluster):
    with cluster.redis.monitor() as monitor:
        lines = monitor.collect(10)
    assert len(lines) <= 40, f"{len(lines)} lines in 10 s: {lines[:12]}"
    assert lines, "not even a beat"
