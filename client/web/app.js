// SPDX-License-Identifier: MIT
/** The page's start: who are you, which room, and the parts around the conversation. */
import { Chat } from './chat.js';
import { byId, setText } from './dom.js';
import { remembered, tab } from './store.js';
import { nameProblem } from './text.js';

const USER_BYTES = 64;
const ROOM_BYTES = 128;
const FIRST_ROOM = 'general';
const THEMES = ['auto', 'light', 'dark'];

/** @type {Chat | null} */
let chat = null;

/** @returns {string} the room of the address, empty when there is none that could exist */
function roomOfAddress() {
  try {
    const room = decodeURIComponent(window.location.hash.slice(1));
    return nameProblem(room, 'a room', ROOM_BYTES) === '' ? room : '';
  } catch {
    return '';
  }
}

/** Shows what is wrong beside its field. @returns {boolean} whether nothing is */
function check(input, problem, what, maxBytes) {
  const value = input.value.trim();
  const words = nameProblem(value, what, maxBytes);
  setText(problem, words);
  input.setAttribute('aria-invalid', String(words !== ''));
  if (words) {
    input.focus();
  }
  return words === '';
}

function showEntry() {
  byId('chat').hidden = true;
  byId('show-rooms').hidden = true;
  byId('entry').hidden = false;
  byId('entry-name').value = remembered.get('name');
  byId('entry-room').value = roomOfAddress() || FIRST_ROOM;
  byId(byId('entry-name').value ? 'entry-room' : 'entry-name').focus();
  document.title = 'Parley';
}

function enter(user, room) {
  tab.set('user', user);
  remembered.set('name', user);
  byId('entry').hidden = true;
  byId('chat').hidden = false;
  byId('show-rooms').hidden = false;
  chat = new Chat(user);
  chat.start(room);
}

function leaveForAnotherName() {
  chat?.stop();
  chat = null;
  tab.drop('user');
  tab.drop('rooms');
  closeDrawers();
  showEntry();
}

function onEntry(event) {
  event.preventDefault();
  const name = byId('entry-name');
  const room = byId('entry-room');
  const roomIsFine = check(room, byId('entry-room-problem'), 'a room', ROOM_BYTES);
  const nameIsFine = check(name, byId('entry-name-problem'), 'your name', USER_BYTES);
  if (roomIsFine && nameIsFine) {
    enter(name.value.trim(), room.value.trim());
  }
}

function onJoin(event) {
  event.preventDefault();
  const input = byId('join-name');
  if (check(input, byId('join-problem'), 'a room', ROOM_BYTES)) {
    chat?.open(input.value.trim());
    input.value = '';
    closeDrawers();
  }
}

function closeDrawers() {
  for (const [button, side] of [['show-rooms', 'rooms-side'], ['show-people', 'people-side']]) {
    byId(side).classList.remove('open');
    byId(button).setAttribute('aria-expanded', 'false');
  }
  byId('shade').hidden = true;
}

function drawer(button, side) {
  byId(button).onclick = () => {
    byId(side).classList.add('open');
    byId(button).setAttribute('aria-expanded', 'true');
    byId('shade').hidden = false;
    byId(side).querySelector('button')?.focus();
  };
  byId(side).addEventListener('click', (event) => {
    if (event.target instanceof Element && event.target.closest('.room, .person')) {
      closeDrawers();
    }
  });
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  setText(byId('theme'), `Theme: ${theme}`);
  remembered.set('theme', theme);
}

function start() {
  const theme = remembered.get('theme');
  setTheme(THEMES.includes(theme) ? theme : 'auto');
  byId('theme').onclick = () => {
    const now = document.documentElement.dataset.theme ?? 'auto';
    setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
  };
  byId('skip').onclick = (event) => {
    event.preventDefault(); // The address's fragment names the room.
    byId('compose').focus();
  };
  byId('entry-form').addEventListener('submit', onEntry);
  byId('join-form').addEventListener('submit', onJoin);
  byId('change-name').onclick = leaveForAnotherName;
  drawer('show-rooms', 'rooms-side');
  drawer('show-people', 'people-side');
  byId('shade').onclick = closeDrawers;
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && !byId('shade').hidden) {
      closeDrawers();
    }
  });
  window.addEventListener('hashchange', () => {
    const room = roomOfAddress();
    if (chat && room) {
      chat.open(room);
    }
  });
  const user = tab.get('user');
  if (user && nameProblem(user, '', USER_BYTES) === '') {
    enter(user, roomOfAddress() || tab.list('rooms')[0] || FIRST_ROOM);
  } else {
    showEntry();
  }
}

start();
