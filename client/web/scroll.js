// SPDX-License-Identifier: MIT
/**
 * The log's place: at the end it stays at the end, above it stays where it is and counts what came.
 */
import { byId, setText } from './dom.js';

const NEAR_PX = 60;

export class Scroll {
  #log = byId('log');
  #jump = byId('jump');
  #missed = 0;
  #pinned = true;
  #observer = new ResizeObserver(() => {
    if (this.#pinned) {
      this.toEnd();
    }
  });

  constructor() {
    this.#jump.onclick = () => this.toEnd();
    this.#log.onscroll = () => {
      this.#pinned = this.#atEnd();
      if (this.#pinned) {
        this.#seen();
      }
    };
    // A banner, a keyboard or a long text makes the log lower: its end must not go out of sight.
    this.#observer.observe(this.#log);
  }

  stop() {
    this.#observer.disconnect();
  }

  /** Another room's list; it is not news, so it is not read out. @param {HTMLElement} list */
  show(list) {
    this.#log.setAttribute('aria-live', 'off');
    this.#log.replaceChildren(list);
    requestAnimationFrame(() => this.#log.setAttribute('aria-live', 'polite'));
    this.toEnd();
  }

  /** @param {() => void} change @param {boolean} counts whether it is something to read */
  around(change, counts) {
    change();
    if (this.#pinned) {
      this.toEnd();
    } else if (counts) {
      this.#missed += 1;
      this.#jump.hidden = false;
      setText(this.#jump, `${this.#missed} new ↓`);
    }
  }

  toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#pinned = true;
    this.#seen();
  }

  #seen() {
    this.#missed = 0;
    this.#jump.hidden = true;
  }

  #atEnd() {
    return this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < NEAR_PX;
  }
}
