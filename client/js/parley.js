// SPDX-License-Identifier: MIT
/**
 * Parley's client: one connection, several rooms, messages that arrive once. See README.md for a
 * tour and parley.d.ts for the types. No dependency, no DOM; runs in browsers, and in Node with a
 * WebSocket (its own from version 22, or one given in the options).
 */
import { Connection, stateError } from './connection.js';
import { Emitter } from './emitter.js';
import { browserPage, freshKey, steadyPage, systemClock } from './environment.js';
import { ParleyError } from './errors.js';
import { readFrame } from './frame.js';
import { Queue } from './queue.js';
import { Requests } from './requests.js';
import { Room } from './room.js';
import { Sender } from './sender.js';

export { fullJitter } from './backoff.js';
export { ParleyError } from './errors.js';
export { browserPage } from './environment.js';

const DEFAULTS = {
  minDelayMs: 500,
  maxDelayMs: 20_000,
  maxRetries: Infinity,
  connectTimeoutMs: 10_000,
  ackTimeoutMs: 10_000,
  maxPingDelayMs: 10_000,
  latencyIntervalMs: 0,
};
/** An unsent message is given up after 4 minutes: the gateway remembers its key for 5, and a resend
 * after that could be said twice. */
const QUEUE_DEFAULTS = { messages: 100, bytes: 65_536, maxAgeMs: 240_000 };
const NO_QUEUE = { messages: Infinity, bytes: Infinity, maxAgeMs: QUEUE_DEFAULTS.maxAgeMs };

export class Parley {
  #user;
  #options;
  #clock;
  #events;
  #connection;
  #requests;
  #queue;
  #sender;
  /** @type {Map<string, Room>} */
  #rooms = new Map();
  /** @type {Map<string, import('./room.js').RoomHandlers>} */
  #handlers = new Map();
  #connectionId = null;
  #gateway = null;
  #latencyMs = null;
  #latencyTimer;
  #lastState = { state: 'idle' };
  #onEvent;

