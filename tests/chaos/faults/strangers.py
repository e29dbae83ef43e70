# SPDX-License-Identifier: MIT
"""Something that is not Redis, where Redis should be."""

import itertools

from redisproxy import RedisProxy
from rows import row
from wait import until

HOLD_S = 3
# At the most: what is too long by its own word is refused before any of it is kept. A reply of each of two
# links may have 32 MB, as a page of history may need.
GROWTH_MB = 8
LONG_REPLY = "a list of long texts"
LONG_REPLY_MB = 80
TRIES_PER_S = 5  # of each of a gateway's two links, at most; it waits longer and longer
LOG_LINES_PER_S = 6  # one a try, and what the loss of the links means
CPU_SHARE = 0.5
PIECE = b"x" * 65536


def _endless(head, pieces=1024):
    """A promise of much, and then much: 64 MB unless the other side hangs up."""
    return lambda: itertools.chain([head], itertools.repeat(PIECE, pieces))


def _strangers(dice):
    return {
        "HTTP": [b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"],
        "noise": lambda: [dice.randbytes(4096)],
        "silence": [],
        "$2147483647": _endless(b"$2147483647\r\n"),
        "*2147483647": [b"*2147483647\r\n"],
        LONG_REPLY: lambda: itertools.chain([b"*100000\r\n"], itertools.repeat(b"$60000\r\n%b\r\n" % PIECE[:60000], 1100)),
        "no end of line": _endless(b"+"),
        "nested nine deep": [b"*1\r\n" * 9 + b"+OK\r\n"],
        "answers nobody asked for": lambda: itertools.repeat(b"+OK\r\n" * 1000, 1000),
    }


@row("F21", "not a Redis at that port: HTTP, noise, silence, lengths of 2 GB, endless lists and lines, deep "
            "nesting, answers that nobody asked for", settle_s=8, needs=("net",), load={"chats_per_s": 80})
def strangers(chaos):
    kinds = list(_strangers(chaos.random).items())
    chaos.random.shuffle(kinds)
    for name, greeting in kinds:
        _meet(chaos, chaos.pick_gateway(), name, greeting)
        chaos.hold(0.5)


def _meet(chaos, victim, name, greeting):
    """Links that are cut find the stranger where Redis was."""
    stranger = RedisProxy(chaos.redis.port)
    stranger.greeting = greeting
    rss, log, cpu = _most_rss(victim, anew=True), victim.log_size(), victim.cpu_seconds()
    address = chaos.arena.redis_address[victim.name]
    try:
        with chaos.fault("stranger", gateway=victim.name, what=name):
            chaos.net.add("-p", "tcp", "-d", address, "--dport", chaos.redis.port, "-j", "REDIRECT",
                          "--to-ports", stranger.port, table="nat")
            _cut_links(chaos, address)
            chaos.until(lambda: stranger.accepted > 0, 5, f"{name}: {victim.name} meets the stranger")
            chaos.until(lambda: victim.readyz() == 503, 5, f"{name}: /readyz says 503")
            chaos.hold(HOLD_S)
            seconds = chaos.since()
            grown = (_most_rss(victim) - rss) / 1024
            lines = victim.log(log).count(" event=redis_")
            busy = (victim.cpu_seconds() - cpu) / seconds
    finally:
        stranger.close()
    chaos.record.write("note", name=f"stranger {name}", cpu=busy, tries=stranger.accepted, grown_mb=grown,
                       sent_bytes=stranger.sent_bytes)
    chaos.measure("peak RSS above, MB", grown)
    chaos.measure("CPU, %", 100 * busy)
    chaos.measure("tries a second", stranger.accepted / seconds)
    most = LONG_REPLY_MB if name == LONG_REPLY else GROWTH_MB
    chaos.expect(grown < most, f"{name}: memory stays bounded (grew by {grown:.0f} MB)")
    chaos.expect(busy < CPU_SHARE, f"{name}: {busy:.0%} of a CPU")
    chaos.expect(stranger.accepted <= 2 * TRIES_PER_S * seconds,
                 f"{name}: {stranger.accepted} tries in {seconds:.1f} s")
    chaos.expect(lines <= LOG_LINES_PER_S * seconds, f"{name}: {lines} lines of log in {seconds:.1f} s")
    until(lambda: victim.readyz() == 200, 15, f"{name}: {victim.name} is ready again")
    chaos.measure("ready again after, s", chaos.since())


def _most_rss(process, anew=False):
    """The most it ever had, in kB; counted anew from here on."""
    if anew:
        with open(f"/proc/{process.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


def _cut_links(chaos, address):
    """The links of one gateway: those that came to its address of Redis."""
    for line in chaos.redis.call("CLIENT", "LIST").splitlines():
        fields = dict(part.split("=", 1) for part in line.split() if "=" in part)
        if fields["laddr"].startswith(f"{address}:"):
            chaos.redis.call("CLIENT", "KILL", "ID", fields["id"])
