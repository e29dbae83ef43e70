// SPDX-License-Identifier: MIT
/** Questions on the wire and the answers they wait for, matched by `id`. */
import { ParleyError } from './errors.js';

export class Requests {
  /** @type {Map<number, {resolve: Function, reject: Function, timer: unknown}>} */
  #waiting = new Map();
  #next = 1;
  #clock;

  /** @param {import('./environment.js').Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /**
   * @param {number} timeoutMs
   * @param {(id: number) => boolean} send puts the frame on the wire; false: there is none
   * @returns {Promise<any>} the data of the answer; rejects with a ParleyError
   */
  ask(timeoutMs, send) {
    const id = this.#next;
    this.#next += 1;
    const answer = new Promise((resolve, reject) => {
      const timer = this.#clock.setTimeout(() => {
        this.fail(id, new ParleyError('timeout', 'no answer from the gateway'));
      }, timeoutMs);
      this.#waiting.set(id, { resolve, reject, timer });
    });
    if (!send(id)) {
      this.fail(id, new ParleyError('disconnected', 'there is no connection'));
    }
    return answer;
  }

  settle(id, data) {
    this.#take(id)?.resolve(data);
  }

  fail(id, error) {
    this.#take(id)?.reject(error);
  }

  /** The connection is gone: nobody will answer any of them. */
  failAll(error) {
    for (const id of [...this.#waiting.keys()]) {
      this.fail(id, error);
    }
  }

  #take(id) {
    const entry = this.#waiting.get(id);
    if (entry) {
      this.#waiting.delete(id);
      this.#clock.clearTimeout(entry.timer);
    }
    return entry;
  }
}
