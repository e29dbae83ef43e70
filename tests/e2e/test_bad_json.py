# SPDX-License-Identifier: MIT
"""Messages that are no JSON, no envelope, or no request: each gets its error, and the connection stays."""

import os

import frames
from cluster import ROOT
from party import fresh, party
from runner import test
from ws import Client

CLUSTERS = {"memory": dict(gateways=1, redis=False, haproxy=False)}
JSON, ENVELOPE, TYPE = "bad_json", "bad_envelope", "unknown_type"
SUITE = os.path.join(ROOT, "tests", "data", "JSONTestSuite")

REFUSED = {
    "J1 empty": ("", JSON),
    "J1 spaces": ("   ", JSON),
    "J1 nul": ("nul", JSON),
    "J1 array": ("[]", ENVELOPE),
    "J1 string": ('"x"', ENVELOPE),
    "J1 number": ("1", ENVELOPE),
    "J1 null": ("null", ENVELOPE),
    "J1 true": ("true", ENVELOPE),
    "J1 array of messages": ('[{"type":"ping"}]', ENVELOPE),
    "J2 trailing text": ('{"type":"ping"}x', JSON),
    "J2 two documents": ('{"type":"ping"}{"type":"ping"}', JSON),
    "J2 two lines": ('{"type":"ping"}\n{"type":"ping"}', JSON),
    "J3 byte order mark": ('\ufeff{"type":"ping"}', JSON),
    "J4 raw NUL after": ('{"type":"ping"}\0', JSON),
    "J4 raw NUL inside": ('{"type":"pi\0ng"}', JSON),
    "J5 NUL escape": ('{"type":"ping\\u0000"}', JSON),
    "J5 NUL escape in an unknown member": ('{"type":"ping","x":"\\u0000"}', JSON),
    "J5 NUL escape in a name": ('{"type":"join","data":{"room":"a\\u0000b","user":"x"}}', JSON),
    "J5 NUL escape in a key": ('{"type":"ping","a\\u0000b":1}', JSON),
    "J6 bad hex": ('{"type":"\\u12G4"}', JSON),
    "J6 short hex": ('{"type":"\\u12"}', JSON),
    "J7 lone high surrogate": ('{"type":"ping","x":"\\ud800"}', JSON),
    "J7 lone low surrogate": ('{"type":"ping","x":"\\udc00"}', JSON),
    "J7 surrogates swapped": ('{"type":"ping","x":"\\udc00\\ud800"}', JSON),
    "J8 raw newline in a string": ('{"type":"ping","x":"a\nb"}', JSON),
    "J8 raw tab in a string": ('{"type":"ping","x":"a\tb"}', JSON),
    "J8 raw 0x1f in a string": ('{"type":"ping","x":"\x1f"}', JSON),
    "J10 type twice": ('{"type":"ping","type":"ping"}', JSON),
    "J10 twice, once escaped": ('{"type":"ping","t\\u0079pe":"chat"}', JSON),
    "J10 twice in data": ('{"type":"chat","data":{"text":"a","text":"b"}}', JSON),
    "J10 twice deep inside": ('{"type":"ping","x":[{"a":1,"a":2}]}', JSON),
    "J11 TYPE": ('{"TYPE":"ping"}', ENVELOPE),
    "J11 Type": ('{"Type":"ping"}', ENVELOPE),
    "J11 PING": ('{"type":"PING"}', TYPE),
    "J12 no type": ('{"data":{}}', ENVELOPE),
    "J12 empty object": ("{}", ENVELOPE),
    "J12 type null": ('{"type":null}', ENVELOPE),
    "J12 type number": ('{"type":1}', ENVELOPE),
    "J12 type array": ('{"type":["ping"]}', ENVELOPE),
    "J12 type empty": ('{"type":""}', TYPE),
    "J12 type long": ('{"type":"%s"}' % ("p" * 10000), TYPE),
    "J13 data null": ('{"type":"chat","data":null}', ENVELOPE),
    "J13 data array": ('{"type":"chat","data":[]}', ENVELOPE),
    "J13 data string": ('{"type":"chat","data":"x"}', ENVELOPE),
    "J13 data number, where none is needed": ('{"type":"ping","data":7}', ENVELOPE),
    "J14 depth 17": ('{"type":"ping","x":%s1%s}' % ("[" * 16, "]" * 16), JSON),
    "J14 depth 999": ('{"type":"ping","x":%s%s}' % ("[" * 999, "]" * 999), JSON),
    "J14 10,000 open brackets": ("[" * 10000, JSON),
    "J14 2,000 open objects": ('{"a":' * 2000, JSON),
    "J15 5,000 numbers": ('{"type":"ping","x":[%s]}' % ",".join(["1"] * 5000), JSON),
    "J16 1,000 keys": ('{"type":"ping",%s}' % ",".join(f'"k{n}":1' for n in range(1000)), JSON),
    "J17 leading zero": ('{"type":"ping","x":01}', JSON),
    "J17 1.": ('{"type":"ping","x":1.}', JSON),
    "J17 .5": ('{"type":"ping","x":.5}', JSON),
    "J17 +1": ('{"type":"ping","x":+1}', JSON),
    "J17 1e": ('{"type":"ping","x":1e}', JSON),
    "J17 0x10": ('{"type":"ping","x":0x10}', JSON),
    "J17 NaN": ('{"type":"ping","x":NaN}', JSON),
    "J17 Infinity": ('{"type":"ping","x":Infinity}', JSON),
    "J17 -Infinity": ('{"type":"ping","x":-Infinity}', JSON),
    "J17 minus alone": ('{"type":"ping","x":-}', JSON),
    "J19 comment": ('{"type":"ping"/* x */}', JSON),
    "J19 line comment": ('{"type":"ping"} // x', JSON),
    "J19 single quotes": ("{'type':'ping'}", JSON),
    "J19 trailing comma": ('{"type":"ping",}', JSON),
    "J19 unquoted key": ('{type:"ping"}', JSON),
    "J20 bad escape": ('{"type":"\\x41"}', JSON),
    "J20 backslash at the end": ('{"type":"ping\\', JSON),
    "a form feed between tokens": ('{"type":\f"ping"}', JSON),
    "a no-break space between tokens": ('{"type":\u00a0"ping"}', JSON),
    "True": ('{"type":"ping","x":True}', JSON),
}

