// SPDX-License-Identifier: MIT
/**
 * The demo's buttons: a link that can be cut and a network that can be switched off, put between
 * the client library and the browser through the same doors that its tests use.
 */
import { browserPage } from '/client/js/parley.js';

/** A private code, which is no verdict of a gateway; so the client comes back. */
const CUT = 3001;

let current = null;

/** A WebSocket that can be found again. */
export class CuttableSocket extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols);
    current = this;
  }
}

export function cutConnection() {
  current?.close(CUT, 'cut by hand');
}

/** The page as it is, and a switch that says "no network". */
export class SwitchablePage {
  #page = browserPage();
  #off = false;
  #listeners = new Set();

  visible = () => this.#page.visible();
  online = () => !this.#off && this.#page.online();

  listen = (listener) => {
    this.#listeners.add(listener);
    const stop = this.#page.listen((event) => {
      if (!(this.#off && event === 'online')) {
        listener(event);
      }
    });
    return () => {
      this.#listeners.delete(listener);
      stop();
    };
  };

  /** @param {boolean} off */
  switchOff(off) {
    this.#off = off;
    this.#listeners.forEach((listener) => listener(off ? 'offline' : 'online'));
  }
}
