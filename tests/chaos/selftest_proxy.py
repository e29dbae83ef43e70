#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does the bad line do to a connection what the rows say that it does? Ends with `N passed, N failed`."""

import contextlib
import os
import random
import socket
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

from proxy import Proxy  # noqa: E402
from wait import until  # noqa: E402

PATIENCE_S = 5.0


@contextlib.contextmanager
def call():
    """(line, caller, called): two ends of one connection through a new line."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = Proxy(listener.getsockname(), seed=1)
        caller = socket.create_connection(("127.0.0.1", line.port), PATIENCE_S)
        called, _ = listener.accept()
        called.settimeout(PATIENCE_S)
        until(lambda: line.connections == 1, PATIENCE_S, "the line stands")
        try:
            yield line, caller, called
        finally:
            caller.close()
            called.close()
            line.close()


def receive(sock, count):
    parts = bytearray()
    while len(parts) < count:
        part = sock.recv(65536)
        assert part, f"{len(parts)} of {count} bytes came"
        parts += part
    return bytes(parts)


def receive_exactly(sock, count):
    parts = bytearray()
    while len(parts) < count:
        parts += sock.recv(count - len(parts))
    return bytes(parts)


def silent(sock, for_s=0.2):
    """Nothing comes, not even an end."""
    sock.settimeout(for_s)
    try:
        return sock.recv(1) is None
    except TimeoutError:
        return True
    finally:
        sock.settimeout(PATIENCE_S)


def is_reset(sock):
    try:
        sock.recv(1)
    except ConnectionResetError:
        return True
    return False


def a_sound_line_carries_both_ways_and_ends():
    with call() as (_, caller, called):
        big = random.Random(1).randbytes(3_000_000)
        threading.Thread(target=caller.sendall, args=(big,), daemon=True).start()
        assert receive(called, len(big)) == big
        called.sendall(b"answer")
        assert receive(caller, 6) == b"answer"
        caller.shutdown(socket.SHUT_WR)
        assert called.recv(1) == b""
        called.sendall(b"late")
        assert receive(caller, 4) == b"late"


def a_slow_line_delays_and_keeps_the_order():
    with call() as (line, caller, called):
        line.slow(100, 50)
        began = time.monotonic()
        for number in range(50):
            caller.sendall(bytes([number]))
            time.sleep(0.001)
        assert receive(called, 50) == bytes(range(50))
        assert time.monotonic() - began >= 0.05
        line.mend()
        began = time.monotonic()
        caller.sendall(b"x")
        receive(called, 1)
        assert time.monotonic() - began < 0.05, "mended"


def a_narrow_line_lets_little_through_and_alters_nothing():
    with call() as (line, caller, called):
        line.narrow(100_000)
        data = random.Random(3).randbytes(1_000_000)
        threading.Thread(target=caller.sendall, args=(data,), daemon=True).start()
        began = time.monotonic()
        got = receive_exactly(called, 50_000)
        assert time.monotonic() - began >= 0.3, "50 kB take about half a second"
        line.mend()
        assert got + receive(called, len(data) - len(got)) == data, "mended, the rest comes at once"


def a_chopping_line_sends_single_bytes_and_alters_nothing():
    with call() as (line, caller, called):
        line.chop = True
        reads = []
        caller.sendall(b"0123456789" * 4)
        got = b""
        while len(got) < 40:
            part = called.recv(4096)
            reads.append(len(part))
            got += part
        assert got == b"0123456789" * 4
        assert len(reads) > 1, "it came in pieces"
        big = random.Random(2).randbytes(1_000_000)
        threading.Thread(target=caller.sendall, args=(big,), daemon=True).start()
        assert receive(called, len(big)) == big


def a_held_line_takes_bytes_and_passes_them_when_mended():
    with call() as (line, caller, called):
        line.hold()
        caller.sendall(b"up")
        called.sendall(b"down")
        assert silent(called) and silent(caller)
        line.mend()
        assert receive(called, 2) == b"up" and receive(caller, 4) == b"down"


def one_way_may_be_held_alone():
    with call() as (line, caller, called):
        line.hold("down")
        caller.sendall(b"up")
        assert receive(called, 2) == b"up"
        called.sendall(b"down")
        assert silent(caller)
        line.mend()
        assert receive(caller, 4) == b"down"


def a_held_line_tells_nobody_of_an_end():
    with call() as (line, caller, called):
        line.hold()
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        caller.close()
        assert silent(called)
        line.mend()
        assert is_reset(called)


def reset_is_rst_for_both():
    with call() as (line, caller, called):
        line.reset()
        assert is_reset(caller) and is_reset(called)
        until(lambda: line.connections == 0, PATIENCE_S, "the line forgets the connection")


def cut_is_fin_for_both():
    with call() as (line, caller, called):
        line.cut()
        assert caller.recv(1) == b"" and called.recv(1) == b""


def nobody_there_is_a_reset():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = listener.getsockname()
    line = Proxy(target)
    with contextlib.closing(line):
        try:
            with socket.create_connection(("127.0.0.1", line.port), PATIENCE_S) as caller:
                assert is_reset(caller)
        except ConnectionResetError:
            pass  # it came that fast


TESTS = (a_sound_line_carries_both_ways_and_ends, a_slow_line_delays_and_keeps_the_order,
         a_narrow_line_lets_little_through_and_alters_nothing,
         a_chopping_line_sends_single_bytes_and_alters_nothing, a_held_line_takes_bytes_and_passes_them_when_mended,
         one_way_may_be_held_alone, a_held_line_tells_nobody_of_an_end, reset_is_rst_for_both, cut_is_fin_for_both,
         nobody_there_is_a_reset)


def main():
    failed = 0
    for test in TESTS:
        try:
            test()
            print(f"ok   {test.__name__}")
        except Exception:
            failed += 1
            print(f"FAIL {test.__name__}\n{traceback.format_exc()}")
    print(f"{len(TESTS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
