// SPDX-License-Identifier: MIT
/**
 * One user's stay: the client library on one side, the page's parts on the other. What the library
 * tells becomes a call of a part, what a person does becomes a call of the library.
 */
import { Parley } from '/client/js/parley.js';
import { Composer, HELP } from './composer.js';
import { Details } from './details.js';
import { byId, make, setText } from './dom.js';
import { endpoint } from './endpoint.js';
import { MessageLog } from './log.js';
import { CuttableSocket, SwitchablePage } from './mischief.js';
import { People } from './people.js';
import { Scroll } from './scroll.js';
import { Status } from './status.js';
import { tab, tabStorage } from './store.js';
import { nameList, reason } from './text.js';

const TRIES = 5;
/** Five tries take about 20 s in all: a gateway that is restarted by hand is found again. */
const FIRST_DELAY_MS = 1_000;
const LATENCY_EVERY_MS = 30_000;

/**
 * @typedef {object} View what the page keeps of one room
 * @property {import('/client/js/room.js').Room} room
 * @property {MessageLog} log
 * @property {AbortController} off ends its listening
 * @property {number} unread
 * @property {boolean} mentioned
 * @property {Set<string>} typing
 */
export class Chat {
  #user;
  #client;
  #page = new SwitchablePage();
  #status;
  #details;
  #people;
  #composer;
  #scroll = new Scroll();
  /** @type {Map<string, View>} */
  #views = new Map();
  /** @type {View | null} */
  #active = null;
  /** Where a direct message was written, so that its news find it. @type {Map<string, View>} */
  #directs = new Map();
  #off = new AbortController();

