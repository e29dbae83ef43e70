// SPDX-License-Identifier: MIT
/**
 * One try to open a WebSocket, and the life of what it opens. Once it was closed from this side
 * nothing is heard of it any more, whatever the old link still delivers.
 *
 * @typedef {object} SocketHooks
 * @property {() => void} onOpen
 * @property {(text: unknown) => void} onText
 * @property {(code: number, reason: string) => void} onClose the last one to come
 * @property {() => void} onNoUrl the function that was to give the address failed
 * @property {() => void} onBadUrl what it gave is no address of a WebSocket
 */
export class Socket {
  #options;
  #hooks;
  #ws = null;
  #open = false;
  #over = false;

  /**
   * @param {{url: string | URL | (() => string | Promise<string>), protocols: string | string[],
   *   WebSocket: any}} options
   * @param {SocketHooks} hooks
   */
  constructor(options, hooks) {
    this.#options = options;
    this.#hooks = hooks;
  }

  get isOpen() {
    return this.#open;
  }

  /** @returns {string | undefined} the whole address, as soon as there is one */
  get url() {
    return this.#ws?.url;
  }

  async start() {
    const { url } = this.#options;
    let target = url;
    try {
      if (typeof url === 'function') {
        target = await url();
      }
    } catch {
      this.#tell('onNoUrl');
      return;
    }
    if (!this.#over) {
      this.#connect(String(target));
    }
  }

  /** @returns {boolean} false when it could not be sent */
  send(text) {
    try {
      this.#ws.send(text);
      return true;
    } catch {
      return false;
    }
  }

  /** A browser takes 1000 and 3000-4999 from a page and refuses all other codes. */
  close(code, reason) {
    this.#over = true;
    this.#open = false;
    try {
      this.#ws?.close(code, reason);
    } catch {
      this.#ws?.close();
    }
  }

  #connect(target) {
    const { protocols, WebSocket } = this.#options;
    try {
      this.#ws = new WebSocket(target, protocols);
    } catch {
      this.#tell('onBadUrl');
      return;
    }
    this.#ws.onopen = () => {
      this.#open = !this.#over;
      this.#tell('onOpen');
    };
    this.#ws.onmessage = (event) => this.#tell('onText', event.data);
    this.#ws.onclose = (event) => this.#tell('onClose', event.code, event.reason);
    this.#ws.onerror = () => {}; // A close event always follows, and says more.
  }

  #tell(hook, ...values) {
    if (!this.#over) {
      this.#hooks[hook](...values);
    }
  }
}
