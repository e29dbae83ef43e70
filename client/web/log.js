// SPDX-License-Identifier: MIT
/**
 * The messages of one room as a list. It holds at most 500 nodes, the oldest go first. A message of
 * our own is there from the moment it was written, and moves to its place when the room shows it.
 */
import { make, setText } from './dom.js';
import { avatar, clockTime, dayName, nameList, reason, withLinks } from './text.js';

const NODES = 500;
const GROUP_MS = 5 * 60_000;

const STATES = {
  waiting: 'waiting to send',
  sending: 'sending…',
  delivered: 'delivered',
  failed: 'not sent',
};

/**
 * @typedef {object} Item
 * @property {HTMLElement} node
 * @property {'message' | 'presence' | 'line'} kind
 * @property {string} [from]
 * @property {number} [at]
 * @property {string} [key]
 * @property {string} [note] who may read it, when not everybody
 * @property {boolean} [done] delivered; later news of its key change nothing
 */
export class MessageLog {
  node = make('ol');
  /** @type {Item[]} */
  #items = [];
  #me;
  #onRetry;
  #joined = [];
  #left = [];
  #newLine = null;
  #empty = make('li', { class: 'empty' }, 'No messages yet. Say hello.');

  /**
   * @param {string} me
   * @param {(message: {key: string, text: string, to: string, kind: string}) => void} onRetry
   */
  constructor(me, onRetry) {
    this.#me = me;
    this.#onRetry = onRetry;
    this.node.append(this.#empty);
  }

  /**
   * What the room said.
   * @param {{from: string, text: string, ts?: number, key?: string}} message
   */
  message({ from, text, ts, key }) {
    const at = ts ? ts * 1000 : Date.now();
    const known = key && this.#items.find((item) => item.key === key);
    if (known) {
      known.at = at;
      this.#toTheEnd(known);
      this.#setState(known, 'delivered');
    } else {
      this.#addMessage({ from, text, at, own: from === this.#me });
    }
  }

  /** A direct message to us. */
  direct({ from, text, ts }) {
    this.#addMessage({ from, text, at: ts ? ts * 1000 : Date.now(), note: 'only you' });
  }

  /** News of one of our own messages. @param {import('/client/js/sender.js').Delivery} delivery */
  delivery(delivery) {
    const { key, kind, to, text, at } = delivery;
    const item = this.#items.find((known) => known.key === key)
      ?? this.#addMessage({ from: this.#me, text, at, key, own: true,
        note: kind === 'direct' ? `only to ${to}` : '' });
    if (item.done) {
      return;
    }
    this.#setState(item, delivery.state);
    if (delivery.error && delivery.state === 'failed') {
      this.#offerRetry(item, delivery);
    }
  }

  memberJoin(user) {
    this.#foldPresence(this.#joined, this.#left, user);
  }

  memberLeave(user) {
    this.#foldPresence(this.#left, this.#joined, user);
  }

  /** @param {{from: number, to: number, why: string}} gap */
  gap({ from, to, why }) {
    const missed = to - from + 1;
    let text = 'some messages may be missing';
    if (why !== 'reset' && from > 0 && missed > 0) {
      text = missed === 1 ? 'one message was missed' : `${missed} messages were missed`;
    }
    this.#add({ kind: 'line', node: make('li', { class: 'sep gap' }, text) });
  }

  /** A line of the page's own. @param {...(Node | string)} content */
  line(...content) {
    this.#add({ kind: 'line', node: make('li', { class: 'sys' }, ...content) });
  }

  /** From here on it is new to the reader. */
  markNew() {
    if (!this.#newLine) {
      this.#newLine = { kind: 'line', node: make('li', { class: 'sep new' }, 'new') };
      this.#add(this.#newLine);
    }
  }

  /** The reader has seen it all. */
  unmarkNew() {
    if (this.#newLine) {
      this.#drop(this.#items.indexOf(this.#newLine));
      this.#newLine = null;
    }
  }

  /**
   * @param {{from: string, text: string, at: number, own?: boolean, key?: string, note?: string}}
   *   message
   * @returns {Item}
   */
  #addMessage({ from, text, at, own = false, key, note = '' }) {
    const action = text.startsWith('/me ');
    const body = make('p', {}, ...withLinks(action ? `${from} ${text.slice(4)}` : text));
    const head = make('div', { class: 'head' },
      make('span', { class: 'who' }, own ? `${from} (you)` : from),
      make('time', {}, ''),
      ...(note ? [make('span', { class: 'only' }, note)] : []),
      make('span', { class: 'st' }));
    const classes = ['msg', own && 'own', note && 'direct', action && 'action'];
    const node = make('li', { class: classes.filter(Boolean).join(' ') },
      avatar(from), make('div', {}, head, body));
    /** @type {Item} */
    const item = { kind: 'message', node, from, at, key, note };
    this.#add(item);
    return item;
  }

  #add(item) {
    this.#empty.remove();
    if (item.kind !== 'presence') {
      this.#joined = [];
      this.#left = [];
    }
    this.#items.push(item);
    this.node.append(item.node);
    this.#group(this.#items.length - 1);
    while (this.#items.length > NODES) {
      this.#drop(0);
    }
  }

  #drop(index) {
    const [item] = this.#items.splice(index, 1);
    item.node.remove();
    this.#group(index);
  }

  #toTheEnd(item) {
    const index = this.#items.indexOf(item);
    if (index !== this.#items.length - 1) {
      this.#items.splice(index, 1);
      this.#group(index);
      this.#items.push(item);
      this.node.append(item.node);
    }
    this.#group(this.#items.length - 1);
  }

  /** Says who and when, unless the message before it said so: same author, within 5 minutes. */
  #group(index) {
    const item = this.#items[index];
    if (item?.kind !== 'message') {
      return;
    }
    const before = this.#items[index - 1];
    const sameDay = before?.at !== undefined && dayName(before.at) === dayName(item.at);
    item.node.classList.toggle('cont', before?.kind === 'message' && before.from === item.from
      && before.note === item.note && Math.abs(item.at - before.at) < GROUP_MS && sameDay);
    const time = item.node.querySelector('time');
    const at = new Date(item.at);
    time.dateTime = at.toISOString();
    const today = dayName(Date.now()) === dayName(item.at);
    setText(time, today ? clockTime(item.at) : `${dayName(item.at)}, ${clockTime(item.at)}`);
    this.#quieten(item);
  }

  /** A follow-up message that has nothing to say about itself has no line above it. */
  #quieten(item) {
    const state = item.node.querySelector('.st').textContent;
    item.node.classList.toggle('quiet', !item.note && (state === '' || state === STATES.delivered));
  }

  #setState(item, state) {
    const node = item.node.querySelector('.st');
    item.done = state === 'delivered';
    item.node.classList.toggle('pending', !item.done);
    node.classList.toggle('fail', state === 'failed');
    setText(node, STATES[state]);
    this.#quieten(item);
  }

  /** @param {Item} item @param {import('/client/js/sender.js').Delivery} delivery */
  #offerRetry(item, { key, kind, to, text, error }) {
    const retry = make('button', { class: 'link', type: 'button' }, 'Retry');
    retry.onclick = () => this.#onRetry({ key, kind, to, text });
    item.node.querySelector('.st').replaceChildren(`not sent (${reason(error)}) · `, retry);
  }

  #foldPresence(list, other, user) {
    const back = other.indexOf(user);
    if (back >= 0) {
      other.splice(back, 1);
    }
    if (!list.includes(user)) {
      list.push(user);
    }
    let last = this.#items.at(-1);
    if (last?.kind !== 'presence') {
      last = { kind: 'presence', node: make('li', { class: 'sys' }) };
      this.#add(last);
    }
    const parts = [
      this.#joined.length ? `${nameList(this.#joined)} joined` : '',
      this.#left.length ? `${nameList(this.#left)} left` : '',
      clockTime(Date.now()),
    ];
    setText(last.node, parts.filter(Boolean).join(' · '));
  }
}
