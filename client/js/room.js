// SPDX-License-Identifier: MIT
/**
 * One room: joined once by the application, joined again by itself after every reconnect, from
 * where it stood. Made by Parley.room(); what the gateway says about the room arrives through the
 * handlers that the constructor hands over, so that only the owner of the connection can call them.
 *
 * @typedef {object} RoomLink
 * @property {string} user
 * @property {import('./environment.js').Clock} clock
 * @property {() => number} random
 * @property {() => boolean} isOpen
 * @property {(type: string, data: object) => Promise<any>} ask
 * @property {(type: string, data: object) => boolean} tell a request without an answer
 * @property {(kind: 'chat', to: string, text: string, options: object) => Promise<any>} submit
 * @property {(room: string, text: string, offset?: number, epoch?: string) => string | undefined}
 *   claim
 * @property {(handlers: RoomHandlers) => void} attach
 * @property {(error: ParleyError) => void} onDenied
 * @property {() => void} onReset the room's log began anew
 * @property {(event: string, problem: unknown) => void} report
 *
 * @typedef {object} RoomHandlers
 * @property {() => void} opened a new connection: join again
 * @property {() => void} lost
 * @property {() => void} closed
 * @property {(data: any) => void} welcome
 * @property {(data: any, offset?: number) => void} chat
 * @property {(data: any) => void} signal
 * @property {(data: any) => void} presence a digest
 * @property {(data: any) => void} gap
 * @property {(data: any) => void} left the gateway took us out
 * @property {() => void} notJoined the gateway says that we are no member
 */
import { Emitter } from './emitter.js';
import { ASK_AGAIN, ParleyError } from './errors.js';
import { Position } from './position.js';
import { Presence } from './presence.js';
import { Typing } from './typing.js';

const JOIN_AGAIN_MS = 1_000;
/** One of many who were in: the seat may still be taken by our own dead connection, which a gateway
 * notices after its heartbeat. */
const SEAT_AGAIN_MS = 5_000;
/** The gateway's rejoin grace (3 s) and a second: names may differ from `online` for so long. */
const DIFFERS_MS = 4_000;
/** A list in doubt is asked for again after a while, each time twice as long, up to this. */
const DOUBT_MAX_MS = 64_000;
/** For so long per member the clients of a large room spread their questions. */
const SPREAD_MS = 5;
const PRESENCE_PAGE = 200;
/** Names kept of one room. Above it the list is a sample, and `online` says how many more. */
const MEMBERS_KEPT = 1_000;
const ITERATOR_BUFFER = 1_000;

export class Room {
  #name;
  #link;
  #events;
  #position = new Position();
  #presence = new Presence(1_000, DIFFERS_MS);
  #doubtMs = DIFFERS_MS;
  #typing;
  /** @type {'detached' | 'joining' | 'joined' | 'denied'} */
  #state = 'detached';
  #history;
  #resume = true;
  /** It was joined, and nobody has taken us out since. */
  #wasIn = false;
  #round = 0;
  #asking = null;
  #stale = false;
  #timers = new Map();
  #waiters = [];

