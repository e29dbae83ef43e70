// SPDX-License-Identifier: MIT
/**
 * The pill (always) and the banner (while something is wrong). Only the pill's few words are a live
 * region: a countdown that is read out every second would help nobody.
 */
import { byId, setText } from './dom.js';
import { plural } from './text.js';

/** A loss shorter than this shows in the pill alone; a planned one may take longer. */
const QUIET_MS = 800;
const QUIET_PLANNED_MS = 2_000;
const PLANNED = new Set([4000, 4001]);
/** The gateway sent us to another one: nobody has to know, unless it takes long. */
const MOVED = 4000;
const TICK_MS = 250;

const PILLS = {
  idle: ['warn', 'Connecting…'],
  connecting: ['warn', 'Connecting…'],
  open: ['ok', 'Connected'],
  reconnecting: ['warn', 'Reconnecting…'],
  offline: ['bad', 'Offline'],
  failed: ['bad', 'Failed'],
  closed: ['warn', 'Closed'],
};

/** What a final close code means to a person. */
const FINAL = {
  4500: 'The gateway did not understand this page.',
  4501: 'The gateway asks for a valid token.',
  4503: 'You were disconnected by an operator.',
  4504: 'Too many connections from this user or address.',
};

export class Status {
  #client;
  #maxRetries;
  #event = { state: 'idle' };
  #lostAt = 0;
  #wasOpen = false;
  #quietMs = QUIET_MS;
  #silentUntil = 0;
  #timer;
  #shown = false;

  /** @param {import('/client/js/parley.js').Parley} client @param {number} maxRetries */
  constructor(client, maxRetries) {
    this.#client = client;
    this.#maxRetries = maxRetries;
    client.on('welcome', () => this.draw());
    client.on('latency', () => this.draw());
    client.on('queue', () => this.draw());
    client.on('state', (event) => this.#onState(event));
    byId('retry').onclick = () => client.reconnect();
    byId('pill').hidden = false;
    this.draw();
  }

  /** The client is not used any more. */
  stop() {
    clearInterval(this.#timer);
    byId('banner').hidden = true;
    byId('pill').hidden = true;
  }

  #onState(event) {
    if (event.state === 'reconnecting' && this.#lostAt === 0) {
      this.#lostAt = Date.now();
      this.#quietMs = PLANNED.has(event.code) ? QUIET_PLANNED_MS : QUIET_MS;
      this.#silentUntil = event.code === MOVED ? this.#lostAt + QUIET_PLANNED_MS : 0;
    }
    if (event.state === 'open') {
      this.#wasOpen = true;
      this.#lostAt = 0;
    }
    this.#event = event;
    clearInterval(this.#timer);
    if (event.state === 'reconnecting' || (event.state === 'open' && this.#silentUntil > 0)) {
      this.#timer = setInterval(() => this.draw(), TICK_MS);
    }
    this.draw();
  }

  draw() {
    const { state } = this.#event;
    const welcomed = state !== 'open' || this.#client.connectionId !== null;
    if (this.#silent(state, welcomed)) {
      return;
    }
    const [look, words] = PILLS[welcomed ? state : 'connecting'];
    byId('pill').className = `pill ${look}`;
    setText(byId('pill-text'), words);
    const { latencyMs, gateway } = this.#client;
    const ok = look === 'ok';
    setText(byId('pill-latency'), ok && latencyMs !== null ? ` · ${latencyMs} ms` : '');
    setText(byId('pill-gateway'), ok && gateway ? ` · ${gateway}` : '');
    this.#drawBanner();
  }

  /** @returns {boolean} true while a planned move may go unsaid */
  #silent(state, welcomed) {
    const under = state === 'reconnecting' || (state === 'open' && !welcomed);
    if (!under && this.#silentUntil > 0) {
      this.#silentUntil = 0;
      clearInterval(this.#timer);
    }
    return Date.now() < this.#silentUntil;
  }

  #drawBanner() {
    const content = this.#content();
    this.#shown = content !== null;
    byId('banner').hidden = !this.#shown;
    if (content === null) {
      return;
    }
    const { bad = false, title, text, progress = null } = content;
    byId('banner').className = bad ? 'banner bad' : 'banner';
    setText(byId('banner-title'), title);
    setText(byId('banner-text'), text);
    const bar = byId('banner-progress');
    bar.hidden = progress === null;
    bar.value = progress ?? 0;
    byId('retry').hidden = this.#event.state === 'offline';
  }

  /** @returns {{title: string, text: string, bad?: boolean, progress?: number | null} | null} */
  #content() {
    const { state, code, reason } = this.#event;
    const unsent = this.#client.pending;
    if (state === 'offline') {
      return { bad: true, title: 'You are offline.',
        text: unsent ? `${plural(unsent, 'message is', 'messages are')} waiting.`
          : 'Messages will be sent when you are back.' };
    }
    if (state === 'failed' && reason === 'retries') {
      const kept = unsent
        ? ` ${plural(unsent, 'unsent message is', 'unsent messages are')} kept.` : '';
      return { bad: true, title: `Could not reconnect after ${this.#maxRetries} tries.`,
        text: `Refresh the page or retry.${kept}` };
    }
    if (state === 'failed') {
      return { bad: true, title: 'The connection was refused.',
        text: FINAL[code] ?? `The gateway closed it for good${code ? ` (code ${code})` : ''}.` };
    }
    const quiet = Date.now() - this.#lostAt < this.#quietMs;
    if (state !== 'reconnecting' || (quiet && !this.#shown)) {
      return null;
    }
    return this.#countdown(unsent);
  }

  #countdown(unsent) {
    const { attempt, delayMs, retryAt, reason } = this.#event;
    const tries = `(try ${attempt} of ${this.#maxRetries})`;
    const waiting = unsent ? ` · ${plural(unsent, 'message', 'messages')} waiting` : '';
    const leftMs = retryAt === undefined ? 0 : Math.max(0, retryAt - Date.now());
    let text = `Trying now ${tries}`;
    if (reason === 'page_hidden') {
      text = 'Reconnecting when this page is shown';
    } else if (leftMs > 0) {
      text = `Reconnecting in ${Math.ceil(leftMs / 1000)} s ${tries}`;
    }
    return {
      title: this.#wasOpen ? 'Connection lost.' : 'No connection.',
      text: text + waiting,
      progress: delayMs ? 1 - leftMs / delayMs : 1,
    };
  }
}