ACCEPTED = {
    "spaces everywhere": ' \t\r\n{ "type" : "ping" , "data" : { } } \n',
    "escapes in type": '{"type":"\\u0070ing"}',
    "an escaped slash": '{"type":"ping","x":"\\/"}',
    "J17 minus zero": '{"type":"ping","x":-0}',
    "J17 2^53+1": '{"type":"ping","x":9007199254740993}',
    "J17 a number of 64 digits": '{"type":"ping","x":%s}' % ("7" * 64),
    "J17 an exponent": '{"type":"ping","x":1E+2,"y":-1.5e-7}',
    "J18 unknown members": '{"type":"ping","x":1,"y":{"z":[true,false,null]},"data":{"q":2}}',
    "J21 dangerous names": '{"type":"ping","__proto__":{"a":1},"constructor":{},"a.b":1,"":2}',
    "J14 depth 16": '{"type":"ping","x":%s1%s}' % ("[" * 15, "]" * 15),
    "J7 a surrogate pair": '{"type":"ping","x":"\\ud83d\\ude00"}',
    "J15 200 numbers": '{"type":"ping","x":[%s]}' % ",".join(["1"] * 200),
}


def _code_of(client, text):
    """The code of the one error that a text gets, or 'pong'."""
    client.send_text(text)
    message = client.take(lambda m: m["type"] in ("error", "pong"), f"an answer to {text[:60]!r}")
    return message["data"]["code"] if message["type"] == "error" else "pong"


@test("memory")
def a_bad_message_gets_its_error_and_the_connection_stays(cluster):
    wrong = []
    with Client(cluster.port) as client:
        for what, (text, code) in REFUSED.items():
            got = _code_of(client, text)
            if got != code:
                wrong.append(f"{what}: {got}, not {code}")
            client.ping()
    assert not wrong, "\n" + "\n".join(wrong)


@test("memory")
def unusual_json_is_accepted(cluster):
    wrong = []
    with Client(cluster.port) as client:
        for what, text in ACCEPTED.items():
            got = _code_of(client, text)
            if got != "pong":
                wrong.append(f"{what}: {got}")
    assert not wrong, "\n" + "\n".join(wrong)


