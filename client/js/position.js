// SPDX-License-Identifier: MIT
/**
 * Where a reader stands in a room's log. Pure. Offsets count up by one within an epoch; so a lower
 * or equal one is a repetition, a jump is a loss, and another epoch is another log.
 */
export class Position {
  /** @type {string | undefined} */
  #epoch;
  /** The highest offset that was shown, -1 before the first. */
  #shown = -1;
  /** Everything up to here was shown or was reported as missing, or came before us; -1: unknown. */
  #covered = -1;

  get epoch() {
    return this.#epoch;
  }

  get offset() {
    return this.#covered < 0 ? undefined : this.#covered;
  }

  /** @returns {{epoch: string, offset: number} | undefined} what a join asks to resume from */
  get since() {
    return this.#epoch !== undefined && this.#covered >= 0
      ? { epoch: this.#epoch, offset: this.#covered } : undefined;
  }

  /**
   * @param {{epoch?: string, offset?: number, recovered?: boolean}} welcome
   * @returns {{from: number, to: number, why: string} | null} what was missed for good
   */
  welcome({ epoch, offset, recovered }) {
    const before = this.since;
    if (before && epoch !== undefined && epoch !== before.epoch) {
      this.#startAnew(epoch, offset);
      return { from: 0, to: 0, why: 'reset' };
    }
    if (before && recovered) {
      return null; // Every message since then follows.
    }
    const unknown = !before && this.#epoch !== undefined;
    this.#epoch = epoch;
    if (offset === undefined) {
      return null;
    }
    // #shown stays: messages of the history that follow, and that were not shown yet, are welcome.
    this.#covered = Math.max(this.#covered, offset);
    if (before) {
      return offset > before.offset
        ? { from: before.offset + 1, to: offset, why: 'history' } : null;
    }
    // Since a reset nothing came that told us our place; so something may be missing.
    return unknown && offset > 0 ? { from: 0, to: offset, why: 'history' } : null;
  }

  /**
   * @param {{epoch?: string, from?: number, to?: number, why: string}} gap as the gateway told it
   * @returns {boolean} false when the same loss was reported before
   */
  gap({ epoch, to, why }) {
    if (why === 'reset') {
      const news = epoch === undefined || epoch !== this.#epoch || this.#shown >= 0;
      this.#startAnew(epoch, to); // The new epoch goes on from there.
      return news;
    }
    if (to === undefined || (epoch !== undefined && epoch !== this.#epoch)) {
      return true;
    }
    const news = to > this.#covered;
    this.#shown = Math.max(this.#shown, to);
    this.#covered = Math.max(this.#covered, to);
    return news;
  }

  /**
   * @param {number | undefined} offset messages without one (nobody keeps them) always count as new
   * @returns {{fresh: boolean, gap?: {from: number, to: number, why: string}}}
   */
  accept(offset) {
    if (offset === undefined) {
      return { fresh: true };
    }
    if (offset <= this.#shown) {
      return { fresh: false };
    }
    const expected = this.#covered + 1;
    const jumped = this.#covered >= 0 && offset > expected;
    this.#shown = offset;
    this.#covered = Math.max(this.#covered, offset);
    return jumped
      ? { fresh: true, gap: { from: expected, to: offset - 1, why: 'lost' } } : { fresh: true };
  }

  #startAnew(epoch, offset) {
    this.#epoch = epoch;
    this.#shown = -1;
    this.#covered = offset ?? -1;
  }
}
