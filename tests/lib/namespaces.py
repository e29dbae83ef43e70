# SPDX-License-Identifier: MIT
"""Networks and disks of a test's own, which nothing else on the machine sees. They want root.

    if not is_root(): print("skipped: ..."); return
    with Elsewhere() as there:                 # this process now lives in a network of its own
        there.popen_prefix                     # puts a command on the other side of a cable
        there.lose_requests(); there.lose_replies(); there.heal()

A cable is cut silently: each side is told a wrong hardware address of the other, so that what it sends
goes nowhere and nothing comes back that says so.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile

from process import die_with_parent
from wait import until

HERE, THERE = "10.77.0.1", "10.77.0.2"
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
_NOBODY = "02:00:00:00:00:99"
_libc = ctypes.CDLL(None, use_errno=True)


def is_root():
    return os.geteuid() == 0


def _unshare(flag):
    assert _libc.unshare(flag) == 0, os.strerror(ctypes.get_errno())


def _run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"


class Elsewhere:
    """Two networks with a cable between: this process's own, and one that popen_prefix leads to."""

    def __enter__(self):
        _unshare(CLONE_NEWNET)
        self._holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"],
                                        preexec_fn=die_with_parent)
        own = os.readlink("/proc/self/ns/net")
        until(lambda: os.readlink(f"/proc/{self._holder.pid}/ns/net") != own, what="a second network")
        self.popen_prefix = ("nsenter", "-t", str(self._holder.pid), "-n")
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "here0", "type", "veth", "peer", "name", "there0",
             "netns", str(self._holder.pid))
        self._up((), "here0", HERE)
        self._up(self.popen_prefix, "there0", THERE)
        return self

    def __exit__(self, *exc):
        self._holder.send_signal(signal.SIGKILL)
        self._holder.wait()

    @staticmethod
    def _up(prefix, device, address):
        _run(*prefix, "ip", "link", "set", "lo", "up")
        _run(*prefix, "ip", "addr", "add", f"{address}/24", "dev", device)
        _run(*prefix, "ip", "link", "set", device, "up")

    def lose_requests(self):
        _run("ip", "neigh", "replace", THERE, "lladdr", _NOBODY, "dev", "here0", "nud", "permanent")

    def lose_replies(self):
        _run(*self.popen_prefix, "ip", "neigh", "replace", HERE, "lladdr", _NOBODY, "dev", "there0",
             "nud", "permanent")

    def heal(self):
        for prefix, address, device in (((), THERE, "here0"), (self.popen_prefix, HERE, "there0")):
            subprocess.run([*prefix, "ip", "neigh", "del", address, "dev", device], check=False,
                           capture_output=True)


@contextlib.contextmanager
def small_disk(size):
    """An empty disk of that size, which only this process and its children see; its path."""
    _unshare(CLONE_NEWNS)
    _run("mount", "--make-rprivate", "/")
    with tempfile.TemporaryDirectory(prefix="parley-test-") as path:
        _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path)
        try:
            yield path
        finally:
            _run("umount", "-l", path)
