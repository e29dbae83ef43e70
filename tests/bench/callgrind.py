# SPDX-License-Identifier: MIT
"""Counts the instructions of a running program, with valgrind's callgrind.

Instructions do not wobble as times do: the same work costs the same, whatever else the machine does.
Only user space is counted. What the kernel does shows as the number of calls into it.
"""

import os
import re
import subprocess

from wait import until

# Names in the profile, and what they are called here.
SYSTEM_CALLS = ("send", "sendmsg", "write", "writev", "read", "recv", "recvmsg", "epoll_wait",
                "epoll_ctl", "accept4", "close", "setsockopt", "poll")
ALLOCATIONS = ("malloc", "calloc", "realloc")
COPIES = ("memcpy", "memmove", "__memcpy_avx_unaligned_erms", "__memmove_avx_unaligned_erms",
          "__memcpy_sse2_unaligned_erms", "__memmove_sse2_unaligned_erms")


class Profile:
    """What ran between two dumps. self_cost, inclusive and calls: by function name."""

    def __init__(self, path):
        self.total = 0
        self.self_cost = {}
        self.inclusive = {}
        self.calls = {}
        self._names = {}
        self._libraries = {}
        with open(path, encoding="utf-8", errors="replace") as file:
            self._parse(file)
        for name, cost in self.self_cost.items():
            self.inclusive[name] = self.inclusive.get(name, 0) + cost

    def _name(self, text, library):
        """`(12) name` defines a name, `(12)` repeats it. One without a symbol gets its library's name."""
        number, _, name = text.partition(" ")
        if name.startswith("0x"):
            name = f"{library}:{name.lstrip('0x')}"
        if name:
            self._names[number] = name.split("'")[0].split("@")[0]
        return self._names[number]

    def _library(self, text):
        number, _, path = text.partition(" ")
        if path:
            self._libraries[number] = os.path.basename(path)
        return self._libraries[number]

    def _parse(self, file):
        function = callee = library = called = None
        for line in file:
            line = line.rstrip("\n")
            key, _, value = line.partition("=")
            if key == "ob":
                library = called = self._library(value)
            elif key == "cob":
                called = self._library(value)
            elif key == "fn":
                function = self._name(value, library)
            elif key == "cfn":
                callee = self._name(value, called)
                called = library
            elif key == "calls":
                count = int(value.split()[0])
                self.calls[callee] = self.calls.get(callee, 0) + count
                cost = int(next(file).split()[1])
                if callee != function:
                    self.inclusive[function] = self.inclusive.get(function, 0) + cost
            elif line.startswith("totals:"):
                self.total = int(line.split()[1])
            elif function and re.match(r"[+\-*\d]", line):
                cost = int(line.split()[1])
                self.self_cost[function] = self.self_cost.get(function, 0) + cost

    def count(self, names):
        return sum(self.calls.get(name, 0) for name in names)

    def top(self, number):
        return sorted(self.self_cost.items(), key=lambda item: -item[1])[:number]


def command(folder, argv):
    """The command line that runs a program under callgrind."""
    return ["valgrind", "--tool=callgrind", "-q",
            f"--callgrind-out-file={os.path.join(folder, 'profile')}", *argv]


class Counter:
    """Takes the profiles of one running process, from one call of lap() to the next."""

    def __init__(self, folder, pid):
        self._folder = folder
        self._pid = pid
        self._taken = 0

    def lap(self):
        subprocess.run(["callgrind_control", "-d", str(self._pid)], check=True, timeout=30,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._taken += 1
        path = os.path.join(self._folder, f"profile.{self._taken}")
        until(lambda: _complete(path), 30, f"callgrind has written {path}")
        return Profile(path)


def _complete(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return "\ntotals:" in file.read()
    except FileNotFoundError:
        return False
