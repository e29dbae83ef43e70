// SPDX-License-Identifier: MIT
/**
 * Where the WebSocket is: beside the page, unless `?ws=` names another port of the same host.
 * Another host is refused, or a link could make somebody type into a stranger's server.
 *
 * @param {Location | URL} location
 * @returns {string}
 */
export function endpoint(location) {
  const beside = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`;
  const asked = new URLSearchParams(location.search).get('ws');
  if (asked === null) {
    return beside;
  }
  try {
    const url = new URL(asked);
    const allowed = (url.protocol === 'ws:' || url.protocol === 'wss:')
      && url.hostname === location.hostname && url.username === '' && url.hash === '';
    return allowed ? url.href : beside;
  } catch {
    return beside;
  }
}
