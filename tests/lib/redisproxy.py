# SPDX-License-Identifier: MIT
"""A man in the middle between gateways and their Redis, who says what a test wants Redis to say.

    proxy.answer("FCALL", b"-OOM command not allowed\r\n")     # instead of asking Redis
    proxy.late("FCALL", 3.0)                                   # Redis is asked; its answer waits
    proxy.swallow("SUBSCRIBE")     # from there on nothing is asked nor answered on that connection
    proxy.deaf = True                                          # what Redis says is lost on the way
    proxy.greeting = [b"HTTP/1.1 400 Bad Request\r\n\r\n"]     # a stranger: Redis is not even called
    proxy.clear()

Commands of a connection are passed on one by one, so that an answer of ours never takes the place of
another. Once a connection subscribes, its bytes are only passed on.
"""

import select
import socket
import threading
import time

import resp
from ports import lease_port


class _Rule:
    def __init__(self, word, reply=None, ask=False, wait_s=0.0, once=False):
        self.word = word.upper()
        self.reply = reply
        self.ask = ask
        self.wait_s = wait_s
        self.once = once

    def fits(self, words):
        """A rule for "*" fits all, one for "FCALL parley1_read" that function only."""
        said = " ".join(words[:2]).upper()
        return self.word == "*" or said == self.word or words[0].upper() == self.word


class RedisProxy:
    """Listens on a port of its own until close()."""

    def __init__(self, redis_port):
        self._lease = lease_port()
        self.port = self._lease.port
        self.url = f"redis://127.0.0.1:{self.port}"
        self.redis_port = redis_port
        self.accepted = 0
        self.sent_bytes = 0  # of greetings
        self._open = []
        self._lock = threading.Lock()
        self.clear()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    def clear(self):
        """Redis itself answers again, on connections made from now on also those that met strangers."""
        self.rules = []
        self.deaf = False
        self.greeting = None  # an iterable of pieces, or a function that makes one

    def answer(self, word, reply):
        self.rules = self.rules + [_Rule(word, reply)]

    def late(self, word, wait_s, once=False):
        self.rules = self.rules + [_Rule(word, ask=True, wait_s=wait_s, once=once)]

    def swallow(self, word):
        self.rules = self.rules + [_Rule(word)]

    def cut(self):
        """Closes every connection that there is."""
        with self._lock:
            sockets, self._open = self._open, []
        for sock in sockets:
            _shut(sock)

    def close(self):
        _shut(self._listener)
        self._listener.close()
        self.cut()
        self._lease.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            with self._lock:
                self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        upstream = None
        try:
            if self.greeting is not None:
                self._greet(client)
                return
            upstream = socket.create_connection(("127.0.0.1", self.redis_port), timeout=10)
            self._relay(client, upstream)
        except (OSError, ValueError):
            pass  # one of the two has gone
        finally:
            for sock in (client, upstream):
                if sock is not None:
                    _shut(sock)
                    sock.close()

    def _greet(self, client):
        pieces = self.greeting() if callable(self.greeting) else self.greeting
        for piece in pieces:
            client.sendall(piece)
            self.sent_bytes += len(piece)
        client.settimeout(30)
        while client.recv(65536):
            pass

    def _relay(self, client, upstream):
        asked, said = bytearray(), bytearray()
        while True:
            raw, words = _take(client, asked)
            if raw is None:
                return
            rule = next((r for r in self.rules if r.fits(words)), None)
            if rule is not None and rule.once:
                self.rules = [r for r in self.rules if r is not rule]
            if rule is not None and rule.reply is not None:
                client.sendall(rule.reply)
                continue
            if rule is not None and not rule.ask:
                # An answer to what comes after would be taken for the answer to this one.
                while client.recv(65536):
                    pass
                return
            upstream.sendall(raw)
            if words[0].upper() == "SUBSCRIBE":
                self._pass_on(client, upstream)
                return
            reply, _ = _take(upstream, said)
            if reply is None:
                return
            if rule is not None:
                time.sleep(rule.wait_s)
            if not self.deaf:
                client.sendall(reply)

    def _pass_on(self, client, upstream):
        while True:
            ready, _, _ = select.select([client, upstream], [], [])
            for sock in ready:
                data = sock.recv(65536)
                if not data:
                    return
                if sock is upstream and not self.deaf:
                    client.sendall(data)
                elif sock is client and not any(r.fits(["SUBSCRIBE"]) for r in self.rules):
                    upstream.sendall(data)


def _shut(sock):
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _take(sock, buf):
    """The next whole message: its bytes, and what it says. (None, None) at the end."""
    while True:
        try:
            value, end = resp.parse(buf, 0)
            raw = bytes(buf[:end])
            del buf[:end]
            return raw, value
        except resp.Incomplete:
            sock.settimeout(None)
            data = sock.recv(65536)
            if not data:
                return None, None
            buf += data
