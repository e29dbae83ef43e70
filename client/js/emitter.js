// SPDX-License-Identifier: MIT
/** Listeners whose exceptions stay their own: one broken listener stops neither the next nor us. */
export class Emitter {
  /** @type {Map<string, Set<{fn: Function, once: boolean}>>} */
  #listeners = new Map();
  #report;

  /** @param {(event: string, problem: unknown) => void} report told of what a listener threw */
  constructor(report) {
    this.#report = report;
  }

  /**
   * @param {string} event
   * @param {Function} fn
   * @param {{once?: boolean, signal?: AbortSignal}} [options]
   * @returns {() => void} takes the listener away again
   */
  on(event, fn, { once = false, signal } = {}) {
    if (typeof fn !== 'function') {
      throw new TypeError(`the listener of "${event}" is not a function`);
    }
    const entry = { fn, once };
    let set = this.#listeners.get(event);
    if (!set) {
      set = new Set();
      this.#listeners.set(event, set);
    }
    const off = () => {
      this.#listeners.get(event)?.delete(entry);
      signal?.removeEventListener('abort', off);
    };
    if (signal?.aborted) {
      return off;
    }
    set.add(entry);
    signal?.addEventListener('abort', off);
    return off;
  }

  /**
   * @param {string} event
   * @param {unknown} [value]
   */
  emit(event, value) {
    const set = this.#listeners.get(event);
    if (!set) {
      return;
    }
    for (const entry of [...set]) {
      if (entry.once) {
        set.delete(entry);
      }
      try {
        const result = entry.fn(value);
        if (result && typeof result.catch === 'function') {
          result.catch((problem) => this.#report(event, problem));
        }
      } catch (problem) {
        this.#report(event, problem);
      }
    }
  }
}
