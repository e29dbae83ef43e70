// SPDX-License-Identifier: MIT
/**
 * The life of the connection: open a socket, notice when it is gone, decide when to come back. It
 * carries text and knows nothing of what the text says.
 *
 * States: idle -> connecting -> open -> reconnecting -> open ..., with `offline` (the browser has
 * no network), `failed` (out of tries, or a final close code; until reconnect()) and `closed` (by
 * us). At most one socket is alive at a time.
 */
import { RetryCounter } from './backoff.js';
import { ParleyError, isFinalClose } from './errors.js';
import { askForWait, plainAddress } from './refusal.js';
import { Socket } from './socket.js';
import { LinkWatch } from './watch.js';

/** A connection that lived this long was a good one: the count of failures begins anew. */
const STABLE_MS = 10_000;
/** How long a link in doubt has to answer. */
const PROBE_MS = 5_000;
/** No gateway may keep a client away for longer than this, whatever it says. */
const LONGEST_ADVICE_MS = 300_000;
const HEARTBEAT_DEFAULT_MS = 25_000;
/** The close codes that the protocol gives to a dead link, a drain and a full gateway. */
const CODE_DEAD = 4001;
const CODE_MOVED = 4000;
const CODE_FULL = 1013;

/**
 * @typedef {import('./parley.d.ts').Options} Options
 * @typedef {Required<Pick<Options, 'minDelayMs' | 'maxDelayMs' | 'maxRetries' | 'connectTimeoutMs'
 *   | 'maxPingDelayMs' | 'protocols' | 'WebSocket' | 'clock' | 'random' | 'page'>>
 *   & {url: string | URL | (() => string | Promise<string>)}
 *   & Pick<Options, 'fetch'> & {origin?: string}} ConnectionOptions
 *
 * @typedef {'idle'|'connecting'|'open'|'reconnecting'|'offline'|'failed'|'closed'} ConnectionState
 * @typedef {object} StateEvent
 * @property {ConnectionState} state
 * @property {ConnectionState} previous
 * @property {number} attempt the try that runs or comes next, 1 for the first after a loss
 * @property {number} [delayMs] how long until then
 * @property {number} [retryAt] when, Unix time in milliseconds; absent while a try runs or waits
 *   for the page to be shown
 * @property {number} [code] the last close code
 * @property {string} [reason] its reason word, or `retries`, `bad_url`, `page_hidden`
 */
export class Connection {
  #options;
  #hooks;
  #clock;
  #page;
  #counter;
  #watch;
  #state = 'idle';
  /** @type {Socket | null} the one that is open, or being opened */
  #socket = null;
  #wanted = false;
  #asleep = false;
  /** This socket is a try after a loss (so its failure counts), and nothing has excused it yet. */
  #isTry = false;
  #excused = false;
  /** The gateway sends us to another one: that is no reason to wait until the page is shown. */
  #moving = false;
  #slotAt = 0;
  #notBefore = 0;
  #timers = new Map();
  #stopAsking = () => {};
  #unlisten = () => {};