  /** @param {string} user */
  constructor(user) {
    this.#user = user;
    this.#client = new Parley(endpoint(window.location), {
      user,
      maxRetries: TRIES,
      minDelayMs: FIRST_DELAY_MS,
      latencyIntervalMs: LATENCY_EVERY_MS,
      storage: tabStorage,
      page: this.#page,
      WebSocket: CuttableSocket,
      logger: (level, message, data) => console[level](message, data),
    });
    this.#status = new Status(this.#client, TRIES);
    this.#details = new Details(this.#client, this.#page);
    this.#people = new People(user, (name) => this.#composer.writeTo(name));
    this.#composer = new Composer({
      chat: (text) => this.#say({ kind: 'chat', to: this.#active?.room.name ?? '', text }),
      direct: (to, text) => this.#say({ kind: 'direct', to, text }),
      leave: () => this.#leave(),
      help: () => this.#note(make('pre', {}, HELP)),
      complain: (problem) => this.#note(problem),
      typing: (active) => this.#active?.room.typing(active),
    });
    this.#listen();
  }

  /** @param {string} first the room of the address */
  start(first) {
    setText(byId('whoami'), this.#user);
    const rooms = new Set([...tab.list('rooms'), first]);
    rooms.forEach((name) => this.#join(name));
    this.#showUnsent();
    this.open(first);
    this.#client.connect().catch(() => {}); // The status shows it.
    byId('compose').focus();
  }

  stop() {
    this.#off.abort();
    this.#client.close();
    this.#status.stop();
    this.#details.stop();
    this.#composer.stop();
    this.#scroll.stop();
    byId('log').replaceChildren();
  }

  /** Shows this room, and joins it if need be. @param {string} name */
  open(name) {
    const view = this.#views.get(name) ?? this.#join(name);
    if (view === this.#active) {
      return;
    }
    this.#active?.log.unmarkNew();
    this.#active = view;
    view.unread = 0;
    view.mentioned = false;
    this.#composer.setRoom(name);
    this.#people.show(view.room);
    byId('conversation').setAttribute('aria-label', `Conversation in ${name}`);
    byId('log').setAttribute('aria-label', `Messages in ${name}`);
    byId('people-side').setAttribute('aria-label', `People in ${name}`);
    this.#scroll.show(view.log.node);
    this.#drawTyping(view);
    this.#drawRooms();
    const hash = `#${encodeURIComponent(name)}`;
    if (window.location.hash !== hash) {
      window.location.hash = hash;
    }
  }

  #listen() {
    this.#client.on('delivery', (delivery) => this.#onDelivery(delivery));
    this.#client.on('direct', (message) => {
      this.#append(this.#active, (log) => log.direct(message), true);
    });
    this.#client.on('error', (error) => console.warn(`parley: ${error.code}: ${error.message}`));
    const { signal } = this.#off;
    byId('leave').addEventListener('click', () => this.#leave(), { signal });
    document.addEventListener('visibilitychange', () => this.#onVisibility(), { signal });
  }

  #join(name) {
    const room = this.#client.room(name);
    const log = new MessageLog(this.#user, (message) => this.#say(message));
    const off = new AbortController();
    const view = { room, log, off, unread: 0, mentioned: false, typing: new Set() };
    const on = (event, fn) => room.on(event, fn, { signal: off.signal });
    this.#views.set(name, view);
    on('message', (message) => this.#onMessage(view, message));
    on('gap', (gap) => this.#append(view, () => log.gap(gap)));
    on('memberJoin', ({ user }) => this.#onPresence(view, user, () => log.memberJoin(user)));
    on('memberLeave', ({ user }) => this.#onPresence(view, user, () => log.memberLeave(user)));
    on('members', () => this.#people.changed(room));
    on('online', () => this.#onOnline(view));
    on('typing', ({ user, active }) => {
      view.typing[active ? 'add' : 'delete'](user);
      this.#drawTyping(view);
    });
    on('left', ({ reason: why }) => log.line(`You were taken out of this room. ${why}`));
    on('error', (error) => log.line(`This room could not be joined: ${reason(error)}.`));
    room.join({ history: 50 }).catch(() => {}); // The room's `error` event says it.
    this.#remember();
    return view;
  }

  /**
   * Sends, or sends again with the same key; its news come as `delivery` events.
   * @param {{kind: string, to: string, text: string, key?: string}} message
   */
  #say({ kind, to, text, key }) {
    const options = key ? { key } : {};
    const sent = kind === 'chat'
      ? this.#client.room(to).send(text, options) : this.#client.send(to, text, options);
    sent.catch((error) => {
      if (error.code === 'queue_full' || error.code === 'bad_argument') {
        this.#note(`Not sent: ${reason(error)}.`);
      }
    });
    this.#scroll.toEnd();
  }

  #showUnsent() {
    this.#client.unsent.forEach((message) => {
      this.#onDelivery({ ...message, state: 'waiting' });
    });
  }

  #onDelivery(delivery) {
    const { kind, key, to } = delivery;
    let view = this.#views.get(to) ?? null;
    if (kind === 'direct') {
      view = this.#directs.get(key) ?? this.#active ?? [...this.#views.values()][0] ?? null;
      if (delivery.state === 'delivered' || !view) {
        this.#directs.delete(key);
      } else {
        this.#directs.set(key, view);
      }
    }
    if (view) {
      this.#append(view, (log) => log.delivery(delivery));
    }
  }

  #onMessage(view, message) {
    const foreign = !message.mine;
    if (foreign && message.text.includes(`@${this.#user}`)) {
      view.mentioned = true;
    }
    this.#append(view, (log) => log.message(message), foreign);
  }

  #onPresence(view, user, fold) {
    if (user !== this.#user) {
      this.#append(view, fold);
    }
  }

  #onOnline(view) {
    this.#people.changed(view.room);
    this.#drawRooms();
  }

  #onVisibility() {
    if (document.visibilityState === 'visible' && this.#active) {
      this.#active.unread = 0;
      this.#drawRooms();
    }
  }

  /** Something for a room's log. `counts`: a reader who is elsewhere wants to know. */
  #append(view, write, counts = false) {
    if (!view) {
      return;
    }
    const seen = view === this.#active && document.visibilityState === 'visible';
    if (counts && !seen) {
      if (view.unread === 0) {
        view.log.markNew();
      }
      view.unread += 1;
      this.#drawRooms();
    }
    if (view === this.#active) {
      this.#scroll.around(() => write(view.log), counts);
    } else {
      write(view.log);
    }
  }

  #note(...content) {
    this.#append(this.#active, (log) => log.line(...content));
    this.#scroll.toEnd();
  }

  #leave() {
    if (!this.#active) {
      return;
    }
    const { room, off } = this.#active;
    off.abort();
    room.leave();
    this.#views.delete(room.name);
    this.#active = null;
    this.#remember();
    const next = [...this.#views.keys()].at(-1);
    if (next !== undefined) {
      this.open(next);
      return;
    }
    this.#composer.setRoom('');
    this.#people.show(null);
    this.#scroll.show(make('ol', {}, make('li', { class: 'empty' }, 'You are in no room.')));
    this.#drawRooms();
    window.history.replaceState(null, '', window.location.pathname + window.location.search);
  }

  #remember() {
    tab.set('rooms', JSON.stringify([...this.#views.keys()]));
  }

  #drawTyping(view) {
    if (view === this.#active) {
      const names = [...view.typing].filter((user) => user !== this.#user);
      setText(byId('typing'), names.length === 0 ? ''
        : `${nameList(names)} ${names.length === 1 ? 'is' : 'are'} typing…`);
    }
  }

  #drawRooms() {
    const rows = [...this.#views.values()].map((view) => this.#roomRow(view));
    byId('rooms').replaceChildren(...rows);
    const room = this.#active?.room;
    setText(byId('room-title'), room ? `# ${room.name}` : '');
    setText(byId('room-online'), room?.online ? `${room.online} online` : '');
    byId('leave').hidden = !room;
    const unread = [...this.#views.values()].reduce((sum, view) => sum + view.unread, 0);
    document.title = `${unread ? `(${unread}) ` : ''}${room ? `#${room.name} · ` : ''}Parley`;
  }

  #roomRow(view) {
    const { room, unread, mentioned } = view;
    const current = view === this.#active;
    const label = mentioned ? `${unread} unread, you are mentioned` : `${unread} unread`;
    const button = make('button', { class: 'room', type: 'button',
      ...(current && { 'aria-current': 'page' }) },
    make('span', { class: 'name' }, `# ${room.name}`),
    ...(unread ? [make('span', { class: 'badge', role: 'img', 'aria-label': label },
      mentioned ? `@${unread}` : String(unread))] : []),
    make('span', { class: 'n' }, current ? `${room.online} online` : String(room.online)));
    button.onclick = () => this.open(room.name);
    return make('li', {}, button);
  }
}
