# SPDX-License-Identifier: MIT
"""The table of test suites, and how each is run."""
import concurrent.futures
import glob
import json
import os
import re

import command

JOBS = str(os.cpu_count() or 2)

SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


class Context:
    def __init__(self, build, long_):
        self.build = build
        self.long = long_

    def folder(self, kind):
        """The build folder of a kind: plain, asan, clang."""
        return self.build if kind == "plain" else os.path.join(self.build, kind)


class Result:
    """findings: what to say of failures before the log is shown."""

    def __init__(self, passed=0, failed=0, findings=()):
        self.passed = passed
        self.failed = failed
        self.findings = list(findings)

    def add(self, ok, finding):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            self.findings.append(finding)


class Suite:
    def __init__(self, name, lane, run, what, long=False):
        self.name = name
        self.lane = lane  # build and check run side by side, alone runs after both
        self.run = run
        self.what = what
        self.long = long


CONFIGURE = {
    "plain": [],
    "asan": ["-DSANITIZE=address,undefined"],
    "clang": ["-DCMAKE_C_COMPILER=clang", "-DWERROR=ON"],
}


def build(context, kind, target, log):
    folder = context.folder(kind)
    code, _ = command.run(["cmake", "-S", ".", "-B", folder, *CONFIGURE[kind]], log, 120)
    if code == 0:
        code, _ = command.run(["cmake", "--build", folder, "--target", *target, "-j", JOBS], log, 600)
    return code == 0


def summary(text, code):
    """Of a suite of ours: its own last line says how it went. No line, or nothing passed, is a failure."""
    found = re.findall(r"^(\d+) passed, (\d+) failed$", text, re.M)
    if not found:
        return Result(0, 1, [f"it printed no summary line (exit code {code})"])
    passed, failed = map(int, found[-1])
    if failed == 0 and (code != 0 or passed == 0):
        return Result(passed, 1, [f"exit code {code} with {passed} passed, {failed} failed"])
    return Result(passed, failed)


# ---- static checks

def lint(context, log):
    result = Result()
    for name, argv in (
            ("layers", ["tests/lint/layers.sh"]),
            ("picture", ["sh", "-c", "tests/lint/layers.sh --picture | "
                                     "tests/lint/fresh.sh --check gateway/README.md layers"]),
            ("style", ["tests/lint/style.py"]),
            ("format", ["tests/lint/format.sh"]),
            ("deploy", ["tests/lint/deploy.sh"])):
        code, _ = command.run(argv, log, 120)
        result.add(code == 0, f"lint: {name} (exit code {code})")
    return result


def product(context, log):
    """What can only be asked of the finished program."""
    if not build(context, "plain", ["parley"], log):
        return Result(0, 1, ["parley cannot be built"])
    program = os.path.join(context.build, "parley")
    result = Result()
    for name, argv in (
            ("the settings reference in deploy/README.md is fresh",
             ["sh", "-c", f"'{program}' configdoc --markdown | "
                          "tests/lint/fresh.sh --check deploy/README.md settings"]),
            ("the program is hardened", ["tests/lint/hardening.sh", program])):
        code, _ = command.run(argv, log, 60)
        result.add(code == 0, f"not so: {name}")
    return result


def clang(context, log):
    ok = build(context, "clang", ["parley", "unit_tests"], log)
    return Result(1, 0) if ok else Result(0, 1, ["clang finds errors or warnings"])


def tidy(context, log):
    """With clang's own compile commands, one file a process, as many as there are processors."""
    folder = context.folder("clang")
    if not build(context, "clang", ["generated"], log):
        return Result(0, 1, ["clang's build cannot be configured"])
    with open(os.path.join(folder, "compile_commands.json"), encoding="utf-8") as file:
        known = {entry["file"] for entry in json.load(file)}
    sources = sorted(path for path in glob.glob("**/*.c", recursive=True)
                     if os.path.abspath(path) in known and not path.startswith("tests/"))
    result = Result()
    with concurrent.futures.ThreadPoolExecutor(int(JOBS)) as pool:
        argv = ["clang-tidy", "-quiet", "-p", folder]
        runs = {path: pool.submit(command.run, [*argv, path], log, 300) for path in sources}
        for path, future in runs.items():
            result.add(future.result()[0] == 0, f"clang-tidy: {path}")
    return result if sources else Result(0, 1, ["no source was checked"])


# ---- unit tests