@test("memory")
def a_number_too_large_for_a_double_never_harms(cluster):
    with Client(cluster.port) as client:
        for number in ("1e999", "-1e999", "1e-999", "9" * 400):
            assert _code_of(client, '{"type":"ping","x":%s}' % number) in ("pong", JSON), number
        client.ping()


@test("memory")
def a_message_cut_at_any_byte_is_bad_json(cluster):
    room = fresh("room")
    whole = '{"type":"chat","id":"\\u00e9x","data":{"room":"%s","text":"a\\"b","meta":{"n":[-1.5e2]}}}' % room
    with party(cluster.ports(1), room, "alice") as (alice,):
        for cut in range(len(whole)):
            assert _code_of(alice, whole[:cut]) == JSON, whole[:cut]
        assert not alice.take_all("chat")
        alice.send_text(whole)
        assert alice.expect("chat", offset=1)["data"]["text"] == 'a"b'


@test("memory")
def the_error_repeats_the_id_when_there_is_one(cluster):
    with Client(cluster.port) as client:
        client.send_text('{"type":"nonsense","id":"n-1"}')
        assert client.expect("error")["id"] == "n-1"
        client.send_text('{"type":"chat","data":7,"id":12}')
        assert client.expect("error")["id"] == 12
        client.send_text('{"type":"ping","id":3')
        assert "id" not in client.expect("error")


@test("memory")
def errors_have_a_code_and_a_sentence(cluster):
    with Client(cluster.port) as client:
        for text in ("nonsense", "[]", '{"type":"?"}', '{"type":"chat","data":{"text":"x"}}'):
            client.send_text(text)
            data = client.expect("error")["data"]
            assert data["code"] and len(data["message"]) > 8, data


@test("memory")
def invalid_utf8_is_closed_with_1007(cluster):
    for payload in (b'{"type":"\xff"}', b'\xc3', b'{"type":"ping","x":"\xed\xa0\x80"}', b'\xfe\xff'):
        with Client(cluster.port) as client:
            client.send_bytes(frames.frame(frames.TEXT, payload))
            client.expect_close(1007, "utf8")


def _suite_files(prefix):
    names = sorted(n for n in os.listdir(SUITE) if n.startswith(prefix) and n.endswith(".json"))
    assert len(names) > 30, f"no JSONTestSuite in {SUITE}"
    for name in names:
        with open(os.path.join(SUITE, name), "rb") as file:
            yield name, file.read()


def _outcome(port, payload):
    with Client(port) as client:
        client.send_bytes(frames.frame(frames.TEXT, payload))
        try:
            message = client.take(lambda m: m["type"] in ("error", "pong"), "an answer")
        except AssertionError:
            if not client.closed:
                raise
            return client.close_code
        client.ping()
        return message["data"]["code"] if message["type"] == "error" else "pong"


def _valid_utf8(payload):
    try:
        payload.decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


# Valid by the grammar, and refused on purpose: names twice, and NUL.
STRICTER = ("duplicated_key", "null_escape", "escaped_null", "null_in_key", "y_string_nonchar")


@test("memory")
def every_must_fail_file_of_the_suite_is_refused(cluster):
    wrong = []
    for name, payload in _suite_files("n_"):
        expected = 1007 if not _valid_utf8(payload) else JSON
        if len(payload) > 16 * 1024:
            expected = 1009
        got = _outcome(cluster.port, payload)
        if got != expected:
            wrong.append(f"{name}: {got}, not {expected}")
    assert not wrong, "\n" + "\n".join(wrong)


@test("memory")
def every_must_pass_file_of_the_suite_is_json(cluster):
    wrong = []
    for name, payload in _suite_files("y_"):
        got = _outcome(cluster.port, payload)
        allowed = (JSON, ENVELOPE) if any(s in name for s in STRICTER) else (ENVELOPE,)
        if got not in allowed:
            wrong.append(f"{name}: {got}")
    assert not wrong, "\n" + "\n".join(wrong)


@test("memory")
def no_undecided_file_of_the_suite_ends_the_gateway(cluster):
    for name, payload in _suite_files("i_"):
        assert _outcome(cluster.port, payload) in (JSON, ENVELOPE, 1007, 1009), name
