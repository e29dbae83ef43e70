// SPDX-License-Identifier: MIT
/**
 * Text from the network into events one can trust by type. A gateway is not an enemy, but what it
 * passes on was written by strangers; so every member that anybody reads later is checked here,
 * once, and copied into a new object. What is not in the table never gets past this module.
 */

const text = (v) => typeof v === 'string';
const flag = (v) => typeof v === 'boolean';
const count = (v) => Number.isSafeInteger(v) && v >= 0;
const seconds = (v) => typeof v === 'number' && Number.isFinite(v) && v > 0;
const object = (v) => typeof v === 'object' && v !== null && !Array.isArray(v);
const listOf = (check) => (v) => Array.isArray(v) && v.every(check);
const member = (v) => object(v) && text(v.user) && count(v.connections);
const replayed = (v) => object(v) && text(v.from) && text(v.text) && count(v.ts)
  && (v.offset === undefined || count(v.offset)) && (v.meta === undefined || object(v.meta));

/** type -> [members that must be there, members that may], each with its check.
 * @type {Map<string, Record<string, (v: any) => boolean>[]>} */
const EVENTS = new Map(Object.entries({
  welcome: [{ room: text, user: text, online: count },
    { epoch: text, offset: count, recovered: flag, heartbeat: seconds, connection: text,
      gateway: text }],
  left: [{ room: text }, { reason: text }],
  ack: [{}, { room: text, offset: count, epoch: text, ts: count, to: text }],
  chat: [{ room: text, from: text, text }, { ts: count, meta: object }],
  direct: [{ from: text, text }, { to: text, ts: count, meta: object }],
  signal: [{ room: text, from: text, kind: text }, { meta: object }],
  presence: [{ room: text, online: count },
    { joined: listOf(text), left: listOf(text), more: flag, users: count,
      members: listOf(member), cursor: text }],
  history: [{ room: text, messages: listOf(replayed) }, { epoch: text, more: flag }],
  gap: [{ room: text, why: text }, { epoch: text, from: count, to: count }],
  bye: [{}, { reason: text, reconnect_in: count }],
  error: [{ code: text }, { message: text, retry_after: count }],
  ping: [{}, {}],
  pong: [{}, {}],
}));

/**
 * JSON.parse makes `__proto__` an ordinary member, which turns into an attack when somebody later
 * merges the object into another one. Nobody needs such a member, so it goes.
 */
function withoutProto(key, value) {
  return key === '__proto__' ? undefined : value;
}

/**
 * @param {object} from
 * @param {Record<string, (v: any) => boolean>[]} shape
 * @param {object} into
 * @returns {string | null} the name of the first member that is not as it must be
 */
function pick(from, [required, optional], into) {
  for (const [name, check] of Object.entries(required)) {
    if (!Object.hasOwn(from, name) || !check(from[name])) {
      return name;
    }
    into[name] = from[name];
  }
  for (const [name, check] of Object.entries(optional)) {
    if (Object.hasOwn(from, name) && from[name] !== null) {
      if (!check(from[name])) {
        return name;
      }
      into[name] = from[name];
    }
  }
  return null;
}

/**
 * @typedef {{type: string, id?: string | number, offset?: number, data: any}} Event
 * @param {unknown} raw what the socket delivered
 * @returns {{event: Event, problem?: undefined} | {problem: string, event?: undefined}
 *   | {event?: undefined, problem?: undefined}} nothing at all for a type of a later version
 */
export function readFrame(raw) {
  if (typeof raw !== 'string') {
    return { problem: 'a binary message' };
  }
  let parsed;
  try {
    parsed = raw.includes('__proto__') || raw.includes('\\u')
      ? JSON.parse(raw, withoutProto) : JSON.parse(raw);
  } catch {
    return { problem: 'not JSON' };
  }
  if (!object(parsed) || !Object.hasOwn(parsed, 'type') || !text(parsed.type)) {
    return { problem: 'no type' };
  }
  const shape = EVENTS.get(parsed.type);
  if (!shape) {
    return {};
  }
  const event = { type: parsed.type, data: {} };
  const envelope = {};
  const bad = pick(parsed, [{}, { id: (v) => text(v) || Number.isSafeInteger(v),
    offset: count, data: object }], envelope)
    ?? pick(envelope.data ?? {}, shape, event.data);
  if (bad) {
    return { problem: `${parsed.type} with a wrong "${bad}"` };
  }
  event.id = envelope.id;
  event.offset = envelope.offset;
  return { event };
}
