# SPDX-License-Identifier: MIT
"""The command line: what each command prints, where, and the exit code."""

import json
import os
import re
import subprocess
import tempfile

from runner import test


def parley(build, *args, env=None, stdout=subprocess.PIPE):
    """(exit code, stdout, stderr) of one run; the environment holds only what a test gives."""
    result = subprocess.run([os.path.join(build, "parley"), *args], stdout=stdout, stderr=subprocess.PIPE,
                            stdin=subprocess.DEVNULL, text=True, timeout=30, env=dict(env or {}))
    return result.returncode, result.stdout, result.stderr


def expect(got, code, out, err):
    assert got == (code, out, err), f"{got} is not {(code, out, err)}"


class ConfigFile:
    def __init__(self, text):
        self._folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self._folder.name, "parley.conf")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        self._folder.cleanup()


@test()
def help_names_commands_settings_and_exit_codes(build):
    code, out, err = parley(build, "--help")
    assert (code, err) == (0, "")
    for word in ("checkconfig [-c FILE] [--print]", "configdoc --markdown", "version [--json]",
                 "--server.listen=0.0.0.0:8080", "--shutdown.drain=60s", "78  the configuration is wrong"):
        assert word in out, word
    assert max(map(len, out.splitlines())) <= 100
    for args in (("help",), ("-h",), ("serve", "--help"), ("version", "-h")):
        assert parley(build, *args) == (0, out, ""), args


@test()
def version_is_told_as_text_and_as_json(build):
    code, out, err = parley(build, "version")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"parley \d+\.\d+\.\d+ \(\S+\), libwebsockets \S+( \S+)*, hiredis \d+\.\d+\.\d+\n", out), out
    assert parley(build, "--version") == (0, out, "")
    code, out, err = parley(build, "version", "--json")
    assert (code, err) == (0, "")
    assert set(json.loads(out)) == {"version", "revision", "libwebsockets", "hiredis"}


@test()
def wrong_usage_is_exit_code_2_with_one_line(build):
    for args, text in (
            (("srve",), 'unknown command "srve"; did you mean "serve"?'),
            (("dance",), 'unknown command "dance"'),
            (("--confg=x",), 'unknown option "--confg"; did you mean --config?'),
            (("-x",), 'unknown option "-x"'),
            (("serve", "more"), 'unexpected argument "more"'),
            (("serve", "-c"), "-c needs a file"),
            (("serve", "--config="), "--config= needs a file"),
            (("serve", "--print"), "serve has no option --print"),
            (("version", "-c", "x"), "version has no option --config"),
            (("version", "--log.level=info"), "version takes no settings"),
            (("version", "--json=yes"), "--json takes no value"),
    ):
        expect(parley(build, *args), 2, "", f"parley: {text}; see parley --help\n")


@test()
def a_wrong_configuration_is_exit_code_78_with_all_problems(build):
    with ConfigFile("[client]\nalowed_origins=*\nheartbeat=5\n") as path:
        problems = (f'{path}:2:1: unknown key "alowed_origins" in [client]; did you mean "allowed_origins"?\n'
                    f"{path}:3:11: client.heartbeat must be a duration from 100ms to 1h "
                    '(as 250ms, 5s, 2m or 1h), not "5"\n')
        for command in ("serve", "checkconfig"):
            expect(parley(build, command, "-c", path), 78, "", problems)
        expect(parley(build, "-c", path), 78, "", problems)
    expect(parley(build, "serve", "--config=/absent"), 78, "",
           "/absent: cannot read the file: No such file or directory\n")


@test()
def a_valid_configuration_is_said_to_be(build):
    with ConfigFile("[log]\nlevel=debug\n") as path:
        expect(parley(build, "checkconfig", "-c", path), 0, f"{path}: the configuration is valid\n", "")
    code, out, err = parley(build, "checkconfig", env={"PARLEY_LOG_LEVAL": "info"})
    assert (code, out) == (0, "parley: the configuration is valid\n")
    assert err == "warning: PARLEY_LOG_LEVAL: unknown variable; did you mean PARLEY_LOG_LEVEL?\n", err


@test()
def checkconfig_prints_what_serve_would_use(build):
    with ConfigFile("[server]\npath=/file\nbacklog=1\n[log]\nlevel=error\n") as path:
        code, out, err = parley(build, "checkconfig", "-c", path, "--print", "--server.path=/flag",
                                env={"PARLEY_SERVER_PATH": "/env", "PARLEY_SERVER_BACKLOG": "2"})
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "path=/flag" in lines and "backlog=2" in lines and "level=error" in lines
    with ConfigFile(out) as path:
        assert parley(build, "checkconfig", "-c", path, "--print") == (0, out, "")


@test()
def the_reference_has_every_setting_that_is_printed(build):
    _, settings, _ = parley(build, "checkconfig", "--print")
    code, reference, err = parley(build, "configdoc", "--markdown")
    assert (code, err) == (0, "")
    keys = re.findall(r"^(\w+)=", settings, re.M)
    assert len(keys) > 50
    for key in keys:
        assert f"| `{key}` |" in reference, key


@test()
def an_answer_that_cannot_be_written_is_a_failure(build):
    with open("/dev/full", "w", encoding="utf-8") as full:
        code, _, err = parley(build, "version", stdout=full)
    assert (code, err) == (1, "parley: cannot write to the standard output\n")
