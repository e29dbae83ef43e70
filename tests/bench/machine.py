# SPDX-License-Identifier: MIT
"""What machine and which versions a table of figures was made on."""

import datetime
import os
import platform
import re
import shutil
import subprocess

import systems


def _first_line(argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return None
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else None


def _grep(path, pattern):
    try:
        with open(path, encoding="utf-8") as file:
            found = re.search(pattern, file.read(), re.M)
    except OSError:
        return None
    return found.group(1).strip() if found else None


def _python_packages():
    code = ("import importlib.metadata as m\n"
            "for p in ('fastapi', 'uvicorn', 'websockets', 'uvloop', 'redis', 'hiredis'):\n"
            "    try: print(p, m.version(p), end=', ')\n"
            "    except m.PackageNotFoundError: pass")
    text = _first_line([systems.PYTHON, "-c", code])
    return text and text.rstrip(", ")


def _node_packages(build):
    found = []
    for name in ("ws", "socket.io", "@socket.io/redis-adapter", "redis"):
        path = os.path.join(build, "bench", "peers", "node_modules", name, "package.json")
        version = _grep(path, r'^\s*"version":\s*"([^"]+)"')
        if version:
            found.append(f"{name} {version}")
    return ", ".join(found) or None


def _nginx():
    nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    return nginx and _first_line([nginx, "-v"])


def commit():
    """The revision, marked when the tree differs from it."""
    try:
        done = subprocess.run(["git", "-C", systems.ROOT, "describe", "--always", "--dirty", "--abbrev=12"],
                              capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return "not from a checkout"
    return done.stdout.strip() if done.returncode == 0 else "not from a checkout"


def description(build, command):
    """(what, how) lines, those that are known."""
    memory = _grep("/proc/meminfo", r"^MemTotal:\s+(\d+) kB")
    processor = _grep("/proc/cpuinfo", r"^model name\s*:\s*(.+)$")
    server, generator, redis = systems.processors()
    rows = (
        ("command", f"`{command}`"),
        ("date", datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")),
        ("commit", commit()),
        ("processor", f"{processor or platform.machine()}, {os.cpu_count()} logical"),
        ("memory", memory and f"{int(memory) / 2**20:.0f} GiB"),
        ("kernel", platform.release()),
        ("system", _grep("/etc/os-release", r'^PRETTY_NAME="?([^"\n]+)')),
        ("placement", f"servers on processor {server}, the generator on {generator}, Redis on {redis}"
         if server is not None else "everything on the only processor"),
        ("compiler", _first_line(["cc", "--version"])),
        ("Redis", _first_line(["redis-server", "--version"])),
        ("Node", _first_line(["node", "--version"])),
        ("npm packages", _node_packages(build)),
        ("Python packages", _python_packages()),
        ("nginx", _nginx()),
    )
    return [(what, how) for what, how in rows if how]
