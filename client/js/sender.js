// SPDX-License-Identifier: MIT
/**
 * Sends what the queue holds until each message is acked or refused. A message keeps its key
 * through every resend, so one that arrived before the link fell is not said twice: the gateway
 * answers with the place of the first. Few are in flight at once, so that a long queue after an
 * absence does not run into the gateway's rate limit, and so that the order is the one they were
 * written in.
 */
import { ASK_AGAIN, ParleyError } from './errors.js';

const WINDOW = 8;
const PAUSE_DEFAULT_MS = 1_000;
/** How many of our own acked messages are remembered until the room shows them. */
const REMEMBERED = 100;

/**
 * @typedef {import('./queue.js').Entry} Entry
 *
 * @typedef {object} Delivery
 * @property {string} key
 * @property {'chat' | 'direct'} kind
 * @property {string} to room or user
 * @property {string} text
 * @property {number} at Unix time in milliseconds when it was written
 * @property {'waiting' | 'sending' | 'delivered' | 'failed'} state
 * @property {number} [offset]
 * @property {string} [epoch]
 * @property {number} [ts]
 * @property {ParleyError} [error]
 */
export class Sender {
  #queue;
  #clock;
  #link;
  #pausedUntil = 0;
  #pauseTimer;
  #expiryTimer;
  /** @type {Map<string, {resolve: Function, reject: Function}>} */
  #promises = new Map();
  /** Acked, but the room has not shown it yet: place -> key. @type {Map<string, string>} */
  #acked = new Map();

  /**
   * @param {import('./queue.js').Queue} queue
   * @param {import('./environment.js').Clock} clock
   * @param {{ask: (type: string, data: object) => Promise<any>,
   *   canSend: (entry: Entry) => boolean,
   *   onNotJoined: (room: string) => void,
   *   onDelivery: (delivery: Delivery) => void}} link
   */
  constructor(queue, clock, link) {
    this.#queue = queue;
    this.#clock = clock;
    this.#link = link;
    this.#armExpiry();
  }

  /**
   * @param {Pick<Entry, 'key' | 'kind' | 'to' | 'text' | 'meta'>} message
   * @param {AbortSignal} [signal] takes it back while it still waits
   * @returns {Promise<any>} the place where it was said; rejects with a ParleyError
   */
  submit(message, signal) {
    const promise = new Promise((resolve, reject) => {
      const entry = this.#queue.add({ ...message, at: this.#clock.now() });
      this.#promises.set(entry.key, { resolve, reject });
      signal?.addEventListener('abort', () => {
        if (!entry.inFlight) {
          this.#fail(entry, new ParleyError('aborted', 'taken back before it was sent'));
        }
      }, { once: true });
      this.#tell(entry, 'waiting');
      this.#armExpiry();
      this.flush();
    });
    promise.catch(() => {}); // The `delivery` event tells it too; nobody has to listen twice.
    return promise;
  }

  /** Sends what may go now. Called whenever that may have changed. */
  flush() {
    const now = this.#clock.now();
    this.#expire(now); // A machine that slept wakes up with its timers late.
    if (now < this.#pausedUntil) {
      return;
    }
    let inFlight = this.#queue.list().filter((entry) => entry.inFlight).length;
    for (const entry of this.#queue.list()) {
      if (inFlight >= WINDOW) {
        return;
      }
      if (!entry.inFlight && this.#link.canSend(entry)) {
        inFlight += 1;
        this.#transmit(entry);
      }
    }
  }

  /** The gateway will never let us into this room: nothing for it can be delivered. */
  refuseRoom(room, error) {
    this.#queue.list()
      .filter((entry) => entry.kind === 'chat' && entry.to === room)
      .forEach((entry) => this.#fail(entry, error));
  }

  /**
   * The room's log began anew: what it showed of ours and did not ack may be said once more, because
   * the key can be lost as well. That is the same message.
   */
  forgetEchoes(room) {
    this.#queue.list()
      .filter((entry) => entry.kind === 'chat' && entry.to === room)
      .forEach((entry) => { entry.echoed = false; });
  }

  /**
   * Is this message of the room one of ours? By its place when the ack came first; else by its
   * words, which is no more than a guess, but one that cannot be seen when wrong: the words are the
   * same.
   * @returns {string | undefined} its key
   */
  claim(room, text, offset, epoch) {
    const place = JSON.stringify([room, epoch, offset]);
    const acked = this.#acked.get(place);
    if (acked !== undefined) {
      this.#acked.delete(place);
      return acked;
    }
    const entry = this.#queue.list().find((e) => e.tried && !e.echoed && e.kind === 'chat'
      && e.to === room && e.text === text);
    if (entry) {
      entry.echoed = true;
    }
    return entry?.key;
  }

