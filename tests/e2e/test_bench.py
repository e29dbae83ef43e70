# SPDX-License-Identifier: MIT
"""The load generator, `parley bench`: that it sees nothing wrong where nothing is, and everything where
something is."""

import json
import os
import signal
import subprocess

from faulty_server import FaultyServer
from ports import lease_port
from runner import test
from wait import until

CLUSTERS = {
    "main": dict(gateways=2),
    "limited": dict(gateways=1, redis=False, haproxy=False,
                    settings={"client.rate_messages": "5/s burst 5", "client.heartbeat": "400ms",
                              "client.heartbeat_timeout": "300ms"}),
}

CHECKS = ("lost", "duplicates", "reordered", "diverged", "strays", "malformed", "stalls", "failed", "closed",
          "errors")


def bench(program, *options):
    """(exit code, stdout, stderr) of one run."""
    result = subprocess.run([program, "bench", *options], capture_output=True, text=True, timeout=80, check=False)
    return result.returncode, result.stdout, result.stderr


def figures(program, *options):
    """(exit code, the answer); it must be exactly one line."""
    code, out, err = bench(program, "--json", *options)
    assert out.endswith("\n") and out.count("\n") == 1, (code, out, err)
    return code, json.loads(out)


def flawless(cluster, urls, *options):
    pids = [f"--pid={gateway.name}={gateway.pid}" for gateway in cluster.gateways]
    code, answer = figures(cluster.gateways[0].argv[0], *[f"--url={url}" for url in urls], *pids, "--strict", *options)
    assert code == 0 and answer["ok"], answer
    assert not any(answer[check] for check in CHECKS), answer
    return answer


def through_haproxy(cluster):
    return [f"ws://127.0.0.1:{cluster.port}/ws"]


def to_each_gateway(cluster):
    return [f"ws://127.0.0.1:{gateway.port}/ws" for gateway in cluster.gateways]


