// SPDX-License-Identifier: MIT
/** Words, times and names, as people read them. */
import { make } from './dom.js';

const LINK = /\bhttps?:\/\/[^\s<>"'`{}|\\^]+/gi;
const TRAILING = /[.,:;!?)\]]+$/;
const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });

/** @returns {(Node | string)[]} the text, with http and https addresses as links */
export function withLinks(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const address = match[0].replace(TRAILING, '');
    parts.push(text.slice(end, match.index), linkOrText(address));
    end = match.index + address.length;
  }
  parts.push(text.slice(end));
  return parts.filter((part) => part !== '');
}

function linkOrText(address) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return address;
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return address;
  }
  return make('a', { href: url.href, target: '_blank', rel: 'noopener noreferrer nofollow' },
    address);
}

export const clockTime = (ms) => time.format(ms);
export const dayName = (ms) => day.format(ms);
export const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;

/** @returns {string} "carol", "carol and dave", "carol, dave and 3 others" */
export function nameList(names) {
  if (names.length <= 1) {
    return names.join('');
  }
  if (names.length <= 3) {
    return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
  }
  return `${names[0]}, ${names[1]} and ${names.length - 2} others`;
}

/** @returns {HTMLElement} one letter on one of eight colours, always the same for a name */
export function avatar(user) {
  let hash = 0;
  for (const character of user) {
    hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 8_191;
  }
  const letter = [...user][0]?.toUpperCase() ?? '?';
  return make('span', { class: `ava c${hash % 8}`, 'aria-hidden': 'true' }, letter);
}

/** @returns {string} what is wrong with a name, empty when nothing is */
export function nameProblem(name, what, maxBytes) {
  const rules = [
    [name === '', `Please give ${what}.`],
    [name !== name.trim(), 'No space at the beginning or the end, please.'],
    [/[{}]/.test(name), 'The characters { and } are not allowed.'],
    [/\p{Cc}/u.test(name), 'Control characters are not allowed.'],
    [new TextEncoder().encode(name).length > maxBytes, `At most ${maxBytes} bytes.`],
  ];
  return String(rules.find(([broken]) => broken)?.[1] ?? '');
}

const REASONS = {
  too_long: 'too long',
  bad_text: 'not a valid text',
  bad_room: 'not a valid room name',
  bad_user: 'not a valid user name',
  not_online: 'nobody of that name is online',
  room_full: 'the room is full',
  too_many_rooms: 'too many rooms',
  forbidden: 'not allowed',
  unauthorized: 'not allowed',
  expired: 'waited too long',
  queue_full: 'too many messages are waiting',
  already_user: 'this connection has another name',
};

/** @returns {string} an error code in words */
export function reason({ code, message }) {
  return (Object.hasOwn(REASONS, code) ? REASONS[code] : '') || message || code;
}
