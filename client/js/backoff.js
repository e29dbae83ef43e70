// SPDX-License-Identifier: MIT
/**
 * When to try again. Pure: no timer, no socket; chance and time are given.
 *
 * Full jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), with a floor so
 * that nobody comes back within the first instant: min + random(0, min(max, min * 2^n)). Ten
 * thousand clients that lost one gateway so come back spread over the whole interval, not in waves.
 */

/**
 * @param {number} attempt 0 for the first try
 * @param {number} minMs
 * @param {number} maxMs
 * @param {() => number} [random] in [0, 1), like Math.random
 * @returns {number} whole milliseconds, minMs <= result <= minMs + maxMs
 */
export function fullJitter(attempt, minMs, maxMs, random = Math.random) {
  const ceiling = Math.min(maxMs, minMs * 2 ** Math.max(0, attempt));
  return Math.round(minMs + random() * ceiling);
}

/**
 * Counts what failed. Two numbers, because they answer different questions: `failures` (every
 * failure in a row) makes the waits longer; `tries` (only those that say something about the
 * network) ends them. A server that asks its clients to move must not use up their patience.
 */
export class RetryCounter {
  #minMs;
  #maxMs;
  #maxTries;
  #random;
  #failures = 0;
  #tries = 0;

  /** @param {{minMs: number, maxMs: number, maxTries: number, random: () => number}} options */
  constructor({ minMs, maxMs, maxTries, random }) {
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#maxTries = maxTries;
    this.#random = random;
  }

  /** A connection proved stable, or a person or the browser said that now is a good time. */
  reset() {
    this.#failures = 0;
    this.#tries = 0;
  }

  /** A try ended without a stable connection, and it counts. */
  failed() {
    this.#failures += 1;
    this.#tries += 1;
  }

  /** A try ended, but not by its own fault: hidden page, no network, drain, full gateway. */
  excused() {
    this.#failures += 1;
  }

  /** The number of the next try as a person counts: 1 for the first. */
  get attempt() {
    return this.#tries + 1;
  }

  get exhausted() {
    return this.#tries >= this.#maxTries;
  }

  /** @returns {number} milliseconds to wait before the next try */
  delayMs() {
    return fullJitter(this.#failures, this.#minMs, this.#maxMs, this.#random);
  }
}
