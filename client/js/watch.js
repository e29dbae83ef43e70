// SPDX-License-Identifier: MIT
/**
 * Is the link alive? The gateway pings a connection that was silent for `heartbeat`; so a link on
 * which nothing came for longer than that and some slack is dead, although TCP may need a quarter
 * of an hour to say so. Half-way through the slack the watch asks once itself: a client that only
 * sends things that need no answer is not silent for the gateway, but hears nothing.
 */
export class LinkWatch {
  #clock;
  #hooks;
  #heartbeatMs = 0;
  #slackMs = 0;
  #lastSeen = 0;
  #asked = false;
  #timer;
  #probeTimer;

  /**
   * @param {import('./environment.js').Clock} clock
   * @param {{onAsk: () => void, onDead: () => void}} hooks
   */
  constructor(clock, hooks) {
    this.#clock = clock;
    this.#hooks = hooks;
  }

  start(heartbeatMs, slackMs) {
    this.stop();
    this.#heartbeatMs = heartbeatMs;
    this.#slackMs = slackMs;
    this.life();
    this.#arm(heartbeatMs + slackMs / 2);
  }

  stop() {
    this.#clock.clearTimeout(this.#timer);
    this.#clock.clearTimeout(this.#probeTimer);
    this.#timer = undefined;
    this.#probeTimer = undefined;
  }

  /** Something arrived. Cheap: timers are moved when they fire, not at every message. */
  life() {
    this.#lastSeen = this.#clock.now();
    this.#asked = false;
    if (this.#probeTimer !== undefined) {
      this.#clock.clearTimeout(this.#probeTimer);
      this.#probeTimer = undefined;
    }
  }

  /** Nothing came for so long that the gateway, too, has given the link up. */
  get overdue() {
    return this.#timer !== undefined
      && this.#clock.now() - this.#lastSeen > this.#heartbeatMs + this.#slackMs;
  }

  /** Doubt (the machine slept, the page was shown again): an answer within `ms`, or it is dead. */
  probe(ms) {
    if (this.#timer === undefined || this.#probeTimer !== undefined) {
      return;
    }
    this.#probeTimer = this.#clock.setTimeout(() => this.#dead(), ms);
    this.#hooks.onAsk();
  }

  #arm(ms) {
    this.#timer = this.#clock.setTimeout(() => this.#check(), ms);
  }

  #check() {
    const idle = Math.max(0, this.#clock.now() - this.#lastSeen);
    const askAt = this.#heartbeatMs + this.#slackMs / 2;
    if (idle < askAt) {
      this.#arm(askAt - idle);
    } else if (!this.#asked) {
      this.#asked = true;
      this.#arm(this.#slackMs / 2);
      this.#hooks.onAsk();
    } else {
      this.#dead();
    }
  }

  #dead() {
    this.stop();
    this.#hooks.onDead();
  }
}
