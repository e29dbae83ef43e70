// SPDX-License-Identifier: MIT
/**
 * Messages that nobody has confirmed yet, oldest first, bounded in number, bytes and age. With a
 * storage (any object with getItem, setItem and removeItem, such as sessionStorage) they survive a
 * refresh of the page. It keeps; sender.js decides what is sent when.
 *
 * @typedef {object} Entry
 * @property {string} key the idempotency key; the same on every resend
 * @property {'chat' | 'direct'} kind
 * @property {string} to the room, or the user a direct message is for
 * @property {string} text
 * @property {object} [meta]
 * @property {number} at when it was written, Unix time in milliseconds
 * @property {boolean} tried it was on the wire at least once, so it may have arrived
 * @property {boolean} inFlight it was sent on this connection and waits for its answer
 * @property {boolean} echoed the room has shown it, its ack is still to come
 */
import { ParleyError } from './errors.js';

const VERSION = 1;

/** UTF-8 bytes, without building them. Lone surrogates become U+FFFD, which has three as well. */
function utf8Length(text) {
  let bytes = 0;
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return bytes;
}

/** @param {Pick<Entry, 'to' | 'text' | 'meta'>} entry */
function entryBytes({ to, text, meta }) {
  return utf8Length(text) + utf8Length(to) + (meta ? utf8Length(JSON.stringify(meta)) : 0);
}

function isStored(v) {
  return typeof v === 'object' && v !== null
    && typeof v.key === 'string' && v.key.length > 0 && v.key.length <= 64
    && (v.kind === 'chat' || v.kind === 'direct')
    && typeof v.to === 'string' && typeof v.text === 'string' && Number.isFinite(v.at)
    && (v.meta === undefined || (typeof v.meta === 'object' && v.meta !== null));
}

export class Queue {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  #bytes = 0;
  #limits;
  #storage;
  #storageKey;
  #owner;

  /**
   * @param {{messages: number, bytes: number, maxAgeMs: number}} limits
   * @param {{storage?: any, storageKey?: string, owner?: string}} [keep] `owner` is the user name:
   *   what one user left unsent is not sent by the next one on the same page
   */
  constructor(limits, { storage, storageKey = 'parley.queue', owner = '' } = {}) {
    this.#limits = limits;
    this.#storage = storage;
    this.#storageKey = storageKey;
    this.#owner = owner;
    this.#load();
  }

  get size() {
    return this.#entries.size;
  }

  /** @returns {Entry[]} oldest first */
  list() {
    return [...this.#entries.values()];
  }

  get(key) {
    return this.#entries.get(key);
  }

  /**
   * @param {Pick<Entry, 'key' | 'kind' | 'to' | 'text' | 'meta' | 'at'>} wanted
   * @returns {Entry}
   * @throws {ParleyError} `queue_full`; the new message is refused, none of the old ones is lost
   */
  add(wanted) {
    const bytes = entryBytes(wanted);
    if (this.#entries.size >= this.#limits.messages || this.#bytes + bytes > this.#limits.bytes) {
      throw new ParleyError('queue_full', 'too many messages wait to be sent');
    }
    if (this.#entries.has(wanted.key)) {
      throw new ParleyError('bad_argument', 'a message with this key is still waiting');
    }
    const entry = { ...wanted, tried: false, inFlight: false, echoed: false };
    this.#entries.set(entry.key, entry);
    this.#bytes += bytes;
    this.save();
    return entry;
  }

  /** Delivered, refused or given up: it leaves the queue. */
  remove(key) {
    const entry = this.#entries.get(key);
    if (entry) {
      this.#entries.delete(key);
      this.#bytes -= entryBytes(entry);
      this.save();
    }
    return entry;
  }

  /** @returns {Entry[]} those older than the limit, which an answer in flight does not excuse */
  expired(nowMs) {
    return this.list().filter((entry) => nowMs - entry.at >= this.#limits.maxAgeMs);
  }

  /** @returns {number | null} milliseconds until the next one expires */
  nextExpiryMs(nowMs) {
    const ages = this.list().map((entry) => nowMs - entry.at);
    return ages.length ? Math.max(0, this.#limits.maxAgeMs - Math.max(...ages)) : null;
  }

  /** Storage may be full or forbidden; the queue in memory is then all there is. */
  save() {
    if (!this.#storage) {
      return;
    }
    try {
      if (this.#entries.size === 0) {
        this.#storage.removeItem(this.#storageKey);
        return;
      }
      const entries = this.list().map(({ key, kind, to, text, meta, at, tried }) => (
        { key, kind, to, text, meta, at, tried }));
      this.#storage.setItem(this.#storageKey,
        JSON.stringify({ version: VERSION, owner: this.#owner, entries }));
    } catch {
      this.#storage = undefined;
    }
  }

  #load() {
    let stored;
    try {
      stored = JSON.parse(this.#storage?.getItem(this.#storageKey) ?? 'null');
    } catch {
      return;
    }
    if (stored?.version !== VERSION || stored.owner !== this.#owner
      || !Array.isArray(stored.entries)) {
      return;
    }
    for (const { key, kind, to, text, meta, at, tried } of stored.entries.filter(isStored)) {
      try {
        this.add({ key, kind, to, text, meta, at }).tried = tried === true;
      } catch {
        return; // More than the limits of today allow: the oldest were kept.
      }
    }
  }
}
