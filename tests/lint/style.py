#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What clang-format and clang-tidy do not see: forbidden calls, left-overs, licence lines, unregistered tests."""
import ast
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LINE_MAX = 100

CODE = (".c", ".h", ".lua", ".js", ".css", ".html", ".py", ".sh", ".cmake")
LICENSED = (".c", ".h", ".lua", ".js", ".py", ".sh", ".cmake")

# suffixes, pattern, what to say. Text and numbers are handled with lengths and errors seen (common/base.h).
PATTERNS = (
    ((".c", ".h"), r"\b(strcpy|strcat|strncpy|strncat|sprintf|vsprintf|gets|strtok|atoi|atol|atof)\s*\(",
     "a call that ignores lengths or errors"),
    (CODE, r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b", "unfinished work"),
    ((".js",), r"\.(innerHTML|outerHTML)\s*=|insertAdjacentHTML|document\.write|\beval\s*\(",
     "text that would be parsed as markup or code"),
)
# Where packages come from is the machine's business; a host in a file goes stale, and names one supplier.
REGISTRIES = re.compile(
    r"(deb|security|archive|ftp|snapshot)\.(debian|ubuntu)\.|\bnpm" r"js\.|\bpy" r"pi\.org|pythonho" r"sted\.|"
    r"crates" r"\.io|proxy\.go" r"lang|docker" r"\.io|\bghcr" r"\.io|\bquay" r"\.io")


def files(kind):
    out = subprocess.run([os.path.join(ROOT, "tests/lint/files.sh"), kind], check=True, capture_output=True, text=True)
    return out.stdout.split("\n")[:-1]


def check_text(path, text, findings):
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        for suffixes, pattern, reason in PATTERNS:
            if path.endswith(suffixes) and re.search(pattern, line):
                findings.append(f"{where}: {reason}: {line.strip()}")
        if REGISTRIES.search(line):
            findings.append(f"{where}: names a package registry's host")
        if path.endswith((".c", ".h", ".lua")) and len(line) > LINE_MAX:
            findings.append(f"{where}: {len(line)} columns, {LINE_MAX} are allowed")
    if path.endswith(LICENSED) and not any("SPDX-License-Identifier: MIT" in line for line in lines[:2]):
        findings.append(f"{path}:1: no SPDX-License-Identifier line")
    if text and not text.endswith("\n"):
        findings.append(f"{path}: no newline at the end")


def check_python(findings):
    for path in files("python"):
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            try:
                ast.parse(file.read(), path)
            except SyntaxError as error:
                findings.append(f"{path}:{error.lineno}: {error.msg}")


def check_shell(findings):
    for path in files("shell"):
        result = subprocess.run(["sh", "-n", os.path.join(ROOT, path)], capture_output=True, text=True)
        if result.returncode != 0:
            findings.append(f"{path}: {result.stderr.strip()}")


def check_unit_tests(findings):
    """A test that nobody runs, and a registered test without a source, are both defects."""
    with open(os.path.join(ROOT, "tests/CMakeLists.txt"), encoding="utf-8") as file:
        registered = set(re.findall(r"^unit_test\(\s*NAME\s+(\w+)", file.read(), re.M))
    present = {m.group(1) for path in files("c") if (m := re.fullmatch(r"tests/unit/test_(\w+)\.c", path))}
    findings += [f"tests/unit/test_{name}.c: not in tests/CMakeLists.txt" for name in sorted(present - registered)]
    findings += [f"tests/CMakeLists.txt: {name} has no source" for name in sorted(registered - present)]


def main():
    findings = []
    for path in files("all"):
        with open(os.path.join(ROOT, path), "rb") as file:
            data = file.read()
        try:
            check_text(path, data.decode(), findings)
        except UnicodeDecodeError:
            if path.endswith(CODE):
                findings.append(f"{path}: is not UTF-8")
    check_python(findings)
    check_shell(findings)
    check_unit_tests(findings)
    print("\n".join(findings) or "style: ok")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
