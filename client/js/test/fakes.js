// SPDX-License-Identifier: MIT
/** A world made of values: time that moves when told, sockets whose other side is the test. */
import { Parley } from '../parley.js';

export class FakeClock {
  #now = 1_700_000_000_000;
  #next = 1;
  #timers = new Map();

  now = () => this.#now;

  setTimeout = (fn, ms) => {
    const id = this.#next;
    this.#next += 1;
    this.#timers.set(id, { fn, at: this.#now + Math.max(0, ms) });
    return id;
  };

  clearTimeout = (id) => { this.#timers.delete(id); };

  /** Timers run in order of time, and promises settle after each, as in a browser. */
  async advance(ms) {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= end)
        .sort(([a, x], [b, y]) => x.at - y.at || a - b)[0];
      if (!due) {
        break;
      }
      this.#timers.delete(due[0]);
      this.#now = Math.max(this.#now, due[1].at);
      due[1].fn();
      await settle();
    }
    this.#now = end;
  }

  /** The machine sleeps: time passes and no timer runs; the next advance() finds them late. */
  sleep(ms) {
    this.#now += ms;
  }

  get timers() {
    return this.#timers.size;
  }
}

/** Lets every promise that can settle do so. */
export async function settle() {
  for (let i = 0; i < 20; i += 1) {
    await Promise.resolve();
  }
}

export class FakePage {
  shown = true;
  connected = true;
  #listeners = new Set();
  visible = () => this.shown;
  online = () => this.connected;

  listen = (listener) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  tell(event) {
    this.shown = { visible: true, hidden: false }[event] ?? this.shown;
    this.connected = { online: true, offline: false }[event] ?? this.connected;
    this.#listeners.forEach((listener) => listener(event));
  }

  get listeners() {
    return this.#listeners.size;
  }
}

/** @returns a WebSocket class and the list of all sockets that were made with it */
export function fakeSockets() {
  const sockets = [];
  class FakeWebSocket {
    sent = [];
    closed = null;

    constructor(url, protocols) {
      this.url = url;
      this.protocols = protocols;
      sockets.push(this);
    }

    send(text) {
      if (this.broken) {
        throw new Error('not open');
      }
      this.sent.push(JSON.parse(text));
    }

    close(code, reason) {
      if (code !== undefined && code !== 1000 && (code < 3000 || code > 4999)) {
        throw new RangeError('a browser refuses this code');
      }
      this.closed = { code, reason };
    }

    open() {
      this.onopen({});
    }

    /** The gateway says something. */
    say(message) {
      this.onmessage({ data: typeof message === 'string' ? message : JSON.stringify(message) });
    }

    drop(code = 1006, reason = '') {
      this.onclose({ code, reason });
    }

    /** What the client sent of this type, oldest first. */
    of(type) {
      return this.sent.filter((message) => message.type === type);
    }

    last(type) {
      return this.of(type).at(-1);
    }

    /** Answers the newest request of this type. */
    answer(type, reply) {
      this.say({ id: this.last(type).id, ...reply });
    }

    welcome(room, data = {}) {
      const join = this.of('join').filter((message) => message.data.room === room).at(-1);
      this.say({ type: 'welcome', id: join.id, data: { room, user: join.data.user, online: 1,
        epoch: 'e1', offset: 0, recovered: false, heartbeat: 25, connection: 'c1',
        gateway: 'gw-1', ...data } });
    }

    people(room, list, more = {}) {
      const online = list.reduce((sum, [, connections]) => sum + connections, 0);
      this.answer('presence', { type: 'presence', data: { room, online,
        members: list.map(([user, connections]) => ({ user, connections })), ...more } });
    }
  }
  return { WebSocket: FakeWebSocket, sockets };
}

/** @returns a fetch and the list of all requests that were made with it; the test answers them */
export function fakeFetch() {
  const requests = [];
  const fetch = (url, init) => new Promise((resolve, reject) => {
    requests.push({
      url,
      init,
      answer: (status, fields = {}) => resolve({ status, headers: new Headers(fields) }),
      fail: () => reject(new TypeError('Failed to fetch')),
    });
    init.signal.addEventListener('abort', () => reject(init.signal.reason));
  });
  return { fetch, requests };
}

export class FakeStorage {
  items = new Map();
  getItem = (key) => this.items.get(key) ?? null;
  setItem = (key, value) => { this.items.set(key, value); };
  removeItem = (key) => { this.items.delete(key); };
}

/**
 * A client in its world. `random` is 0.5 unless told, so that delays can be written down.
 * `events(name)` gives what was emitted so far.
 */
export function world(options = {}) {
  const clock = options.clock ?? new FakeClock();
  const page = new FakePage();
  const { WebSocket, sockets } = fakeSockets();
  const random = options.random ?? (() => 0.5);
  const client = new Parley('ws://host/ws', {
    user: 'alice', clock, page, WebSocket, random, fetch: false, ...options,
  });
  const log = [];
  for (const name of ['state', 'welcome', 'direct', 'delivery', 'queue', 'latency', 'bye',
    'error']) {
    client.on(name, (value) => log.push([name, value]));
  }
  return {
    client,
    clock,
    page,
    sockets,
    get socket() {
      return sockets.at(-1);
    },
    events: (name) => log.filter(([n]) => n === name).map(([, value]) => value),
    /** Connected, and in this room. */
    async inRoom(name = 'general', data = {}) {
      client.connect();
      const room = client.room(name);
      room.join();
      sockets.at(-1).open();
      await settle();
      sockets.at(-1).welcome(name, data);
      await settle();
      return room;
    },
  };
}
