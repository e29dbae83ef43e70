# SPDX-License-Identifier: MIT
"""Several clients at once, and names that no other test uses."""

import contextlib
import itertools

from ws import Client

_numbers = itertools.count(1)


def fresh(word):
    """A name that no other test of this process has: 'room-7'."""
    return f"{word}-{next(_numbers)}"


@contextlib.contextmanager
def party(ports, room, *users, **options):
    """One client for each user, all joined to the room; the first one on the first port, and so on.
    Everybody has seen everybody when the block is entered."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(ports[i % len(ports)], **options))
                   for i in range(len(users))]
        for client, user in zip(clients, users):
            client.join(room, user)
        for client in clients:
            client.wait_online(room, len(users))
        yield clients


@contextlib.contextmanager
def connections(ports, count, **options):
    """Clients that have joined nothing yet."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Client(ports[i % len(ports)], **options)) for i in range(count)]
