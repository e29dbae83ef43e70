// SPDX-License-Identifier: MIT
/**
 * Who is in a room, folded from one snapshot and the digests after it. Pure.
 *
 * Invariant: a name is present while its number of connections is above 0, and `online`, which the
 * gateway says with every digest, is the truth; the names follow it. They may differ for a while (a
 * departed name is held back for the gateway's rejoin grace). Longer than that, or when a list was
 * cut, means: ask for a new snapshot.
 */
export class Presence {
  /** @type {Map<string, {user: string, connections: number}>} */
  #members = new Map();
  #total = 0;
  #settlingMs;
  #doubtMs;
  #snapshotAt = -Infinity;
  online = 0;
  /** False until the first snapshot: the names are not known yet. */
  known = false;
  /** True when the room has more members than a client keeps: the names are a sample. */
  partial = false;
  /**
   * True when names came so soon after the snapshot that nobody can say whether it had them already;
   * one who came and one who went then add up to the right number under wrong names.
   */
  doubtful = false;

  /**
   * @param {number} settlingMs how long a digest may repeat what the snapshot already had
   * @param {number} doubtMs how long after a snapshot that cannot be told for sure
   */
  constructor(settlingMs = 1_000, doubtMs = 4_000) {
    this.#settlingMs = settlingMs;
    this.#doubtMs = doubtMs;
  }

  /** @returns {ReadonlyMap<string, {user: string, connections: number}>} */
  get members() {
    return this.#members;
  }

  /** @returns {boolean} true when the names do not add up to `online` */
  get differs() {
    return this.known && !this.partial && this.#total !== this.online;
  }

  /** The connection is gone; what is known may be stale, and no digest fits to it any more. */
  forget() {
    this.known = false;
  }

  /**
   * @param {{user: string, connections: number}[]} list may name a user more than once: these add
   * @param {{online: number, partial: boolean, nowMs: number}} facts
   */
  snapshot(list, { online, partial, nowMs }) {
    this.#members = new Map();
    this.#total = 0;
    for (const { user, connections } of list) {
      this.#add(user, connections);
    }
    this.online = online;
    this.partial = partial;
    this.known = true;
    this.doubtful = false;
    this.#snapshotAt = nowMs;
  }

  /**
   * @param {{online: number, joined?: string[], left?: string[]}} digest
   * @param {number} nowMs
   * @returns {{joined: string[], left: string[]}} names that were not there, and names now gone
   */
  digest({ online, joined = [], left = [] }, nowMs) {
    this.online = online;
    if (!this.known || this.#repeats(joined, left, nowMs)) {
      return { joined: [], left: [] };
    }
    const names = joined.length + left.length > 0;
    this.doubtful ||= names && nowMs - this.#snapshotAt < this.#doubtMs;
    const before = new Map();
    for (const user of [...joined, ...left]) {
      before.set(user, this.#members.has(user));
    }
    joined.forEach((user) => this.#add(user, 1));
    left.forEach((user) => this.#remove(user));
    const changed = [...before].filter(([user, was]) => was !== this.#members.has(user));
    return {
      joined: changed.filter(([, was]) => !was).map(([user]) => user),
      left: changed.filter(([, was]) => was).map(([user]) => user),
    };
  }

  /**
   * The first digest after a snapshot may tell what the snapshot already had, our own coming first
   * of all. It does when the names add up without it, would not with it, and every name in it
   * is already as it says.
   */
  #repeats(joined, left, nowMs) {
    const change = joined.length - left.length;
    return nowMs - this.#snapshotAt < this.#settlingMs && change !== 0
      && this.#total === this.online
      && joined.every((user) => this.#members.has(user))
      && left.every((user) => !this.#members.has(user));
  }

  #add(user, connections) {
    if (connections === 0) {
      return;
    }
    const known = this.#members.get(user)?.connections ?? 0;
    this.#members.set(user, { user, connections: known + connections });
    this.#total += connections;
  }

  #remove(user) {
    const known = this.#members.get(user)?.connections ?? 0;
    if (known > 1) {
      this.#members.set(user, { user, connections: known - 1 });
    } else {
      this.#members.delete(user);
    }
    this.#total -= Math.min(known, 1);
  }
}
