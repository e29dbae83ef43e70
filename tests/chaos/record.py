# SPDX-License-Identifier: MIT
"""The record of a run: one JSON object a line, in the order of time. README.md lists the kinds."""

import hashlib
import json
import threading
import time


def text_hash(text):
    """Stands for a text in the record."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Record:
    """Written by the load's loop and by the thread that injects faults; the lock keeps the order."""

    def __init__(self, path):
        self.path = path
        self._file = open(path, "w", encoding="utf-8", buffering=1 << 16)
        self._lock = threading.Lock()

    def write(self, kind, client=None, **members):
        line = {"c": client, "k": kind, **members} if client else {"k": kind, **members}
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
        with self._lock:
            if not self._file.closed:
                self._file.write(f'{{"t":{time.monotonic_ns()},{text[1:]}\n')

    def close(self):
        with self._lock:
            self._file.close()
