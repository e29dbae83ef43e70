# SPDX-License-Identifier: MIT
"""`make dev`: builds anew when a source changes, then restarts the gateways one after another."""
import os
import subprocess

from parts import ROOT

FOLDERS = ("common", "gateway", "client")
BUILT = (".c", ".h", ".lua", ".txt")
SERVED = (".js", ".html", ".css", ".svg", ".png", ".json", ".ico", ".webmanifest")


def snapshot():
    """path -> time of change, of everything that a running gateway is made of, or serves."""
    times = {}
    for folder in FOLDERS:
        for parent, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in names:
                if name.endswith(BUILT + SERVED):
                    path = os.path.join(parent, name)
                    try:
                        times[path] = os.stat(path).st_mtime_ns
                    except FileNotFoundError:
                        pass  # an editor's temporary file
    return times


class Watcher:
    def __init__(self, build):
        self._build = build
        self._seen = snapshot()

    def changed(self):
        """The first changed file's name, or None. Each change is told once."""
        now = snapshot()
        paths = {path for path in now.keys() | self._seen.keys() if now.get(path) != self._seen.get(path)}
        self._seen = now
        return os.path.relpath(min(paths), ROOT) if paths else None

    def rebuild(self):
        """True, or the compiler's words."""
        result = subprocess.run(["cmake", "--build", self._build, "--target", "parley", "-j", str(os.cpu_count() or 2)],
                                cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return True if result.returncode == 0 else result.stdout + result.stderr