  /** @param {string} name @param {RoomLink} link */
  constructor(name, link) {
    this.#name = name;
    this.#link = link;
    this.#events = new Emitter(link.report);
    this.#typing = new Typing(link.clock, {
      onSay: (active) => link.tell('signal', { room: name, kind: 'typing', meta: { active } }),
      onTyping: (event) => this.#events.emit('typing', event),
    });
    link.attach({
      opened: () => this.#opened(),
      lost: () => this.#lost(),
      closed: () => this.#closed(),
      welcome: (data) => this.#onWelcome(data),
      chat: (data, offset) => this.#onChat(data, offset),
      signal: (data) => this.#onSignal(data),
      presence: (data) => this.#onDigest(data),
      gap: (data) => this.#onGap(data),
      left: (data) => this.#onLeft(data),
      notJoined: () => this.#joinAgain(),
    });
  }

  get name() {
    return this.#name;
  }

  get state() {
    return this.#state;
  }

  /** Connections in the room, on all gateways, as the gateway counts them. */
  get online() {
    return this.#presence.online;
  }

  /** @returns {ReadonlyMap<string, {user: string, connections: number}>} */
  get members() {
    return this.#presence.members;
  }

  /** True when `members` is a sample of a large room. */
  get partial() {
    return this.#presence.partial;
  }

  get epoch() {
    return this.#position.epoch;
  }

  get offset() {
    return this.#position.offset;
  }

  /**
   * @param {{history?: number}} [options]
   * @returns {Promise<void>} resolves at the first welcome; rejects when the gateway says no
   */
  join({ history } = {}) {
    this.#history = history;
    const promise = new Promise((resolve, reject) => {
      if (this.#state === 'joined') {
        resolve(undefined);
      } else {
        this.#waiters.push({ resolve, reject });
      }
    });
    promise.catch(() => {});
    if (this.#state === 'detached' || this.#state === 'denied') {
      this.#state = 'joining';
      this.#opened();
    }
    return promise;
  }

  /** @returns {Promise<void>} resolves when the gateway knows it, or when no connection is left */
  async leave() {
    const was = this.#state;
    this.#detach('detached', new ParleyError('aborted', 'left before it was joined'));
    this.#wasIn = false;
    this.#position = new Position();
    if (was === 'joined' || was === 'joining') {
      this.#link.onDenied(new ParleyError('not_joined', 'the room was left'));
      await this.#link.ask('leave', { room: this.#name }).catch(() => {});
    }
  }

  /**
   * @param {string} text
   * @param {{key?: string, meta?: object, signal?: AbortSignal}} [options]
   * @returns {Promise<{key: string, room: string, offset?: number, epoch?: string, ts?: number}>}
   */
  send(text, options = {}) {
    this.#typing.sent();
    return this.#link.submit('chat', this.#name, text, options);
  }

  /** Ephemeral, to the other members, never kept and never repeated. */
  signal(kind, meta) {
    return this.#state === 'joined'
      && this.#link.tell('signal', { room: this.#name, kind, ...(meta && { meta }) });
  }

  /** Call it at every key press; it says so at most every 3 s. */
  typing(active = true) {
    if (this.#state === 'joined') {
      this.#typing.say(active);
    }
  }

  /**
   * @param {{limit?: number, before?: number}} [options]
   * @returns {Promise<{messages: object[], more: boolean}>}
   */
  async history({ limit, before } = {}) {
    const answer = await this.#link.ask('history', {
      room: this.#name,
      ...(limit !== undefined && { limit }),
      ...(before !== undefined && { before }),
    });
    const messages = answer.messages.map(({ from, text, ts, offset, meta }) => (
      this.#message({ from, text, ts, meta }, offset, answer.epoch)));
    return { messages, more: answer.more ?? false };
  }

  /** @returns {Promise<{user: string, connections: number}[]>} asked anew */
  async presence() {
    await this.#askPresence();
    return [...this.#presence.members.values()];
  }

  /**
   * Events: message, joined, left, memberJoin, memberLeave, members, online, typing, signal, gap,
   * error.
   */
  on(event, listener, options) {
    return this.#events.on(event, listener, options);
  }

  /** Messages as they come, until the loop is left. A reader that is too slow loses the oldest. */
  async* [Symbol.asyncIterator]() {
    const buffer = [];
    let wake = () => {};
    const off = this.on('message', (message) => {
      buffer.push(message);
      if (buffer.length > ITERATOR_BUFFER) {
        buffer.shift();
      }
      wake();
    });
    try {
      for (;;) {
        while (buffer.length > 0) {
          yield buffer.shift();
        }
        await new Promise((resolve) => { wake = () => resolve(undefined); });
      }
    } finally {
      off();
    }
  }

  #opened() {
    if (this.#state !== 'joining' || !this.#link.isOpen()) {
      return;
    }
    this.#round += 1;
    const round = this.#round;
    const since = this.#resume ? this.#position.since : undefined;
    const history = since ? undefined : this.#history;
    this.#link.ask('join', {
      room: this.#name,
      user: this.#link.user,
      ...(since && { since }),
      ...(history !== undefined && { history }),
    }).catch((error) => {
      if (round === this.#round && this.#state === 'joining') {
        this.#joinFailed(error);
      }
    });
  }

  #joinFailed(error) {
    if (error.code === 'disconnected') {
      return; // The next connection joins again.
    }
    if (error.code === 'history_disabled' && (this.#resume || this.#history !== undefined)) {
      this.#resume = false;
      this.#history = undefined;
      this.#opened();
    } else if (ASK_AGAIN.has(error.code)) {
      const waitMs = error.retryAfterMs ?? JOIN_AGAIN_MS * (1 + this.#link.random());
      this.#arm('join', waitMs, () => this.#opened());
    } else if (error.code === 'room_full' && this.#wasIn) {
      this.#arm('join', SEAT_AGAIN_MS * (1 + this.#link.random()), () => this.#opened());
    } else {
      this.#wasIn = false;
      this.#detach('denied', error);
      this.#link.onDenied(error);
      this.#events.emit('error', error);
    }
  }

  #joinAgain() {
    if (this.#state === 'joined') {
      this.#lost();
      this.#opened();
    }
  }

  #lost() {
    if (this.#state === 'joined') {
      this.#state = 'joining';
    }
    this.#round += 1;
    this.#stopTimers();
    this.#typing.clear();
    this.#presence.forget();
    this.#asking = null;
  }

  #closed() {
    if (this.#state === 'joined' || this.#state === 'joining') {
      this.#detach('detached', new ParleyError('closed', 'the client was closed'));
    }
  }

  #detach(state, error) {
    this.#lost();
    this.#state = state;
    this.#waiters.splice(0).forEach(({ reject }) => reject(error));
  }

  #onWelcome(data) {
    if (this.#state !== 'joining' && this.#state !== 'joined') {
      return; // We left while the join was under way; the leave follows it.
    }
    this.#state = 'joined';
    this.#wasIn = true;
    const gap = this.#position.welcome(data);
    this.#presence.online = data.online;
    this.#waiters.splice(0).forEach(({ resolve }) => resolve());
    this.#events.emit('joined', { online: data.online, recovered: data.recovered === true });
    if (gap) {
      this.#onMissed(gap);
    }
    this.#events.emit('online', { online: data.online });
    this.#askPresence().catch(() => {});
  }

  #onLeft({ reason = '' }) {
    if (this.#state === 'joined') {
      this.#wasIn = false;
      this.#detach('detached', new ParleyError('forbidden', reason));
      this.#events.emit('left', { reason });
    }
  }

  #onChat(data, offset) {
    if (this.#state !== 'joined') {
      return;
    }
    const { fresh, gap } = this.#position.accept(offset);
    if (!fresh) {
      return;
    }
    if (gap) {
      this.#events.emit('gap', gap);
    }
    this.#typing.heard(data.from, false);
    const message = this.#message(data, offset, this.#position.epoch);
    if (message.mine) {
      message.key = this.#link.claim(this.#name, data.text, offset, this.#position.epoch);
    }
    this.#events.emit('message', message);
  }

  #message({ from, text, ts, meta }, offset, epoch) {
    return { room: this.#name, from, text, ts, meta, offset, epoch, mine: from === this.#link.user,
      key: undefined };
  }

  #onSignal({ from, kind, meta }) {
    if (kind === 'typing') {
      this.#typing.heard(from, meta?.active !== false);
    } else {
      this.#events.emit('signal', { from, kind, meta });
    }
  }

  #onGap(data) {
    if (this.#position.gap(data)) {
      this.#onMissed({ from: data.from ?? 0, to: data.to ?? 0, why: data.why });
    }
  }

  #onMissed(gap) {
    if (gap.why === 'reset') {
      this.#link.onReset();
    }
    this.#events.emit('gap', gap);
  }

  #onDigest(data) {
    if (this.#state !== 'joined') {
      return;
    }
    const { joined, left } = this.#presence.digest(data, this.#link.clock.now());
    joined.forEach((user) => this.#events.emit('memberJoin', { user }));
    left.forEach((user) => {
      this.#typing.heard(user, false);
      this.#events.emit('memberLeave', { user });
    });
    if (data.more) {
      this.#stale = true;
    }
    this.#events.emit('online', { online: data.online });
    if (data.joined?.length || data.left?.length) {
      this.#events.emit('members', this.members);
    }
    this.#settle();
  }

  /**
   * Names and `online` may part for a while; when they stay apart we ask, each at another moment.
   */
  #settle() {
    this.#askIf('settle', this.#presence.differs || this.#stale, DIFFERS_MS);
    this.#askIf('doubt', this.#presence.doubtful && !this.#presence.partial, this.#doubtMs);
  }

  #askIf(why, wanted, ms) {
    if (!wanted) {
      this.#disarm(why);
    } else if (!this.#timers.has(why)) {
      const spread = this.#link.random() * Math.max(1_000, SPREAD_MS * this.#presence.online);
      this.#arm(why, ms + spread, () => this.#askPresence().catch(() => {}));
    }
  }

  #askPresence() {
    this.#asking ??= this.#readPresence(this.#round).finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  async #readPresence(round) {
    const list = [];
    let answer = { online: 0, cursor: undefined };
    this.#stale = false;
    try {
      do {
        const { cursor } = answer;
        answer = await this.#link.ask('presence', {
          room: this.#name,
          limit: PRESENCE_PAGE,
          ...(cursor && { cursor }),
        });
        list.push(...(answer.members ?? []));
      } while (answer.cursor && list.length < MEMBERS_KEPT && round === this.#round);
    } catch (error) {
      if (round === this.#round && ASK_AGAIN.has(error.code)) {
        this.#stale = true;
        this.#settle();
      }
      throw error;
    }
    if (round !== this.#round || this.#state !== 'joined') {
      throw new ParleyError('disconnected', 'the connection was lost');
    }
    const doubted = this.#presence.doubtful;
    this.#doubtMs = doubted ? Math.min(2 * this.#doubtMs, DOUBT_MAX_MS) : DIFFERS_MS;
    // A room may count its members without naming them: nobody is listed then, ever.
    const unnamed = list.length === 0 && answer.online > 0;
    this.#presence.snapshot(list, {
      online: answer.online,
      partial: Boolean(answer.cursor) || unnamed,
      nowMs: this.#link.clock.now(),
    });
    this.#events.emit('online', { online: answer.online });
    this.#events.emit('members', this.members);
    this.#settle();
  }

  #arm(name, ms, fn) {
    this.#disarm(name);
    this.#timers.set(name, this.#link.clock.setTimeout(() => {
      this.#timers.delete(name);
      fn();
    }, ms));
  }

  #disarm(name) {
    this.#link.clock.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #stopTimers() {
    [...this.#timers.keys()].forEach((name) => this.#disarm(name));
  }
}
