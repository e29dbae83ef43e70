// SPDX-License-Identifier: MIT
/** What the page remembers. A browser may forbid storage; then it remembers nothing, and works. */

/** @param {'localStorage' | 'sessionStorage'} name @returns {Storage | undefined} */
function storageOf(name) {
  try {
    const storage = window[name];
    storage.setItem('parley.probe', '1');
    storage.removeItem('parley.probe');
    return storage;
  } catch {
    return undefined;
  }
}

const local = storageOf('localStorage');

/** Lives as long as the tab: unsent messages, open rooms, whether somebody is in. */
export const tabStorage = storageOf('sessionStorage');

/** Lives on: name and theme. */
export const remembered = {
  get: (key) => local?.getItem(`parley.${key}`) ?? '',
  set: (key, value) => local?.setItem(`parley.${key}`, value),
};

export const tab = {
  get: (key) => tabStorage?.getItem(`parley.${key}`) ?? '',
  set: (key, value) => tabStorage?.setItem(`parley.${key}`, value),
  drop: (key) => tabStorage?.removeItem(`parley.${key}`),

  /** @returns {string[]} */
  list(key) {
    try {
      const list = JSON.parse(this.get(key));
      return Array.isArray(list) ? list.filter((item) => typeof item === 'string') : [];
    } catch {
      return [];
    }
  },
};
