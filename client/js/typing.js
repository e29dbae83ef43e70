// SPDX-License-Identifier: MIT
/** Who is typing, both ways: said at most every 3 s, forgotten 6 s after it was last heard. */
const SAY_EVERY_MS = 3_000;
const FORGET_MS = 6_000;

export class Typing {
  #clock;
  #hooks;
  #saidAt = -Infinity;
  /** @type {Map<string, unknown>} */
  #typing = new Map();

  /**
   * @param {import('./environment.js').Clock} clock
   * @param {{onSay: (active: boolean) => void,
   *   onTyping: (event: {user: string, active: boolean}) => void}} hooks
   */
  constructor(clock, hooks) {
    this.#clock = clock;
    this.#hooks = hooks;
  }

  say(active) {
    const now = this.#clock.now();
    if (active && now - this.#saidAt >= SAY_EVERY_MS) {
      this.#saidAt = now;
      this.#hooks.onSay(true);
    } else if (!active && this.#saidAt > -Infinity) {
      this.#saidAt = -Infinity;
      this.#hooks.onSay(false);
    }
  }

  /** Our message says by itself that we do not type any more. */
  sent() {
    this.#saidAt = -Infinity;
  }

  heard(user, active) {
    const was = this.#typing.has(user);
    this.#clock.clearTimeout(this.#typing.get(user));
    this.#typing.delete(user);
    if (active) {
      this.#typing.set(user, this.#clock.setTimeout(() => this.heard(user, false), FORGET_MS));
    }
    if (was !== active) {
      this.#hooks.onTyping({ user, active });
    }
  }

  clear() {
    this.#saidAt = -Infinity;
    [...this.#typing.keys()].forEach((user) => this.heard(user, false));
  }
}
