# SPDX-License-Identifier: MIT
"""A bad line: a TCP proxy that can be spoilt and mended while connections stand.

    line = Proxy(("127.0.0.1", redis_port), seed=7)
    line.slow(20, 5)            # each way takes 20 ms, give or take 5; the order stays
    line.chop = True            # single bytes
    line.narrow(20_000)         # so many bytes a second, each way of each connection
    line.hold("up")             # what the caller says is taken, and does not arrive; "down": the answers
    line.hold()                 # both: each side believes in a connection that carries nothing
    line.reset(); line.cut()    # every connection ends with RST, or with FIN
    line.mend()                 # what was held arrives now, late but whole

A line never alters what it carries. While it holds, the end of one side is held as well: the other side
is not told. All choices come from the seed.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading

from ports import lease_port

WAYS = ("up", "down")
READ_BYTES = 65536
# Of one read at most so many bytes travel alone, at a place that the seed picks: every boundary is met
# over time, and a busy line still costs less than a core.
CHOP_BYTES = 64
NARROW_PER_S = 20  # pieces in which a narrow line writes
# What a held line takes before it stops to read.
HELD_CHUNKS = 1024
END, BROKEN = "end", "broken"


class Proxy:
    """Listens on a port of its own until close(). target: (host, port)."""

    def __init__(self, target, seed=0):
        self._lease = lease_port()
        self.port = self._lease.port
        self.target = target
        self.accepted = 0
        self.chop = False
        self._delay_s, self._jitter_s = 0.0, 0.0
        self._bytes_per_s = None
        self._random = random.Random(f"line {seed}")
        self._lines, self._tasks = set(), set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._listen())

    @property
    def connections(self):
        return len(self._lines)

    def slow(self, delay_ms, jitter_ms=0):
        self._delay_s, self._jitter_s = delay_ms / 1000, jitter_ms / 1000

    def narrow(self, bytes_per_s):
        """None: as wide as it goes."""
        self._bytes_per_s = bytes_per_s

    def hold(self, *ways):
        """Connections made from now on are held, too."""
        self._gate(ways or WAYS, False)

    def mend(self):
        self.chop = False
        self.slow(0)
        self.narrow(None)
        self._gate(WAYS, True)

    def reset(self):
        self._call(self._end_all(True))

    def cut(self):
        self._call(self._end_all(False))

    def close(self):
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
        self._lease.close()

    # In the loop.

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _gate(self, ways, opened):
        async def turn():
            for way in ways:
                (self._open[way].set if opened else self._open[way].clear)()
        self._call(turn())

    async def _listen(self):
        self._open = {way: asyncio.Event() for way in WAYS}
        for event in self._open.values():
            event.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=1024)

    async def _stop(self):
        self._server.close()
        await self._end_all(True)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _end_all(self, broken):
        for line in list(self._lines):
            for writer in line:
                _end(writer, broken)

    def _accept(self, reader, writer):
        self.accepted += 1
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader, writer):
        try:
            there = await asyncio.open_connection(*self.target)
        except OSError:
            _end(writer, True)
            return
        line = (writer, there[1])
        for end in line:
            end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines.add(line)
        try:
            await asyncio.gather(self._carry("up", reader, there[1]), self._carry("down", there[0], writer))
        finally:
            self._lines.discard(line)
            for end in line:
                end.close()

    async def _carry(self, way, reader, writer):
        """One direction, from the first byte to its end."""
        chunks = asyncio.Queue(HELD_CHUNKS)
        reading = self._loop.create_task(self._read(reader, chunks))
        try:
            while True:
                due, data = await chunks.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                await self._open[way].wait()
                if data in (END, BROKEN):
                    _end(writer, data is BROKEN)
                    return
                with contextlib.suppress(ConnectionError):  # the other direction ends itself
                    await self._write(writer, data)
        finally:
            reading.cancel()

    async def _read(self, reader, chunks):
        due = 0.0
        while True:
            try:
                data = await reader.read(READ_BYTES) or END
            except ConnectionError:
                data = BROKEN
            delay = self._delay_s + self._random.uniform(-self._jitter_s, self._jitter_s)
            due = max(due, self._loop.time() + delay)
            await chunks.put((due, data))
            if data in (END, BROKEN):
                return

    async def _write(self, writer, data):
        for piece in self._pieces(data):
            writer.write(piece)
            await writer.drain()
            if self._bytes_per_s:
                await asyncio.sleep(len(piece) / self._bytes_per_s)

    def _pieces(self, data):
        """What is written at a time; asked anew for each, since the line may be mended in between."""
        first = self._random.randrange(max(1, len(data) - CHOP_BYTES + 1)) if self.chop else 0
        last = min(first + CHOP_BYTES, len(data)) if self.chop else 0
        at = 0
        while at < len(data):
            end = first if at < first else at + 1 if at < last else len(data)
            if self._bytes_per_s:
                end = min(end, at + max(1, self._bytes_per_s // NARROW_PER_S))
            yield data[at:end]
            at = end


def _end(writer, broken):
    """With FIN after what was written, or with RST."""
    if not broken:
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()
        return
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
