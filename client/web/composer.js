// SPDX-License-Identifier: MIT
/** The message box: Enter sends, commands begin with a slash, and it works without a connection. */
import { byId, setText } from './dom.js';

const LIMIT = 4_000;
const NEAR = 200;
const MSG = /^\/msg\s+(?:"([^"]+)"|(\S+))\s+([\s\S]+)$/;
export const HELP = `/me waves            say what you do
/msg bob hello       a message that only bob sees ("two words" for a name with a space)
/leave               leave this room
/help                this list`;

/**
 * @typedef {object} Actions
 * @property {(text: string) => void} chat
 * @property {(user: string, text: string) => void} direct
 * @property {() => void} leave
 * @property {() => void} help
 * @property {(problem: string) => void} complain
 * @property {(active: boolean) => void} typing
 */
export class Composer {
  #actions;
  #box = byId('compose');
  #target = null;
  #off = new AbortController();

  /** @param {Actions} actions */
  constructor(actions) {
    this.#actions = actions;
    const { signal } = this.#off;
    this.#box.addEventListener('keydown', (event) => this.#onKey(event), { signal });
    this.#box.addEventListener('input', () => this.#onInput(), { signal });
    byId('send-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    }, { signal });
    byId('target').addEventListener('click', () => this.writeTo(null), { signal });
    this.writeTo(null);
  }

  stop() {
    this.#off.abort();
  }

  /** @param {string} room */
  setRoom(room) {
    this.#box.placeholder = room ? `Message #${room}` : 'Join a room first';
    this.#box.disabled = !room;
  }

  /** The next messages go to one user only; null: to the room again. @param {string | null} user */
  writeTo(user) {
    this.#target = user;
    byId('target').hidden = user === null;
    setText(byId('target'), user === null ? '' : `To ${user} only  ✕`);
    if (user !== null) {
      this.#box.focus();
    }
  }

  #onKey(event) {
    // keyCode 229 is how Safari says "composing" at the Enter that ends a composition.
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === 'Escape' && this.#target !== null) {
      this.writeTo(null);
    }
  }

  #onInput() {
    this.#grow();
    const text = this.#box.value;
    const left = LIMIT - text.length;
    byId('hint').classList.toggle('near', left <= NEAR);
    setText(byId('hint'), left <= NEAR
      ? `${left} characters left` : 'Enter to send · Shift+Enter for a new line');
    if (this.#target === null && !text.startsWith('/')) {
      this.#actions.typing(text !== '');
    }
  }

  #grow() {
    this.#box.style.height = 'auto';
    this.#box.style.height = `${this.#box.scrollHeight + 2}px`;
  }

  #submit() {
    const text = this.#box.value.trim();
    if (text === '' || !this.#perform(text)) {
      return;
    }
    this.#box.value = '';
    this.#onInput();
    this.#box.focus();
  }

  /** @returns {boolean} false: it stays in the box, to be corrected */
  #perform(text) {
    const command = /^\/(\w+)/.exec(text)?.[1];
    const table = {
      help: () => this.#actions.help(),
      leave: () => this.#actions.leave(),
      me: () => this.#actions.chat(text),
      msg: () => {
        const [, quoted, plain, words] = MSG.exec(text) ?? [];
        if (words === undefined) {
          this.#actions.complain('Write /msg, a name, and what to say.');
          return false;
        }
        this.#actions.direct(quoted ?? plain, words);
        return true;
      },
    };
    if (command !== undefined) {
      if (!Object.hasOwn(table, command)) {
        this.#actions.complain(`There is no command /${command}. Try /help.`);
        return false;
      }
      return table[command]() !== false;
    }
    if (this.#target !== null) {
      this.#actions.direct(this.#target, text);
    } else {
      this.#actions.chat(text);
    }
    return true;
  }
}