  /** The client was closed. What waits stays in the queue, and in its storage. */
  stop() {
    this.#clock.clearTimeout(this.#pauseTimer);
    this.#clock.clearTimeout(this.#expiryTimer);
    const closed = new ParleyError('closed', 'the client was closed');
    this.#promises.forEach(({ reject }) => reject(closed));
    this.#promises.clear();
  }

  async #transmit(entry) {
    const { kind, to, text, meta, key } = entry;
    entry.inFlight = true;
    entry.tried = true;
    this.#queue.save();
    this.#tell(entry, 'sending');
    try {
      const place = kind === 'chat' ? { room: to } : { to };
      const ack = await this.#link.ask(kind, { ...place, text, key, ...(meta && { meta }) });
      this.#delivered(entry, ack);
    } catch (error) {
      entry.inFlight = false;
      if (this.#queue.get(key) !== entry) {
        return; // Expired or taken back meanwhile.
      }
      this.#failedOnce(entry, error);
    }
    this.flush();
  }

  #delivered(entry, { offset, epoch, ts }) {
    if (this.#queue.get(entry.key) !== entry) {
      return;
    }
    this.#queue.remove(entry.key);
    if (entry.kind === 'chat' && offset !== undefined && !entry.echoed) {
      this.#acked.set(JSON.stringify([entry.to, epoch, offset]), entry.key);
      if (this.#acked.size > REMEMBERED) {
        this.#acked.delete(this.#acked.keys().next().value);
      }
    }
    this.#tell(entry, 'delivered', { offset, epoch, ts });
    this.#promises.get(entry.key)?.resolve({ key: entry.key, room: entry.to, offset, epoch, ts });
    this.#promises.delete(entry.key);
  }

  #failedOnce(entry, error) {
    if (error.code === 'disconnected') {
      this.#tell(entry, 'waiting'); // Until the room is joined again.
    } else if (error.code === 'not_joined') {
      this.#tell(entry, 'waiting');
      this.#pause(PAUSE_DEFAULT_MS);
      this.#link.onNotJoined(entry.to);
    } else if (ASK_AGAIN.has(error.code)) {
      this.#tell(entry, 'waiting', { error });
      this.#pause(error.retryAfterMs ?? PAUSE_DEFAULT_MS);
    } else {
      this.#fail(entry, error);
    }
  }

  #fail(entry, error) {
    if (this.#queue.get(entry.key) !== entry) {
      return;
    }
    this.#queue.remove(entry.key);
    this.#tell(entry, 'failed', { error });
    this.#promises.get(entry.key)?.reject(error);
    this.#promises.delete(entry.key);
  }

  #pause(ms) {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.now() + ms);
    this.#clock.clearTimeout(this.#pauseTimer);
    this.#pauseTimer = this.#clock.setTimeout(() => this.flush(),
      this.#pausedUntil - this.#clock.now());
  }

  #armExpiry() {
    this.#clock.clearTimeout(this.#expiryTimer);
    const ms = this.#queue.nextExpiryMs(this.#clock.now());
    if (ms === null) {
      return;
    }
    this.#expiryTimer = this.#clock.setTimeout(() => {
      this.#expire(this.#clock.now());
      this.#armExpiry();
    }, ms);
  }

  #expire(now) {
    this.#queue.expired(now).forEach((entry) => {
      this.#fail(entry, new ParleyError('expired', entry.tried
        ? 'nobody answered in time: it may have been said' : 'it could not be sent in time'));
    });
  }

  #tell({ key, kind, to, text, at }, state, more = {}) {
    this.#link.onDelivery({ key, kind, to, text, at, state, ...more });
  }
}
