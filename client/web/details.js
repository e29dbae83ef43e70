// SPDX-License-Identifier: MIT
/**
 * The panel that teaches the protocol: where we are connected, what is said, and how to break it.
 */
import { byId, make, setText } from './dom.js';
import { cutConnection } from './mischief.js';
import { clockTime } from './text.js';

const FRAMES = 100;
const FRAME_CHARACTERS = 600;

export class Details {
  #client;
  #page;
  #lastClose = 'none yet';
  #counts = { in: 0, out: 0 };
  #offline = false;
  #off = new AbortController();

  /**
   * @param {import('/client/js/parley.js').Parley} client
   * @param {import('./mischief.js').SwitchablePage} page
   */
  constructor(client, page) {
    this.#client = client;
    this.#page = page;
    const { signal } = this.#off;
    const click = (id, fn) => byId(id).addEventListener('click', fn, { signal });
    click('show-details', () => this.#open(byId('details').hidden));
    click('hide-details', () => this.#open(false));
    click('drop', cutConnection);
    click('go-offline', () => this.#toggleOffline());
    click('second-tab', () => { byId('second-tab').href = window.location.href; });
    byId('details').addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        this.#open(false);
      }
    }, { signal });
    client.on('frames', (frame) => this.#onFrame(frame));
    client.on('state', (event) => {
      if (event.code !== undefined) {
        this.#lastClose = `${event.code}${event.reason ? ` ${event.reason}` : ''}`;
      }
      this.#draw();
    });
    client.on('welcome', () => this.#draw());
    client.on('latency', () => this.#draw());
    client.on('queue', () => this.#draw());
    byId('show-details').hidden = false;
    byId('frames').replaceChildren();
    this.#draw();
  }

  stop() {
    this.#off.abort();
    this.#open(false);
    byId('show-details').hidden = true;
  }

  #open(open) {
    byId('details').hidden = !open;
    byId('show-details').setAttribute('aria-expanded', String(open));
    this.#draw();
    (open ? byId('hide-details') : byId('show-details')).focus();
  }

  #toggleOffline() {
    this.#offline = !this.#offline;
    byId('go-offline').setAttribute('aria-pressed', String(this.#offline));
    setText(byId('go-offline'), this.#offline ? 'Go online' : 'Go offline');
    this.#page.switchOff(this.#offline);
  }

  #onFrame({ direction, text, at }) {
    this.#counts[direction] += 1;
    const list = byId('frames');
    const shown = text.length > FRAME_CHARACTERS ? `${text.slice(0, FRAME_CHARACTERS)} …` : text;
    list.prepend(make('li', { class: direction },
      make('b', {}, direction === 'in' ? '← in ' : '→ out '), `${clockTime(at)} `, shown));
    while (list.childElementCount > FRAMES) {
      list.lastElementChild?.remove();
    }
    this.#draw();
  }

  #draw() {
    if (byId('details').hidden) {
      return;
    }
    const { state, gateway, connectionId, latencyMs, pending } = this.#client;
    const facts = [
      ['State', state],
      ['Gateway', gateway ?? '–'],
      ['Connection', connectionId || '–'],
      ['Round trip', latencyMs === null ? '–' : `${latencyMs} ms`],
      ['Unsent', String(pending)],
      ['Last close', this.#lastClose],
      ['Frames', `${this.#counts.in} in, ${this.#counts.out} out`],
    ];
    const list = byId('facts');
    if (list.childElementCount === 0) {
      list.append(...facts.flatMap(([name]) => [make('dt', {}, name), make('dd')]));
    }
    facts.forEach(([, value], i) => setText(list.children[2 * i + 1], value));
  }
}