def unit(kind, briefly=False):
    """briefly: without those that mostly wait, unless the long tests are wanted; another suite has them."""
    def run(context, log):
        if not build(context, kind, ["parley", "unit_tests"], log):
            return Result(0, 1, [f"the {kind} build failed"])
        code, text = command.run(["ctest", "--show-only=json-v1"], log, 60, cwd=context.folder(kind))
        tests = [t for t in json.loads(text)["tests"] if t["name"].startswith("unit/")] if code == 0 else []
        if briefly and not context.long:
            tests = [t for t in tests if _unit_timeout(t) <= UNIT_TIMEOUT_S]
        result = Result()
        # More at once than there are processors: the longest of them mostly wait for time to pass.
        with concurrent.futures.ThreadPoolExecutor(2 * int(JOBS)) as pool:
            runs = [(t["name"], pool.submit(_unit_program, t, log)) for t in tests]
            for name, future in runs:
                _add_check(result, name, *future.result())
        return result if tests else Result(0, 1, ["there are no unit tests: is Check installed?"])
    return run


UNIT_TIMEOUT_S = 60  # what tests/CMakeLists.txt gives a test that asks for nothing else


def _unit_timeout(test):
    return next((p["value"] for p in test.get("properties", []) if p["name"] == "TIMEOUT"), UNIT_TIMEOUT_S)


def _unit_program(test, log):
    return command.run(test["command"], log, _unit_timeout(test), env=SANITIZER_ENV)


def _add_check(result, name, code, text):
    """Check ends with `100%: Checks: 5, Failures: 0, Errors: 0`, once a suite runner."""
    lines = re.findall(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", text, re.M)
    checks = sum(int(line[0]) for line in lines)
    failed = sum(int(line[1]) + int(line[2]) for line in lines)
    if failed == 0 and (code != 0 or checks == 0):
        failed = 1
        result.failed += 1
    else:
        result.failed += failed
    result.passed += max(0, checks - failed)
    if failed:
        result.findings.append(f"{name}: {failed} failed (exit code {code})")


def javascript(context, log):
    files = sorted(glob.glob("client/**/*.test.js", recursive=True) + glob.glob("tests/**/*.test.js", recursive=True))
    if not files:
        return Result(0, 1, ["there are no *.test.js files"])
    code, text = command.run(["node", "--test", "--test-reporter=tap", *files], log, 180)
    counts = {word: int(number) for word, number in re.findall(r"^# (pass|fail|cancelled) (\d+)$", text, re.M)}
    failed = counts.get("fail", 0) + counts.get("cancelled", 0)
    passed = counts.get("pass", 0)
    if failed == 0 and (code != 0 or passed == 0):
        return Result(passed, 1, [f"node --test ended with exit code {code}"])
    return Result(passed, failed)


def model(context, log):
    """Needs nothing that is built here."""
    code, text = command.run(["python3", "tests/model/run"], log, 600)
    return summary(text, code)


# ---- whole programs

def script(path, kind, timeout_s, quick=(), options=(), targets=("parley",), env=()):
    """A suite of its own, told where the build is. quick: what it is told unless the long tests are wanted."""
    def run(context, log):
        if not os.path.exists(path):
            return Result(0, 1, [f"there is no {path}"])
        if not build(context, kind, targets, log):
            return Result(0, 1, [f"the {kind} build failed"])
        extra = [] if context.long else quick
        code, text = command.run(["python3", path, "--build", context.folder(kind), *options, *extra],
                                 log, timeout_s * (4 if context.long else 1),
                                 env={**SANITIZER_ENV, **dict(env)})
        return summary(text, code)
    return run


ALL = (
    Suite("lint", "check", lint, "layers, style, format, shipped configurations"),
    Suite("unit", "build", unit("plain", briefly=True), "unit tests, optimized"),
    Suite("product", "build", product, "hardening, generated documentation"),
    Suite("clang", "check", clang, "clang builds it without a warning"),
    Suite("tidy", "check", tidy, "clang-tidy"),
    Suite("asan", "build", unit("asan"), "unit tests under address and undefined-behaviour sanitizers"),
    Suite("js", "check", javascript, "the browser library's unit tests"),
    Suite("model", "check", model, "recovery and leases as models, every state"),
    Suite("e2e", "alone", script("tests/e2e/run", "asan", 400, quick=["--quick"], options=["--jobs", "3"]),
          "Redis, gateways and HAProxy, under the sanitizers"),
    Suite("smoke", "alone", script("tests/e2e/run", "plain", 200, quick=["--quick"], options=["--jobs", "3"],
                                   env={"PARLEY_SERVER_IO_URING": "no"}),
          "the same, optimized, and with a system call for each send"),
    Suite("chaos", "alone", script("tests/chaos/run", "plain", 300, options=["--selection", "ci"]),
          "faults under load, the short ones, and whether the checker sees planted faults"),
    Suite("instructions", "alone", script("tests/bench/instructions", "plain", 120),
          "instructions for a delivery, a chat and a join, against stored limits"),
    Suite("bench", "alone", script("tests/bench/run", "plain", 120, options=["quick"], targets=("parley", "floor")),
          "the benchmarks run: Parley and the floors, a minute"),
    Suite("browser", "alone", script("tests/browser/run", "plain", 200), "two pages in a real browser"),
)
