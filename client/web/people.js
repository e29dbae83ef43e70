// SPDX-License-Identifier: MIT
/**
 * Who is here: own name first, tabs of one person merged, and no more rows than a page can bear.
 */
import { byId, make, setText } from './dom.js';
import { avatar, plural } from './text.js';

const ROWS = 100;

export class People {
  #me;
  #onPick;
  #room = null;
  #planned = false;

  /** @param {string} me @param {(user: string) => void} onPick somebody was clicked */
  constructor(me, onPick) {
    this.#me = me;
    this.#onPick = onPick;
  }

  /** @param {import('/client/js/room.js').Room | null} room */
  show(room) {
    this.#room = room;
    this.draw();
  }

  /** Many changes in one frame are one drawing. */
  changed(room) {
    if (room === this.#room && !this.#planned) {
      this.#planned = true;
      requestAnimationFrame(() => {
        this.#planned = false;
        this.draw();
      });
    }
  }

  draw() {
    const room = this.#room;
    setText(byId('people-title'), room?.online ? `Online — ${room.online}` : 'Online');
    setText(byId('show-people'), room?.online ? `People ${room.online}` : 'People');
    const members = room ? this.#sorted([...room.members.values()]) : [];
    const rows = members.slice(0, ROWS);
    byId('people').replaceChildren(...rows.map((member) => this.#row(member)));
    const listed = rows.reduce((sum, { connections }) => sum + connections, 0);
    const more = members.length > ROWS || room?.partial ? Math.max(0, room.online - listed) : 0;
    byId('people-more').hidden = more === 0;
    setText(byId('people-more'), `and ${more} more`);
  }

  #sorted(members) {
    const own = (member) => (member.user === this.#me ? 0 : 1);
    return members.sort((a, b) => own(a) - own(b) || a.user.localeCompare(b.user));
  }

  #row({ user, connections }) {
    const own = user === this.#me;
    const notes = [own ? '(you)' : '', connections > 1 ? plural(connections, 'tab', 'tabs') : ''];
    const content = [
      avatar(user),
      make('span', { class: 'name' }, user),
      make('span', { class: 'me' }, notes.filter(Boolean).join(' ')),
    ];
    if (own) {
      return make('li', {}, make('div', { class: 'person' }, ...content));
    }
    const button = make('button', { class: 'person', type: 'button',
      title: `Write to ${user} only` }, ...content);
    button.onclick = () => this.#onPick(user);
    return make('li', {}, button);
  }
}
