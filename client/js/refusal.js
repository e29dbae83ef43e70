// SPDX-License-Identifier: MIT
/**
 * Why was the socket refused? A browser does not tell: a gateway that is full or shuts down (503 and
 * Retry-After) looks like one that is not there. But it answers a plain request to the socket's own
 * address with the same status, and that can be read.
 */

/** The answer is worth no longer wait: without it the try simply counts. */
const ANSWER_MS = 2_000;
const LONGEST_WAIT_S = 300;

/**
 * @param {unknown} socketUrl
 * @param {string} [origin] of the page, if there is one; another origin's answer could not be read,
 *   and asking would only write errors to the console
 * @returns {string | null} where to ask, or null when nobody can be asked
 */
export function plainAddress(socketUrl, origin) {
  try {
    const { href } = new URL(String(socketUrl));
    const url = new URL(href.replace(/^ws/, 'http'));
    const readable = origin === undefined || origin === url.origin;
    return /^wss?:/.test(href) && readable ? url.href : null;
  } catch {
    return null;
  }
}

/**
 * Asks once.
 * @param {string} address
 * @param {typeof globalThis.fetch} fetch
 * @param {import('./environment.js').Clock} clock
 * @param {(waitMs: number) => void} onAnswer comes once, later: how long the gateway wants us to
 *   stay away; 0 when it said nothing of the kind, or nothing at all
 * @returns {() => void} takes the question back: onAnswer does not come any more
 */
export function askForWait(address, fetch, clock, onAnswer) {
  const question = new AbortController();
  const stop = () => {
    clock.clearTimeout(timer);
    question.abort(); // Frees the connection, too, when only the head was read.
  };
  const answer = (waitMs) => {
    if (!question.signal.aborted) {
      stop();
      onAnswer(waitMs);
    }
  };
  const timer = clock.setTimeout(() => answer(0), ANSWER_MS);
  readWait(address, fetch, question.signal).then(answer, () => answer(0));
  return stop;
}

async function readWait(address, fetch, signal) {
  // A redirect is no answer of a gateway, and following it could lead to another origin.
  const response = await fetch(address, { cache: 'no-store', redirect: 'manual', signal });
  const field = response.headers.get('Retry-After') ?? '';
  const seconds = /^\d{1,3}$/.test(field) ? Number(field) : 0;
  return response.status === 503 && seconds <= LONGEST_WAIT_S ? seconds * 1000 : 0;
}