  /**
   * @param {string | URL | (() => string | Promise<string>)} url
   * @param {import('./parley.d.ts').Options} options
   */
  constructor(url, options) {
    const { user, queue = {}, logger = () => {}, random = Math.random } = options;
    if (typeof user !== 'string' || user === '') {
      throw new ParleyError('bad_argument', 'a user name is needed');
    }
    this.#user = user;
    this.#options = { ...DEFAULTS, ...withoutUndefined(options), random };
    this.#clock = options.clock ?? systemClock;
    this.#events = new Emitter((event, problem) => {
      logger('error', `a listener of "${event}" failed`, problem);
    });
    this.#requests = new Requests(this.#clock);
    this.#queue = new Queue(queue === false ? NO_QUEUE : { ...QUEUE_DEFAULTS, ...queue }, {
      storage: options.storage, storageKey: options.storageKey, owner: user,
    });
    this.#sender = new Sender(this.#queue, this.#clock, {
      ask: (type, data) => this.#ask(type, data),
      canSend: ({ kind, to }) => (kind === 'chat'
        ? this.#rooms.get(to)?.state === 'joined' : this.#connectionId !== null),
      onNotJoined: (room) => this.#handlers.get(room)?.notJoined(),
      onDelivery: (delivery) => this.#onDelivery(delivery),
    });
    this.#connection = this.#newConnection(url, options.page ?? this.#defaultPage());
    this.#onEvent = this.#eventTable();
  }

  get user() {
    return this.#user;
  }

  get state() {
    return this.#connection.state;
  }

  get connectionId() {
    return this.#connectionId;
  }

  get gateway() {
    return this.#gateway;
  }

  get latencyMs() {
    return this.#latencyMs;
  }

  /** How many messages wait for their ack. */
  get pending() {
    return this.#queue.size;
  }

  /** What waits, oldest first, with what a refresh of the page brought over. */
  get unsent() {
    return this.#queue.list().map(({ key, kind, to, text, at }) => ({ key, kind, to, text, at }));
  }

  /** @returns {ReadonlyMap<string, Room>} */
  get rooms() {
    return this.#rooms;
  }

  /** @returns {Promise<void>} resolves when the connection is open */
  connect() {
    this.#connection.connect();
    return this.ready();
  }

  /** Now, with the count of tries begun anew. */
  reconnect() {
    this.#connection.reconnect();
  }

  close(code = 1000, reason = '') {
    this.#connection.close(code, reason);
    this.#sender.stop();
    this.#handlers.forEach((room) => room.closed());
  }

  /**
   * @param {number} [timeoutMs]
   * @returns {Promise<void>} resolves when open; rejects when failed, closed, or too late
   */
  ready(timeoutMs) {
    const promise = new Promise((resolve, reject) => {
      let timer;
      let off = () => {};
      const look = (event) => {
        const done = { open: resolve, failed: reject, closed: reject }[event.state];
        if (done) {
          this.#clock.clearTimeout(timer);
          off();
          done(done === resolve ? undefined : stateError(event));
        }
        return Boolean(done);
      };
      if (look(this.#lastState)) {
        return;
      }
      off = this.on('state', look);
      if (timeoutMs !== undefined) {
        timer = this.#clock.setTimeout(() => {
          off();
          reject(new ParleyError('timeout', `not connected after ${timeoutMs} ms`));
        }, timeoutMs);
      }
    });
    promise.catch(() => {});
    return promise;
  }

  /** The one object for this room; joining is a call of its own. @param {string} name */
  room(name) {
    if (typeof name !== 'string' || name === '') {
      throw new ParleyError('bad_argument', 'a room has a name');
    }
    const known = this.#rooms.get(name);
    if (known) {
      return known;
    }
    const room = new Room(name, this.#roomLink(name));
    this.#rooms.set(name, room);
    return room;
  }

  /** A direct message: to every connection of one user, wherever it is. Not kept, at most once. */
  send(user, text, options = {}) {
    return this.#submit('direct', user, text, options);
  }

  /** @returns {Promise<number>} the round trip in milliseconds */
  async ping() {
    const sentAt = this.#clock.now();
    await this.#ask('ping');
    this.#latencyMs = Math.max(0, this.#clock.now() - sentAt);
    this.#events.emit('latency', { rttMs: this.#latencyMs });
    return this.#latencyMs;
  }

  /** Events: state, welcome, direct, delivery, queue, latency, bye, error, frames. */
  on(event, listener, options) {
    return this.#events.on(event, listener, options);
  }

  #defaultPage() {
    const inPage = typeof globalThis.document === 'object' && globalThis.document !== null;
    return this.#options.pageEvents !== false && inPage ? browserPage() : steadyPage;
  }

  #newConnection(url, page) {
    const options = {
      ...this.#options,
      url,
      page,
      clock: this.#clock,
      protocols: this.#options.protocols ?? ['parley.v1'],
      WebSocket: this.#options.WebSocket ?? globalThis.WebSocket,
      fetch: this.#options.fetch ?? globalThis.fetch,
      origin: globalThis.origin,
    };
    if (typeof options.WebSocket !== 'function') {
      throw new ParleyError('bad_argument', 'there is no WebSocket here; give one in the options');
    }
    return new Connection(options, {
      onState: (event) => {
        this.#lastState = event;
        this.#events.emit('state', event);
      },
      onOpen: () => this.#handlers.forEach((room) => room.opened()),
      onText: (text) => this.#onText(text),
      onLost: () => this.#onLost(),
      onAsk: () => this.#tell('ping'),
    });
  }

  #roomLink(name) {
    return {
      user: this.#user,
      clock: this.#clock,
      random: this.#options.random,
      isOpen: () => this.#connection.state === 'open',
      ask: (type, data) => this.#ask(type, data),
      tell: (type, data) => this.#tell(type, data),
      submit: (kind, to, text, options) => this.#submit(kind, to, text, options),
      claim: (room, text, offset, epoch) => this.#sender.claim(room, text, offset, epoch),
      attach: (handlers) => this.#handlers.set(name, handlers),
      onDenied: (error) => this.#sender.refuseRoom(name, error),
      onReset: () => this.#sender.forgetEchoes(name),
      report: (event, problem) => {
        this.#options.logger?.('error', `a listener of "${event}" in a room failed`, problem);
      },
    };
  }

  /**
   * @param {'chat' | 'direct'} kind
   * @param {string} to room or user
   * @param {string} text
   * @param {import('./parley.d.ts').SendOptions} options
   */
  #submit(kind, to, text, { key = freshKey(), meta, signal }) {
    if (typeof to !== 'string' || to === '' || typeof text !== 'string' || text === '') {
      return rejected(new ParleyError('bad_argument', 'a message has a receiver and a text'));
    }
    if (this.#options.queue === false && this.#connection.state !== 'open') {
      return rejected(new ParleyError('disconnected', 'there is no connection'));
    }
    return this.#sender.submit({ kind, to, text, meta, key }, signal);
  }

  #ask(type, data) {
    return this.#requests.ask(this.#options.ackTimeoutMs, (id) => this.#write({ type, id, data }));
  }

  #tell(type, data) {
    return this.#write({ type, data });
  }

  #write(message) {
    const text = JSON.stringify(message);
    const sent = this.#connection.send(text);
    if (sent) {
      this.#events.emit('frames', { direction: 'out', text, at: this.#clock.now() });
    }
    return sent;
  }

  #onText(raw) {
    this.#events.emit('frames', { direction: 'in', text: String(raw), at: this.#clock.now() });
    const { event, problem } = readFrame(raw);
    if (problem) {
      this.#events.emit('error', new ParleyError('bad_frame', `the gateway sent ${problem}`));
    } else if (event) {
      this.#onEvent[event.type](event);
    }
  }

  /** One function for each type of event; readFrame lets no other type through. */
  #eventTable() {
    const settle = ({ id, data }) => this.#requests.settle(id, data);
    const toRoom = (name) => ({ data, offset }) => {
      this.#handlers.get(data.room)?.[name](data, offset);
    };
    return {
      welcome: (event) => this.#onWelcome(event),
      left: (event) => (event.id === undefined ? toRoom('left')(event) : settle(event)),
      ack: settle,
      history: settle,
      pong: settle,
      chat: toRoom('chat'),
      signal: toRoom('signal'),
      gap: toRoom('gap'),
      presence: (event) => (event.id === undefined ? toRoom('presence')(event) : settle(event)),
      direct: ({ data }) => this.#events.emit('direct', data),
      bye: ({ data }) => {
        this.#connection.bye(data.reconnect_in ?? this.#options.minDelayMs);
        this.#events.emit('bye', { reason: data.reason ?? '', reconnectInMs: data.reconnect_in });
      },
      error: (event) => this.#onError(event),
      ping: ({ id }) => this.#write({ type: 'pong', id }),
    };
  }

  #onWelcome({ id, data }) {
    const first = this.#connectionId === null;
    this.#connectionId = data.connection ?? '';
    this.#gateway = data.gateway ?? null;
    if (data.heartbeat !== undefined) {
      this.#connection.heartbeat(data.heartbeat);
    }
    this.#handlers.get(data.room)?.welcome(data);
    this.#requests.settle(id, data);
    if (first) {
      this.#events.emit('welcome', {
        connection: this.#connectionId, gateway: this.#gateway, heartbeatSeconds: data.heartbeat,
      });
      this.#measure();
    }
    this.#sender.flush();
  }

  #onError({ id, data }) {
    const error = new ParleyError(data.code, data.message ?? '', data.retry_after);
    if (error.retryAfterMs !== undefined) {
      this.#connection.retryAfter(error.retryAfterMs);
    }
    if (id === undefined) {
      this.#events.emit('error', error);
    } else {
      this.#requests.fail(id, error);
    }
  }

  #onLost() {
    this.#connectionId = null;
    this.#gateway = null;
    this.#latencyMs = null;
    this.#clock.clearTimeout(this.#latencyTimer);
    this.#handlers.forEach((room) => room.lost());
    this.#requests.failAll(new ParleyError('disconnected', 'the connection was lost'));
  }

  #onDelivery(delivery) {
    this.#events.emit('delivery', delivery);
    this.#events.emit('queue', { pending: this.#queue.size });
  }

  #measure() {
    this.#clock.clearTimeout(this.#latencyTimer);
    this.ping().catch(() => {});
    if (this.#options.latencyIntervalMs > 0) {
      this.#latencyTimer = this.#clock.setTimeout(() => this.#measure(),
        this.#options.latencyIntervalMs);
    }
  }
}

function withoutUndefined(options) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function rejected(error) {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}