@test("main")
def a_closed_loop_through_haproxy_loses_nothing(cluster):
    answer = flawless(cluster, through_haproxy(cluster), "--workload=A", "--members=50", "--warmup=200ms", "--duration=1s")
    assert answer["connections"] == 50 and answer["window"] == 32, answer
    assert answer["sent"] > 0, answer
    # The window's two ends cut through messages that are under way, at most a window of them each.
    assert abs(answer["deliveries"] - 50 * answer["sent"]) <= 2 * 50 * 32, answer
    latency = answer["latency_us"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99_9"] <= latency["max"], latency
    assert answer["cpu_s"] > 0 and answer["rss_bytes"] > 1e6 and 0 < answer["generator_cpu"] <= 1.1, answer
    assert [p["name"] for p in answer["processes"]] == ["gw-1", "gw-2"], answer


@test("main")
def members_on_two_gateways_see_every_room_in_one_order(cluster):
    answer = flawless(cluster, to_each_gateway(cluster), "--workload=C", "--rooms=5", "--warmup=200ms", "--duration=1s")
    assert answer["publishers"] == 50 and answer["urls"] == 2, answer


@test("main")
def a_fixed_rate_is_kept(cluster):
    answer = flawless(cluster, to_each_gateway(cluster), "--workload=D", "--connections=20", "--rate=100",
                      "--warmup=0", "--duration=2s")
    assert abs(answer["sent"] - 200) <= 1, answer
    # Without a warm-up the first one is due a moment before the window.
    assert 0 <= answer["sent"] * 20 - answer["latency_us"]["count"] <= 20, answer


@test("main")
def a_generator_that_spins_measures_the_same_and_says_how_busy_it_was(cluster):
    answer = flawless(cluster, to_each_gateway(cluster), "--workload=D", "--connections=20", "--rate=50",
                      "--warmup=0", "--duration=1s", "--spin")
    assert abs(answer["sent"] - 50) <= 1, answer
    # It never slept, but 1,000 deliveries are little work: empty polls are no part of its share.
    assert answer["generator_cpu"] < 0.6, answer


@test("main")
def a_signal_ends_the_measuring_and_the_answer_still_comes(cluster):
    gateway = cluster.gateways[0]
    for number in (signal.SIGTERM, signal.SIGINT):
        before = gateway.metrics().total("parley_deliveries_total")
        with subprocess.Popen([gateway.argv[0], "bench", "--json", f"--url=ws://127.0.0.1:{gateway.port}/ws", "-c", "20",
                               "--workload=D", "--warmup=0", "--duration=1h"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as generator:
            # Whoever is still connecting has nothing to answer with.
            until(lambda: gateway.metrics().total("parley_deliveries_total") > before + 100, 10, "messages flow")
            generator.send_signal(number)
            out, err = generator.communicate(timeout=10)
        assert generator.returncode == 0, (out, err)
        answer = json.loads(out)
        assert answer["ok"] and answer["sent"] >= 5 and answer["seconds"] < 10, answer


@test("main")
def what_was_missed_while_a_link_was_cut_comes_after_it(cluster):
    answer = flawless(cluster, to_each_gateway(cluster), "--workload=drops", "--rooms=2", "--members=10", "--rate=40",
                      "--drop-every=700ms", "--drop-for=300ms", "--warmup=100ms", "--duration=3s")
    drops = answer["drops"]
    assert drops["cuts"] > 20 and drops["recovered"] == drops["returns"] == drops["cuts"], drops
    assert drops["delivered_percent"] == 100 and drops["missed"] == 0 and drops["expected"] > 0, drops
    # Someone was away for 300 ms when a message came.
    assert answer["latency_us"]["max"] > 150e3, answer


@test("main")
def direct_messages_are_timed_alone_and_beside_a_flood(cluster):
    answer = flawless(cluster, to_each_gateway(cluster), "--workload=direct", "--connections=50", "--window=4",
                      "--warmup=100ms", "--duration=1s", "--direct-rate=50")
    for name, least in (("quiet_latency_us", 45), ("latency_us", 45), ("flood_latency_us", 50)):
        assert answer[name]["count"] >= least, (name, answer)


@test("main")
def connections_are_counted_and_held(cluster):
    for workload in ("setup", "herd", "idle"):
        answer = flawless(cluster, to_each_gateway(cluster), f"--workload={workload}", "-c", "105", "--duration=300ms")
        assert answer["setup"]["opened"] == 105 and answer["rooms"] == 11, answer
        assert answer["setup"]["per_s"] > 0 and answer["setup"]["latency_us"]["count"] == 105, answer


@test("limited")
def idle_connections_answer_heartbeats_of_both_kinds(cluster):
    answer = flawless(cluster, to_each_gateway(cluster), "--workload=idle", "-c", "20", "--duration=2s")
    # Each silence of 400 ms ends with a frame PING and a JSON one.
    assert 20 * 2 * 3 <= answer["heartbeats"] <= 20 * 2 * 5, answer


@test("limited")
def an_error_that_a_server_sends_is_shown_and_a_failure(cluster):
    gateway = cluster.gateways[0]
    code, out, err = bench(gateway.argv[0], f"--url=ws://127.0.0.1:{gateway.port}/ws", "-c", "2", "--rate=100",
                           "--warmup=0", "--duration=500ms", "--drain=100ms", "--json")
    answer = json.loads(out)
    assert (code, answer["ok"]) == (1, False), answer
    assert answer["errors"] > 10 and answer["lost"] == 2 * answer["errors"], answer
    assert "rate_limited" in err, err


@test("limited")
def a_join_that_is_refused_is_no_connection(cluster):
    gateway = cluster.gateways[0]
    code, out, err = bench(gateway.argv[0], f"--url=ws://127.0.0.1:{gateway.port}/ws", "-c", "2",
                           "--room-prefix=" + "r" * 130)
    assert (code, out) == (69, ""), (code, out, err)
    assert "the server refused the join" in err, err


# ---- a server with faults

MEMBERS = 5
FIRST = 20  # the message that a fault begins with; those before it come as they should


def run_against(build, faults, *options):
    with FaultyServer(faults) as server:
        return figures(os.path.join(build, "parley"), f"--url=ws://127.0.0.1:{server.port}", "--adapter=floor",
                       f"--connections={MEMBERS}", "--rooms=1", "--warmup=0", "--drain=300ms", *options)


def expect_only(answer, **found):
    for check in CHECKS:
        assert answer[check] == found.get(check, 0), (check, answer)


@test()
def an_honest_server_has_no_faults(build):
    code, answer = run_against(build, lambda member, index, text: [text], "--rate=200", "--duration=500ms", "--strict")
    assert code == 0, answer
    expect_only(answer)


@test()
def one_lost_message_is_found(build):
    code, answer = run_against(build, lambda member, index, text: [] if (member, index) == (3, FIRST) else [text],
                               "--rate=200", "--duration=500ms")
    assert code == 1 and not answer["ok"], answer
    expect_only(answer, lost=1)


@test()
def the_last_messages_are_not_forgotten(build):
    code, answer = run_against(build, lambda member, index, text: [] if member == 2 and index >= FIRST else [text],
                               "--rate=200", "--duration=500ms")
    assert code == 1, answer
    assert answer["lost"] >= 70, answer
    expect_only(answer, lost=answer["lost"])


@test()
def one_message_twice_is_found(build):
    code, answer = run_against(build, lambda member, index, text: [text] * (2 if (member, index) == (1, FIRST) else 1),
                               "--rate=200", "--duration=500ms")
    assert code == 1, answer
    expect_only(answer, duplicates=1)


class Late:
    """Keeps one message from one member until the next one went out."""

    def __init__(self, member):
        self._member = member
        self._kept = None

    def __call__(self, member, index, text):
        if member != self._member:
            return [text]
        if index == FIRST:
            self._kept = text
            return []
        return [text, self._kept] if index == FIRST + 1 else [text]


@test()
def two_messages_of_one_publisher_the_other_way_round_are_found(build):
    code, answer = run_against(build, Late(4), "--rate=200", "--duration=500ms")
    assert code == 1, answer
    expect_only(answer, reordered=1)


@test()
def members_that_disagree_on_the_order_of_two_publishers_are_found(build):
    """Publishers take turns, so each one's own messages stay in sequence."""
    code, answer = run_against(build, Late(4), "--rate=200", "--duration=500ms", "--publishers=2")
    assert code == 1, answer
    expect_only(answer, diverged=1)


@test()
def a_changed_text_is_found_by_the_strict_check_alone(build):
    def faults(member, index, text):
        return [text[:-1] + b"y"] if (member, index) == (0, FIRST) else [text]

    options = ("--rate=200", "--duration=500ms")
    code, answer = run_against(build, faults, *options)
    assert code == 0, answer
    code, answer = run_against(build, faults, *options, "--strict")
    assert code == 1, answer
    expect_only(answer, malformed=1)


@test()
def a_closed_connection_is_found_and_its_messages_are_lost(build):
    code, answer = run_against(build, lambda member, index, text: None if (member, index) == (3, FIRST) else [text],
                               "--rate=200", "--duration=500ms")
    assert code == 1, answer
    assert answer["lost"] >= 70, answer
    expect_only(answer, closed=1, lost=answer["lost"])


@test()
def a_closed_loop_goes_on_after_a_loss(build):
    code, answer = run_against(build, lambda member, index, text: [] if (member, index) == (3, FIRST) else [text],
                               "--window=4", "--stall=100ms", "--duration=500ms")
    assert code == 1, answer
    assert answer["sent"] > 2 * FIRST, answer
    expect_only(answer, lost=1, stalls=1)


# ---- the command line

@test()
def bench_help_names_options_workloads_and_adapters(build):
    code, out, err = bench(os.path.join(build, "parley"), "--help")
    assert (code, err) == (0, "")
    for word in ("--rate=R", "--pid=NAME=PID", "A256", "drops", "socketio", "nchan", "69"):
        assert word in out, word


@test()
def wrong_usage_of_bench_is_exit_code_2_with_one_line(build):
    program = os.path.join(build, "parley")
    for args, text in (
            (("--rooms",), "--rooms needs a value"),
            (("--rooms=0",), '--rooms must be a whole number from 1 to 10000000, not "0"'),
            (("--rooms=1.5",), '--rooms must be a whole number from 1 to 10000000, not "1.5"'),
            (("--dance",), 'unknown option "--dance"'),
            (("dance",), 'unknown option "dance"'),
            (("--json=1",), "--json takes no value"),
            (("--workload=Z",), '--workload: there is no "Z"'),
            (("--adapter=Z",), '--adapter: there is no "Z"'),
            (("--duration=5x",), '--duration must be a duration (as 250ms, 5s, 2m), not "5x"'),
            (("--url=http://x",), "--url http://x: it must begin with ws://"),
            (("--pid=x",), '--pid must be NAME=PID, not "x"'),
            (("--pid=x=0",), '--pid must be NAME=PID, not "x=0"'),
            (("--size=10",), "--size must be from 18 to 60000"),
            (("-c", "10", "-r", "3", "--members=4"), "3 rooms of 4 are not 10 connections"),
            (("-c", "2", "-r", "3"), "2 connections cannot fill 3 rooms"),
            (("--members=3", "--publishers=4"), "a room of 3 has no 4 publishers"),
            (("--adapter=floor", "--workload=direct"), "floor has no direct messages"),
            (("--publish-url=ws://127.0.0.1:1/",), "on parley whoever publishes is a member: no --publish-url"),
            (("--label=\"",), "--label must not hold quotes, backslashes or control characters"),
    ):
        assert bench(program, *args) == (2, "", f"parley bench: {text}; see parley bench --help\n"), args


@test()
def a_server_that_is_not_there_is_exit_code_69(build):
    with lease_port() as lease:
        code, out, err = bench(os.path.join(build, "parley"), f"--url=ws://127.0.0.1:{lease.port}", "-c", "3")
    assert (code, out) == (69, ""), (code, out, err)
    assert err == "parley bench: 3 of 3 connections are not in their room: Connection refused\n", err
