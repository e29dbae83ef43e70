# SPDX-License-Identifier: MIT
"""Runs one command of a suite: output into the suite's log, a limit on its time, nothing left behind."""
import os
import signal
import subprocess
import threading

_running = set()
_stopped = False
_lock = threading.Lock()


class Stopped(Exception):
    """The whole run was interrupted."""


def stop_all():
    """Ends what run() started, and nothing else: each command leads a process group of its own."""
    global _stopped
    with _lock:
        _stopped = True
        for process in _running:
            _kill_group(process)


def run(argv, log, timeout_s, env=None, cwd=None):
    """Returns (exit code, output). Past the limit the command is killed, and the code is 124."""
    log.write("$ " + " ".join(argv) + "\n")
    log.flush()
    with _lock:
        if _stopped:
            raise Stopped
        try:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       env={**os.environ, **(env or {})}, cwd=cwd, start_new_session=True)
        except OSError as error:
            log.write(f"{error}\n")
            return 127, str(error)
        _running.add(process)
    try:
        output, timed_out = _collect(process, timeout_s)
    finally:
        with _lock:
            _running.discard(process)
    text = output.decode("utf-8", "replace")
    log.write(text)
    if _stopped:
        raise Stopped
    if timed_out:
        log.write(f"\nkilled: it ran longer than {timeout_s} s\n")
    log.flush()
    return (124 if timed_out else process.returncode), text


def _collect(process, timeout_s):
    try:
        return process.communicate(timeout=timeout_s)[0], False
    except subprocess.TimeoutExpired:
        _kill_group(process)
        return process.communicate()[0], True


def _kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
