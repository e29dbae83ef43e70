// SPDX-License-Identifier: MIT
/** What went wrong, as something a program can decide on. */

/**
 * Codes after which the same request may succeed later. The first five are the gateway's; the rest
 * are this library's own: the link fell, no answer came, the queue was full.
 */
const TEMPORARY = new Set([
  'unavailable', 'unknown_outcome', 'rate_limited', 'internal', 'room_full',
  'disconnected', 'timeout', 'queue_full', 'bad_frame',
]);

/** Codes after which the library itself sends the same request again, with the same key. */
export const ASK_AGAIN = new Set(['unavailable', 'unknown_outcome', 'rate_limited', 'timeout']);

export class ParleyError extends Error {
  /**
   * @param {string} code one of the protocol's error codes, or `disconnected`, `timeout`,
   *   `queue_full`, `expired`, `aborted`, `closed`, `failed`, `bad_frame`, `bad_argument`
   * @param {string} message for people
   * @param {number} [retryAfterMs] the gateway's advice
   */
  constructor(code, message, retryAfterMs) {
    super(message || code);
    this.name = 'ParleyError';
    this.code = code;
    this.temporary = TEMPORARY.has(code);
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * The protocol's one rule for close codes. What it does not name (private 3000-3999, the 1015 of a
 * failed TLS handshake) is no verdict of a gateway, so the client tries again.
 *
 * @param {number} code
 * @returns {boolean} true when coming back would be pointless
 */
export function isFinalClose(code) {
  return code === 1002 || code === 1003 || (code >= 1007 && code <= 1010)
    || (code >= 4500 && code <= 4999);
}