  /**
   * @param {ConnectionOptions} options
   * @param {{onState: (event: StateEvent) => void, onOpen: () => void,
   *   onText: (text: unknown) => void, onLost: () => void, onAsk: () => void}} hooks onLost comes
   *   once for every onOpen; onAsk wants something sent that gets an answer
   */
  constructor(options, hooks) {
    this.#options = options;
    this.#hooks = hooks;
    this.#clock = options.clock;
    this.#page = options.page;
    this.#counter = new RetryCounter({
      minMs: options.minDelayMs,
      maxMs: options.maxDelayMs,
      maxTries: options.maxRetries,
      random: options.random,
    });
    this.#watch = new LinkWatch(this.#clock, {
      onAsk: () => hooks.onAsk(),
      onDead: () => this.#abandon(CODE_DEAD, 'heartbeat'),
    });
  }

  get state() {
    return this.#state;
  }

  connect() {
    if (this.#wanted && this.#state !== 'failed') {
      return;
    }
    if (!this.#wanted) {
      this.#unlisten = this.#page.listen((event) => this.#onPage(event));
    }
    this.#wanted = true;
    this.#asleep = false;
    this.#startOver();
  }

  /** Now, with the count begun anew; an open connection is replaced. */
  reconnect() {
    if (!this.#wanted) {
      this.connect();
      return;
    }
    this.#asleep = false;
    this.#dropSocket(1000, 'reconnect');
    this.#retryNow();
  }

  close(code = 1000, reason = '') {
    if (!this.#wanted) {
      return;
    }
    this.#wanted = false;
    this.#unlisten();
    this.#stopWaiting();
    this.#dropSocket(code, reason);
    this.#become('closed', { code, reason });
  }

  /** @returns {boolean} false when there is no open connection to send on */
  send(text) {
    return this.#state === 'open' && this.#socket?.send(text) === true;
  }

  /** The gateway told its heartbeat. */
  heartbeat(seconds) {
    if (this.#state === 'open') {
      this.#watch.start(seconds * 1000, this.#options.maxPingDelayMs);
    }
  }

  /** The gateway will close, and gave us a slot to come back in. */
  bye(reconnectInMs) {
    const waitMs = Math.min(reconnectInMs, LONGEST_ADVICE_MS);
    this.#excused = true;
    this.#slotAt = this.#clock.now() + waitMs;
    this.#arm('slot', waitMs, () => {
      this.#moving = true;
      this.#dropSocket(1000, 'moved');
      this.#retry({ code: CODE_MOVED, reason: 'moved' });
    });
  }

  /** The gateway asked for patience: if it closes now, that is no failure of ours. */
  retryAfter(ms) {
    this.#notBefore = this.#clock.now() + Math.min(ms, LONGEST_ADVICE_MS);
  }

  #startOver() {
    this.#counter.reset();
    this.#isTry = false;
    this.#openSocket('connecting');
  }

  #retryNow() {
    this.#counter.reset();
    this.#retry();
  }

  /** @param {{code?: number, reason?: string}} [detail] why, where it was not told before */
  #retry(detail = {}) {
    this.#stopWaiting();
    if (!this.#page.online()) {
      this.#become('offline', {});
      return;
    }
    if (!this.#page.visible() && !this.#moving) {
      this.#become('reconnecting', { reason: 'page_hidden' });
      return;
    }
    this.#isTry = true;
    this.#openSocket('reconnecting', detail);
  }

  #openSocket(state, detail = {}) {
    this.#stopWaiting();
    this.#excused = false;
    this.#moving = false;
    this.#slotAt = 0;
    const socket = new Socket(this.#options, {
      onOpen: () => this.#onOpen(),
      onText: (text) => {
        this.#watch.life();
        this.#hooks.onText(text);
      },
      onClose: (code, reason) => this.#onClose(code, reason),
      onNoUrl: () => this.#abandon(1006, 'no_url'),
      onBadUrl: () => this.#fail({ reason: 'bad_url' }),
    });
    this.#socket = socket;
    this.#arm('connect', this.#options.connectTimeoutMs,
      () => this.#abandon(1006, 'connect_timeout'));
    this.#become(state, detail);
    if (this.#socket === socket) { // Else a listener has closed the client, or asked for another.
      socket.start();
    }
  }

  #onOpen() {
    this.#disarm('connect');
    this.#arm('stable', STABLE_MS, () => {
      this.#counter.reset();
      this.#isTry = false;
    });
    this.#watch.start(HEARTBEAT_DEFAULT_MS, this.#options.maxPingDelayMs);
    const socket = this.#socket;
    this.#become('open', {});
    if (this.#socket === socket) {
      this.#hooks.onOpen();
    }
  }

  #onClose(code, reason) {
    const url = this.#socket?.url;
    const wasOpen = this.#forgetSocket();
    if (isFinalClose(code)) {
      this.#fail({ code, reason });
    } else if (wasOpen) {
      this.#planReturn(code, reason);
    } else {
      this.#planAfterRefusal(url, code, reason);
    }
    if (wasOpen) {
      this.#hooks.onLost();
    }
  }

  /** The state stays what it is until the answer is there; whatever happens first wins. */
  #planAfterRefusal(url, code, reason) {
    const { fetch, origin } = this.#options;
    const address = fetch ? plainAddress(url, origin) : null;
    if (address === null || !this.#page.visible() || !this.#page.online()) {
      this.#planReturn(code, reason);
      return;
    }
    this.#stopAsking = askForWait(address, fetch, this.#clock, (waitMs) => {
      if (waitMs > 0) {
        this.retryAfter(waitMs);
      }
      this.#planReturn(code, reason);
    });
  }

  #planReturn(code, reason) {
    const now = this.#clock.now();
    const advised = this.#notBefore > now;
    const excused = this.#excused || advised || code === CODE_MOVED || code === CODE_FULL
      || !this.#page.visible() || !this.#page.online();
    if (this.#isTry && !excused) {
      this.#counter.failed();
    } else if (this.#isTry) {
      this.#counter.excused();
    }
    this.#isTry = false;
    if (this.#counter.exhausted) {
      this.#fail({ code, reason: 'retries' });
      return;
    }
    if (!this.#page.online()) {
      this.#become('offline', { code, reason });
      return;
    }
    this.#moving = code === CODE_MOVED;
    const slotMs = this.#moving ? Math.max(0, this.#slotAt - now) : 0;
    let delayMs = this.#moving && this.#slotAt > 0 ? slotMs : this.#counter.delayMs();
    if (advised) {
      delayMs += this.#notBefore - now; // Everybody got the same advice: keep them apart after it.
    }
    this.#arm('retry', delayMs, () => this.#retry());
    this.#become('reconnecting', { code, reason, delayMs, retryAt: now + delayMs });
  }

  /** The link does not answer; whether the other side hears our close is its own affair. */
  #abandon(code, reason) {
    const wasOpen = this.#dropQuietly(code, reason);
    this.#planReturn(code, reason);
    if (wasOpen) {
      this.#hooks.onLost();
    }
  }

  #fail(detail) {
    this.#forgetSocket();
    this.#stopWaiting();
    this.#become('failed', detail);
  }

  #onPage(event) {
    const handlers = {
      hidden: () => { this.#excused = true; },
      offline: () => this.#onOffline(),
      pagehide: () => this.#onPageHide(),
      pageshow: () => this.#onPageShow(),
      online: () => this.#onGoodMoment(),
      visible: () => this.#onGoodMoment(),
      wake: () => this.#onGoodMoment(),
    };
    handlers[event]?.();
  }

  #onGoodMoment() {
    if (this.#state === 'open' && this.#watch.overdue) {
      // It slept past every heartbeat: the gateway has given us up long ago.
      this.#dropSocket(CODE_DEAD, 'heartbeat');
      this.#retryNow();
    } else if (this.#state === 'open') {
      this.#watch.probe(PROBE_MS);
    } else if (this.#state === 'offline' || (this.#state === 'reconnecting' && !this.#socket)) {
      this.#retryNow();
    }
  }

  #onOffline() {
    if (this.#state === 'failed' || this.#asleep) {
      return;
    }
    this.#dropSocket(1000, 'offline');
    this.#stopWaiting();
    this.#become('offline', {});
  }

  /** A page in the back/forward cache must hold no socket, and one that goes away says so. */
  #onPageHide() {
    if (this.#state === 'failed') {
      return;
    }
    this.#asleep = true;
    this.#stopWaiting();
    this.#dropSocket(1000, 'pagehide');
    this.#become('closed', { code: 1000, reason: 'pagehide' });
  }

  #onPageShow() {
    if (this.#asleep) {
      this.#asleep = false;
      this.#startOver();
    }
  }

  #dropSocket(code, reason) {
    if (this.#dropQuietly(code, reason)) {
      this.#hooks.onLost();
    }
  }

  /** @returns {boolean} whether it was open */
  #dropQuietly(code, reason) {
    const socket = this.#socket;
    const wasOpen = this.#forgetSocket();
    socket?.close(code, reason);
    return wasOpen;
  }

  /** @returns {boolean} whether it was open; until the next state is told nobody may send on it */
  #forgetSocket() {
    const wasOpen = this.#socket?.isOpen === true;
    this.#socket = null;
    this.#watch.stop();
    this.#disarm('stable');
    this.#disarm('connect');
    this.#disarm('slot');
    return wasOpen;
  }

  #become(state, detail) {
    const previous = this.#state;
    this.#state = state;
    this.#hooks.onState({ state, previous, attempt: this.#counter.attempt, ...detail });
  }

  #arm(name, ms, fn) {
    this.#disarm(name);
    this.#timers.set(name, this.#clock.setTimeout(() => {
      this.#timers.delete(name);
      fn();
    }, ms));
  }

  #disarm(name) {
    this.#clock.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #stopWaiting() {
    this.#stopAsking();
    [...this.#timers.keys()].forEach((name) => this.#disarm(name));
  }
}

/** @param {StateEvent} event @returns {ParleyError} */
export function stateError({ state, code, reason }) {
  return new ParleyError(state === 'closed' ? 'closed' : 'failed',
    `the connection is ${state}${reason ? `: ${reason}` : ''}${code ? ` (${code})` : ''}`);
}
