# SPDX-License-Identifier: MIT
"""The program itself: its commands, its settings from file, environment and flags, its exit codes."""

import os
import re
import signal
import socket
import subprocess
import tempfile

import http1
from cluster import ROOT
from ports import lease_port
from process import Process
from runner import test
from wait import until

EX_OK, EX_USAGE, EX_UNAVAILABLE, EX_CONFIG = 0, 2, 69, 78


def _run(build, *args, env=None):
    """Runs the program to its end. Returns (exit code, stdout, stderr)."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PARLEY_")}
    done = subprocess.run([os.path.join(os.path.abspath(build), "parley"), *args],
                          capture_output=True, text=True, timeout=20, cwd=ROOT,
                          env={**clean, **(env or {})}, check=False)
    return done.returncode, done.stdout, done.stderr


class _Served:
    """A gateway that was started by hand, on free ports."""

    def __init__(self, build, *args, env=None):
        self._leases = lease_port(), lease_port()
        self.port, self.admin = (lease.port for lease in self._leases)
        self._folder = tempfile.TemporaryDirectory()
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PARLEY_")}
        values = {"PARLEY_ADMIN_LISTEN": f"127.0.0.1:{self.admin}", **(env or {})}
        self.process = Process(
            "parley", [os.path.join(os.path.abspath(build), "parley"), "serve",
                       "--server.static_dir=client", *(a.format(port=self.port) for a in args)],
            os.path.join(self._folder.name, "log"), cwd=ROOT, env={**clean, **values})

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self._folder.cleanup()
        for lease in self._leases:
            lease.close()

    def wait_ready(self):
        def ready():
            assert self.process.running, self.process.log()
            return http1.status_or_none(self.admin, "/readyz") == 200
        until(ready, 10, lambda: f"ready; {self.process.log()}")


def _config_file(folder, text):
    path = os.path.join(folder, "parley.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


@test()
def help_names_every_command_and_setting(build):
    code, out, err = _run(build, "--help")
    assert code == EX_OK and not err, (code, err)
    for word in ("serve", "version", "checkconfig", "--redis.url", "--server.listen",
                 "--client.heartbeat", "--room.history_size", "--shutdown.drain"):
        assert word in out, f"{word} is not in the help"


@test()
def version_names_the_program_and_its_libraries(build):
    code, out, _ = _run(build, "version")
    assert code == EX_OK and re.search(r"parley \d+\.\d+", out), (code, out)


@test()
def an_unknown_command_is_a_usage_error(build):
    for args in (("dance",), ("--no-such-flag",), ("serve", "loose")):
        code, _, err = _run(build, *args)
        assert code in (EX_USAGE, EX_CONFIG) and err, (args, code, err)


@test()
def checkconfig_says_where_the_mistake_is(build):
    with tempfile.TemporaryDirectory() as folder:
        path = _config_file(folder, "[client]\nheartbeat=20s\n\nalowed_origins=https://x.example\n")
        code, out, err = _run(build, "checkconfig", "-c", path)
        assert code == EX_CONFIG, (code, out, err)
        assert f"{path}:4:1: unknown key \"alowed_origins\" in [client]" in out + err, out + err
        assert "did you mean \"allowed_origins\"?" in out + err, out + err
        path = _config_file(folder, "[client]\nheartbeat=20s\n")
        code, out, err = _run(build, "checkconfig", "-c", path)
        assert code == EX_OK, (code, out, err)


@test()
def a_bad_setting_ends_the_start_with_78(build):
    for flag in ("--client.hartbeat=1s", "--client.heartbeat=soon", "--redis.url=http://x",
                 "--server.listen=127.0.0.1:70000", "--server.listen=nowhere",
                 "--client.max_message_bytes=-1", "--client.heartbeat_timeout=1h"):
        code, _, err = _run(build, "serve", flag)
        assert code == EX_CONFIG, (flag, code, err)
        assert err.strip(), flag
    code, _, err = _run(build, "serve", "-c", "/nonexistent/parley.conf")
    assert code == EX_CONFIG and "/nonexistent/parley.conf" in err, (code, err)


@test()
def a_port_in_use_is_a_clear_message(build):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with lease_port() as admin:
            for bus in ("", "--redis.url=redis://127.0.0.1:1"):
                code, _, err = _run(build, "serve", f"--server.listen={address}",
                                    "--server.static_dir=client",
                                    f"--admin.listen=127.0.0.1:{admin.port}", *bus.split())
                assert code == EX_UNAVAILABLE, (code, err)
                assert address in err and "in use" in err, err


@test()
def flags_win_over_the_environment_and_that_over_the_file(build):
    with tempfile.TemporaryDirectory() as folder:
        path = _config_file(folder, "[server]\ngateway_name=from-file\n[client]\nheartbeat=21s\n"
                                    "heartbeat_timeout=7s\njoin_timeout=31s\n")
        env = {"PARLEY_SERVER_GATEWAY_NAME": "from-environment", "PARLEY_CLIENT_JOIN_TIMEOUT": "32s"}
        with _Served(build, "-c", path, "--server.listen=127.0.0.1:{port}",
                     "--server.gateway_name=from-flag", env=env) as served:
            served.wait_ready()
            body = http1.http(served.admin, "/readyz").body.decode()
            assert "from-flag" in body, body
            log = served.process.log()
            assert "gateway=from-flag" in log, log


@test()
def an_unknown_variable_is_a_warning(build):
    with _Served(build, "--server.listen=127.0.0.1:{port}",
                 env={"PARLEY_CLIENT_HARTBEAT": "1s"}) as served:
        served.wait_ready()
        assert "PARLEY_CLIENT_HARTBEAT" in served.process.log(), served.process.log()


@test()
def a_gateway_serves_without_redis_and_stops_at_sigint(build):
    with _Served(build, "--server.listen=127.0.0.1:{port}") as served:
        served.wait_ready()
        assert http1.http(served.port, "/ws").status == 426
        served.process.signal(signal.SIGINT)
        assert served.process.wait_exit(5) == EX_OK


@test()
def a_password_in_the_redis_url_never_reaches_the_log(build):
    with _Served(build, "--server.listen=127.0.0.1:{port}",
                 "--redis.url=redis://user:hunter2secret@127.0.0.1:1/0") as served:
        until(lambda: "redis_down" in served.process.log(), 8, "the loss is logged")
        assert "hunter2secret" not in served.process.log(), served.process.log()
        assert http1.http(served.admin, "/healthz").status == 200


@test()
def a_closed_log_does_not_stop_a_gateway(build):
    with lease_port() as one, lease_port() as two:
        process = subprocess.Popen(
            ["sh", "-c", 'exec "$0" "$@" 2>&-', os.path.join(os.path.abspath(build), "parley"), "serve",
             "--server.static_dir=client", f"--server.listen=127.0.0.1:{one.port}",
             f"--admin.listen=127.0.0.1:{two.port}"],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            until(lambda: http1.status_or_none(two.port, "/readyz") == 200, 10, "it is ready")
            assert http1.http(one.port, "/ws").status == 426
        finally:
            process.kill()
            process.wait()
