// SPDX-License-Identifier: MIT
/**
 * The outside world behind three small objects, so that tests can bring their own: a clock, the
 * page's life (visible, online, asleep), and fresh keys.
 *
 * @typedef {object} Clock
 * @property {() => number} now Unix time in milliseconds
 * @property {(fn: () => void, ms: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 *
 * @typedef {'visible'|'hidden'|'online'|'offline'|'pagehide'|'pageshow'|'wake'} PageEvent
 * @typedef {object} Page
 * @property {() => boolean} visible
 * @property {() => boolean} online
 * @property {(listener: (event: PageEvent) => void) => (() => void)} listen returns the way back
 */

/** @type {Clock} */
export const systemClock = {
  now: () => Date.now(),
  setTimeout: (fn, ms) => setTimeout(fn, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};

/** A page that is always there: Node, workers, and browsers with `pageEvents: false`.
 * @type {Page} */
export const steadyPage = {
  visible: () => true,
  online: () => true,
  listen: () => () => {},
};

const WAKE_TICK_MS = 5_000;
/** A tick that comes this much too late means that the machine slept: background pages are slowed
 * down to one timer a minute at most, so less would cry wolf. */
const WAKE_LATE_MS = 70_000;

/**
 * The page this script runs in.
 * @param {any} [scope] the global object
 * @param {Clock} [clock]
 * @returns {Page}
 */
export function browserPage(scope = globalThis, clock = systemClock) {
  const { document, navigator } = scope;
  return {
    visible: () => document.visibilityState !== 'hidden',
    online: () => navigator.onLine !== false,
    listen(listener) {
      const onVisibility = () => {
        listener(document.visibilityState === 'hidden' ? 'hidden' : 'visible');
      };
      const onWindow = (event) => listener(event.type);
      const names = ['online', 'offline', 'pagehide', 'pageshow'];
      document.addEventListener('visibilitychange', onVisibility);
      names.forEach((name) => scope.addEventListener(name, onWindow));
      let last = clock.now();
      let timer = clock.setTimeout(function tick() {
        const late = clock.now() - last - WAKE_TICK_MS;
        last = clock.now();
        timer = clock.setTimeout(tick, WAKE_TICK_MS);
        if (late > WAKE_LATE_MS) {
          listener('wake');
        }
      }, WAKE_TICK_MS);
      return () => {
        clock.clearTimeout(timer);
        document.removeEventListener('visibilitychange', onVisibility);
        names.forEach((name) => scope.removeEventListener(name, onWindow));
      };
    },
  };
}

/** @returns {string} 22 characters that nobody else has: the idempotency key of one message */
export function freshKey() {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const bytes = new Uint8Array(22);
  if (globalThis.crypto?.getRandomValues) {
    globalThis.crypto.getRandomValues(bytes);
  } else {
    bytes.forEach((_, i) => { bytes[i] = Math.floor(Math.random() * 256); });
  }
  return Array.from(bytes, (byte) => alphabet[byte & 63]).join('');
}
