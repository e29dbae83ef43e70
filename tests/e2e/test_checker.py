# SPDX-License-Identifier: MIT
"""The checks that every test client makes (promises.py, frames.py, metrics.py) find planted faults."""

import copy

import frames
import metrics
from cluster import sanitizer_report
from promises import Promises, strict_json
from runner import test

WELCOME = {"type": "welcome", "data": {
    "room": "r", "user": "u", "online": 1, "epoch": "e", "offset": 3, "recovered": False,
    "heartbeat": 25, "connection": "1", "gateway": "g"}}


def _chat(offset, room="r"):
    return {"type": "chat", "offset": offset,
            "data": {"room": room, "from": "a", "text": "x", "ts": 1}}


def _gap(first, last, why="slow", epoch="e"):
    return {"type": "gap", "data": {"room": "r", "epoch": epoch, "from": first, "to": last, "why": why}}


LEFT = {"type": "left", "data": {"room": "r"}}

GOOD = {
    "consecutive": [WELCOME, _chat(4), _chat(5)],
    "a gap that is told": [WELCOME, _chat(4), _gap(5, 8), _chat(9)],
    "a new epoch": [WELCOME, _chat(4), _gap(1, 0, "reset", "f"), _chat(1), _chat(2)],
    "a fresh welcome": [WELCOME, _chat(4), WELCOME, _chat(4)],
    "unlogged": [WELCOME, {"type": "chat", "data": _chat(0)["data"]}, _chat(4)],
}

BAD = {
    "a hole": [WELCOME, _chat(4), _chat(6)],
    "twice": [WELCOME, _chat(4), _chat(4)],
    "backwards": [WELCOME, _chat(4), _chat(3)],
    "a hole after the welcome": [WELCOME, _chat(5)],
    "a hole after a gap": [WELCOME, _gap(4, 8), _chat(10)],
    "before the welcome": [_chat(1)],
    "of another room": [WELCOME, _chat(4, "other")],
    "after left": [WELCOME, LEFT, _chat(4)],
    "an unknown type": [{"type": "surprise"}],
    "no type": [{"data": {}}],
    "a member missing": [{"type": "error", "data": {"code": "x"}}],
    "a member of the wrong kind": [{"type": "error", "data": {"code": 1, "message": "x"}}],
    "an offset that is no number": [WELCOME, {**_chat(4), "offset": "4"}],
    "a presence of a room not joined": [{"type": "presence", "data": {"room": "q", "online": 1}}],
}


def _fails(body):
    try:
        body()
    except (AssertionError, ValueError):
        return True
    return False


def _check_all(messages):
    promises = Promises()
    for message in copy.deepcopy(messages):
        promises.check(message, b"")


@test()
def what_the_protocol_allows_passes(_build):
    for what, messages in GOOD.items():
        assert not _fails(lambda m=messages: _check_all(m)), what


@test()
def every_broken_promise_is_found(_build):
    for what, messages in BAD.items():
        assert _fails(lambda m=messages: _check_all(m)), what


@test()
def text_that_is_no_message_is_found(_build):
    for payload in (b"{", b"[]", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":\n1}', b'{"a":"\xff"}', b"{}x"):
        assert _fails(lambda p=payload: strict_json(p)), payload
    assert strict_json(b'{"type":"ping"}') == {"type": "ping"}


@test()
def frames_that_a_server_must_not_send_are_found(_build):
    for data in (frames.frame(frames.TEXT, "x"), b"\x89\x7e\x00\x7e" + b"x" * 126, b"\x09\x00",
                 b"\x81\x7e\x00\x05hello", b"\x83\x00"):
        assert _fails(lambda d=data: frames.split_frame(bytearray(d))), data
    whole = bytearray(frames.frame(frames.TEXT, "x" * 70000, masked=False))
    assert frames.split_frame(whole[:50]) is None
    assert frames.split_frame(whole) == (0x81, b"x" * 70000) and not whole


@test()
def a_report_of_a_sanitizer_is_found_in_a_log(_build):
    for line in ("==12==ERROR: AddressSanitizer: heap-use-after-free on address 0x6020",
                 "==7==ERROR: LeakSanitizer: detected memory leaks",
                 "gateway/loop.c:3:5: runtime error: signed integer overflow",
                 "SUMMARY: UndefinedBehaviorSanitizer: undefined-behavior x.c:1:1"):
        assert sanitizer_report("ts=1 event=start\n" + line + "\n") is not None, line
    assert sanitizer_report("ts=1 level=info event=ready msg=fine\n") is None


@test()
def a_metrics_page_that_prometheus_would_refuse_is_found(_build):
    head = "# HELP a x\n# TYPE a counter\n"
    for page in (head + "a 1", "a 1\n", head + "a 1\na 2\n", head + head + "a 1\n",
                 head + "a x\n", head + 'a{b=1} 1\n', head + 'a{b="1",b="2"} 1\n',
                 head + "a 1\n# HELP b x\n# TYPE b gauge\nb 1\na{c=\"d\"} 2\n", head + "a -1\n",
                 "# HELP a x\n# TYPE a thing\na 1\n"):
        assert _fails(lambda p=page: metrics.parse(p)), page
    good = metrics.parse(head + 'a{x="1",y="2"} 3\na{x="2",y="2"} 4\n')
    assert good.total("a") == 7 and good.total("a", x="2") == 4
