// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle, world } from './fakes.js';

function collect(room, ...names) {
  const log = [];
  names.forEach((name) => room.on(name, (value) => log.push([name, value])));
  return log;
}

const say = (w, offset, text = `m${offset}`) => w.socket.say({ type: 'chat', offset,
  data: { room: 'general', from: 'bob', text, ts: 1 } });

async function comeBack(w, welcome) {
  w.socket.drop(1006);
  await w.clock.advance(w.events('state').at(-1).delayMs);
  w.socket.open();
  await settle();
  w.socket.welcome('general', welcome);
  await settle();
}

test('several_rooms_are_joined_and_joined_again_by_themselves', async () => {
  const w = world();
  await w.inRoom('general');
  w.client.room('random').join();
  await settle();
  w.socket.welcome('random');
  await settle();
  w.socket.drop(1006);
  assert.equal(w.client.room('random').state, 'joining');
  await w.clock.advance(w.events('state').at(-1).delayMs);
  w.socket.open();
  await settle();
  assert.deepEqual(w.socket.of('join').map(({ data }) => data.room), ['general', 'random']);
  assert.ok(w.socket.of('join').every(({ data }) => data.user === 'alice'));
});

test('a_room_that_was_left_is_not_joined_again', async () => {
  const w = world();
  const room = await w.inRoom();
  const leaving = room.leave();
  await settle();
  w.socket.answer('leave', { type: 'left', data: { room: 'general' } });
  await leaving;
  assert.equal(room.state, 'detached');
  w.socket.drop(1006);
  await w.clock.advance(w.events('state').at(-1).delayMs);
  w.socket.open();
  await settle();
  assert.equal(w.socket.of('join').length, 0);
});

test('a_join_that_was_limited_is_asked_again_in_time', async () => {
  const w = world();
  w.client.connect();
  const joined = w.client.room('general').join();
  w.socket.open();
  await settle();
  w.socket.answer('join', { type: 'error',
    data: { code: 'rate_limited', message: '', retry_after: 400 } });
  await w.clock.advance(400);
  assert.equal(w.socket.of('join').length, 2);
  w.socket.welcome('general');
  await joined;
});

test('a_repeated_offset_in_the_same_epoch_is_shown_once', async () => {
  const w = world();
  const room = await w.inRoom();
  const log = collect(room, 'message', 'gap');
  [1, 2, 2, 1, 3].forEach((offset) => say(w, offset));
  assert.deepEqual(log.map(([, { offset }]) => offset), [1, 2, 3]);
});

test('messages_without_an_offset_are_all_shown', async () => {
  const w = world();
  const room = await w.inRoom();
  const log = collect(room, 'message');
  say(w, undefined, 'same');
  say(w, undefined, 'same');
  assert.equal(log.length, 2);
});

test('a_jump_is_reported_as_a_gap', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  const log = collect(room, 'message', 'gap');
  say(w, 11);
  say(w, 15);
  const seen = log.map(([name, { offset, from, to, why }]) => [name, offset ?? [from, to, why]]);
  assert.deepEqual(seen,
    [['message', 11], ['gap', [12, 14, 'lost']], ['message', 15]]);
});

test('coming_back_asks_since_the_last_offset', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  const log = collect(room, 'message', 'gap');
  assert.equal(w.socket.last('join').data.since, undefined);
  say(w, 11);
  await comeBack(w, { offset: 13, recovered: true });
  assert.deepEqual(w.socket.last('join').data.since, { epoch: 'e1', offset: 11 });
  [11, 12, 13, 14].forEach((offset) => say(w, offset));
  assert.deepEqual(log.map(([, { offset }]) => offset), [11, 12, 13, 14]);
});

test('not_recovered_is_a_gap_and_what_follows_is_shown', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  const log = collect(room, 'message', 'gap');
  say(w, 11);
  await comeBack(w, { offset: 14, recovered: false });
  say(w, 15);
  assert.deepEqual(log.map(([name, { offset, from, to }]) => [name, offset ?? [from, to]]),
    [['message', 11], ['gap', [12, 14]], ['message', 15]]);
  await comeBack(w, { offset: 15, recovered: false });
  assert.equal(log.length, 3, 'nothing was missed this time');
});

test('a_gap_that_the_gateway_tells_too_is_reported_once', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  const log = collect(room, 'gap');
  await comeBack(w, { offset: 14, recovered: false });
  w.socket.say({ type: 'gap', data: { room: 'general', epoch: 'e1', from: 11, to: 14,
    why: 'history' } });
  assert.deepEqual(log, [['gap', { from: 11, to: 14, why: 'history' }]]);
});

test('a_welcome_with_another_epoch_starts_anew', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  const log = collect(room, 'message', 'gap');
  say(w, 11);
  await comeBack(w, { epoch: 'e2', offset: 3, recovered: false });
  say(w, 4);
  assert.deepEqual(log.map(([name, { offset, why }]) => [name, offset ?? why]),
    [['message', 11], ['gap', 'reset'], ['message', 4]]);
});

test('a_gap_reset_starts_anew_in_the_middle_of_a_connection', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  const log = collect(room, 'message', 'gap');
  say(w, 11);
  w.socket.say({ type: 'gap', data: { room: 'general', epoch: 'e2', from: 1, to: 11,
    why: 'reset' } });
  say(w, 3);
  say(w, 3);
  assert.deepEqual(log.map(([name, { offset, why }]) => [name, offset ?? why]),
    [['message', 11], ['gap', 'reset'], ['message', 3]]);
  assert.equal(room.epoch, 'e2');
});

test('a_slow_gap_skips_without_a_second_report', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  const log = collect(room, 'message', 'gap');
  w.socket.say({ type: 'gap', data: { room: 'general', epoch: 'e1', from: 11, to: 20,
    why: 'slow' } });
  say(w, 21);
  assert.deepEqual(log.map(([name, { offset, why }]) => [name, offset ?? why]),
    [['gap', 'slow'], ['message', 21]]);
});

test('a_gateway_without_history_is_joined_without_it', async () => {
  const w = world();
  w.client.connect();
  const joined = w.client.room('general').join({ history: 50 });
  w.socket.open();
  await settle();
  assert.equal(w.socket.last('join').data.history, 50);
  w.socket.answer('join', { type: 'error', data: { code: 'history_disabled', message: '' } });
  await settle();
  assert.deepEqual(w.socket.last('join').data, { room: 'general', user: 'alice' });
  w.socket.welcome('general');
  await joined;
});

test('a_gateway_that_refuses_since_is_joined_again_without_it', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  w.socket.drop(1006);
  await w.clock.advance(w.events('state').at(-1).delayMs);
  w.socket.open();
  await settle();
  assert.deepEqual(w.socket.last('join').data.since, { epoch: 'e1', offset: 10 });
  w.socket.answer('join', { type: 'error', data: { code: 'history_disabled', message: '' } });
  await settle();
  assert.deepEqual(w.socket.last('join').data, { room: 'general', user: 'alice' });
  w.socket.welcome('general', { offset: 12 });
  assert.equal(room.state, 'joined');
});

test('presence_is_asked_page_by_page', async () => {
  const w = world();
  const room = await w.inRoom('general', { online: 4 });
  w.socket.people('general', [['alice', 1], ['bob', 1]], { online: 4, cursor: 'p2' });
  await settle();
  assert.equal(w.socket.last('presence').data.cursor, 'p2');
  w.socket.people('general', [['bob', 1], ['carol', 1]], { online: 4 });
  await settle();
  assert.deepEqual([...room.members.values()].map(({ user, connections }) => [user, connections]),
    [['alice', 1], ['bob', 2], ['carol', 1]]);
  assert.equal(room.online, 4);
  assert.equal(room.partial, false);
});

test('a_room_too_large_to_list_is_a_sample', async () => {
  const w = world();
  const room = await w.inRoom('general', { online: 5_000 });
  for (let page = 0; page < 5; page += 1) {
    const people = Array.from({ length: 200 }, (_, i) => [`u${page * 200 + i}`, 1]);
    w.socket.people('general', people, { online: 5_000, cursor: `p${page}` });
    await settle();
  }
  assert.equal(w.socket.of('presence').length, 5);
  assert.equal(room.members.size, 1_000);
  assert.equal(room.partial, true);
  assert.equal(room.online, 5_000);
});

test('a_room_that_counts_and_names_nobody_is_not_asked_again', async () => {
  const w = world();
  const room = await w.inRoom('general', { online: 3 });
  w.socket.people('general', [], { online: 3 });
  await settle();
  w.socket.say({ type: 'presence', data: { room: 'general', online: 4, joined: [], left: [] } });
  await w.clock.advance(10_000);
  assert.equal(w.socket.of('presence').length, 1);
  assert.equal(room.online, 4);
  assert.equal(room.partial, true);
  w.socket.say({ type: 'presence', data: { room: 'general', online: 4, more: true } });
  await w.clock.advance(5_000);
  assert.equal(w.socket.of('presence').length, 2, 'it begins to name');
});

test('a_list_in_doubt_is_asked_for_again_each_time_later_until_it_is_sure', async () => {
  const w = world();
  await w.inRoom('general', { online: 2 });
  w.socket.people('general', [['alice', 1], ['bob', 1]], { online: 2 });
  await settle();
  const swap = (came, went) => w.socket.say({ type: 'presence',
    data: { room: 'general', online: 2, joined: [came], left: [went] } });
  swap('carol', 'bob');
  await w.clock.advance(5_100);
  assert.equal(w.socket.of('presence').length, 2, 'after the first doubt');
  w.socket.people('general', [['alice', 1], ['carol', 1]], { online: 2 });
  await settle();
  swap('bob', 'carol');
  await w.clock.advance(7_000);
  assert.equal(w.socket.of('presence').length, 2, 'not so soon again');
  await w.clock.advance(2_100);
  assert.equal(w.socket.of('presence').length, 3);
  w.socket.people('general', [['alice', 1], ['bob', 1]], { online: 2 });
  await settle();
  await w.clock.advance(10_000);
  assert.equal(w.socket.of('presence').length, 3, 'nothing more is in doubt');
});

test('names_join_with_their_first_connection_and_leave_with_their_last', async () => {
  const w = world();
  const room = await w.inRoom();
  w.socket.people('general', [['alice', 1]]);
  await settle();
  const log = collect(room, 'memberJoin', 'memberLeave');
  const digest = async (online, joined, left = []) => {
    await w.clock.advance(2_000);
    w.socket.say({ type: 'presence', data: { room: 'general', online, joined, left } });
  };
  await digest(2, ['bob']);
  await digest(3, ['bob']);
  assert.equal(room.members.get('bob').connections, 2);
  await digest(2, [], ['bob']);
  await digest(1, [], ['bob']);
  assert.deepEqual(log.map(([name, { user }]) => [name, user]),
    [['memberJoin', 'bob'], ['memberLeave', 'bob']]);
  assert.equal(room.online, 1);
  assert.equal(room.members.has('bob'), false);
});

test('a_digest_that_repeats_the_snapshot_is_not_added_twice', async () => {
  const w = world();
  const room = await w.inRoom('general', { online: 2 });
  w.socket.people('general', [['alice', 1], ['bob', 1]]);
  await settle();
  w.socket.say({ type: 'presence', data: { room: 'general', online: 2, joined: ['alice'] } });
  assert.equal(room.members.get('alice').connections, 1);
});

test('names_that_differ_from_online_for_too_long_are_asked_again', async () => {
  const w = world();
  const room = await w.inRoom('general', { online: 2 });
  w.socket.people('general', [['alice', 1], ['bob', 1]]);
  await w.clock.advance(2_000);
  const asked = w.socket.of('presence').length;
  w.socket.say({ type: 'presence', data: { room: 'general', online: 1 } });
  assert.equal(room.online, 1);
  await w.clock.advance(3_900);
  assert.equal(w.socket.of('presence').length, asked, 'bob may come back within his grace');
  await w.clock.advance(1_200);
  assert.equal(w.socket.of('presence').length, asked + 1);
  w.socket.people('general', [['alice', 1]]);
  await settle();
  assert.deepEqual([...room.members.keys()], ['alice']);
});

test('names_that_agree_again_in_time_are_not_asked', async () => {
  const w = world();
  await w.inRoom('general', { online: 2 });
  w.socket.people('general', [['alice', 1], ['bob', 1]]);
  await w.clock.advance(2_000);
  const asked = w.socket.of('presence').length;
  w.socket.say({ type: 'presence', data: { room: 'general', online: 1 } });
  await w.clock.advance(2_000);
  w.socket.say({ type: 'presence', data: { room: 'general', online: 2 } });
  await w.clock.advance(10_000);
  assert.equal(w.socket.of('presence').length, asked);
});

test('a_cut_digest_is_asked_about', async () => {
  const w = world();
  await w.inRoom();
  w.socket.people('general', [['alice', 1]]);
  await settle();
  const asked = w.socket.of('presence').length;
  w.socket.say({ type: 'presence', data: { room: 'general', online: 1, more: true } });
  await w.clock.advance(5_000);
  assert.equal(w.socket.of('presence').length, asked + 1);
});

test('a_gateway_without_presence_is_no_error', async () => {
  const w = world();
  const room = await w.inRoom();
  w.socket.answer('presence', { type: 'error', data: { code: 'unknown_type', message: '' } });
  await w.clock.advance(20_000);
  assert.equal(room.state, 'joined');
  assert.equal(w.socket.of('presence').length, 1);
});

test('typing_is_said_at_most_every_three_seconds', async () => {
  const w = world();
  const room = await w.inRoom();
  room.typing();
  await w.clock.advance(2_000);
  room.typing();
  assert.equal(w.socket.of('signal').length, 1);
  await w.clock.advance(1_000);
  room.typing();
  assert.deepEqual(w.socket.of('signal').map(({ data }) => data),
    Array(2).fill({ room: 'general', kind: 'typing', meta: { active: true } }));
  room.typing(false);
  room.typing(false);
  assert.equal(w.socket.of('signal').length, 3);
});

test('typing_of_others_ends_by_word_by_message_or_after_six_seconds', async () => {
  const w = world();
  const room = await w.inRoom();
  const log = collect(room, 'typing');
  const signal = (from, meta) => w.socket.say({ type: 'signal',
    data: { room: 'general', from, kind: 'typing', ...(meta && { meta }) } });
  signal('bob');
  signal('bob', { active: true });
  signal('bob', { active: false });
  signal('bob');
  say(w, 1);
  signal('carol');
  await w.clock.advance(5_999);
  assert.equal(log.length, 5);
  await w.clock.advance(1);
  assert.deepEqual(log.map(([, { user, active }]) => [user, active]),
    [['bob', true], ['bob', false], ['bob', true], ['bob', false], ['carol', true],
      ['carol', false]]);
});

test('other_signals_pass', async () => {
  const w = world();
  const room = await w.inRoom();
  const log = collect(room, 'signal');
  w.socket.say({ type: 'signal', data: { room: 'general', from: 'bob', kind: 'cursor',
    meta: { x: 1 } } });
  assert.deepEqual(log, [['signal', { from: 'bob', kind: 'cursor', meta: { x: 1 } }]]);
  room.signal('cursor', { x: 2 });
  assert.deepEqual(w.socket.last('signal').data,
    { room: 'general', kind: 'cursor', meta: { x: 2 } });
});

test('a_listener_that_throws_stops_nobody', async () => {
  const reported = [];
  const w = world({ logger: (level, text) => reported.push([level, text]) });
  w.client.on('state', () => { throw new Error('mine'); });
  const room = await w.inRoom();
  room.on('message', () => { throw new Error('mine'); });
  room.on('message', async () => { throw new Error('mine, later'); });
  const log = collect(room, 'message');
  say(w, 1);
  say(w, 2);
  await settle();
  assert.equal(log.length, 2);
  assert.equal(w.client.state, 'open');
  assert.ok(reported.length >= 5 && reported.every(([level]) => level === 'error'));
});

test('listeners_can_be_taken_away', async () => {
  const w = world();
  const room = await w.inRoom();
  const seen = [];
  const abort = new AbortController();
  const off = room.on('message', () => seen.push('off'));
  room.on('message', () => seen.push('once'), { once: true });
  room.on('message', () => seen.push('signal'), { signal: abort.signal });
  say(w, 1);
  off();
  abort.abort();
  say(w, 2);
  assert.deepEqual(seen, ['off', 'once', 'signal']);
});

test('messages_can_be_read_in_a_loop', async () => {
  const w = world();
  const room = await w.inRoom();
  const texts = [];
  const reading = (async () => {
    for await (const message of room) {
      texts.push(message.text);
      if (texts.length === 2) {
        break;
      }
    }
  })();
  await settle();
  say(w, 1);
  say(w, 2);
  say(w, 3);
  await reading;
  assert.deepEqual(texts, ['m1', 'm2']);
});

test('history_is_asked_and_checked', async () => {
  const w = world();
  const room = await w.inRoom();
  const asked = room.history({ limit: 2, before: 9 });
  await settle();
  assert.deepEqual(w.socket.last('history').data, { room: 'general', limit: 2, before: 9 });
  w.socket.answer('history', { type: 'history', data: { room: 'general', epoch: 'e1', more: true,
    messages: [{ from: 'bob', text: 'old', ts: 3, offset: 7 }] } });
  const { messages, more } = await asked;
  assert.equal(more, true);
  assert.deepEqual([messages[0].from, messages[0].text, messages[0].offset], ['bob', 'old', 7]);
});

test('the_frames_event_shows_both_directions', async () => {
  const w = world();
  const frames = [];
  w.client.on('frames', ({ direction, text }) => frames.push([direction, JSON.parse(text).type]));
  await w.inRoom();
  assert.deepEqual(frames.slice(0, 2), [['out', 'join'], ['in', 'welcome']]);
});

test('a_reset_that_is_told_twice_is_reported_once_and_is_a_place_to_resume_from', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  const log = collect(room, 'gap', 'message');
  say(w, 11);
  const reset = () => w.socket.say({ type: 'gap', data: { room: 'general', epoch: 'e2', from: 0,
    to: 3, why: 'reset' } });
  await comeBack(w, { epoch: 'e2', offset: 3, recovered: false });
  reset();
  await comeBack(w, { epoch: 'e2', offset: 4, recovered: true });
  assert.deepEqual(w.socket.last('join').data.since, { epoch: 'e2', offset: 3 });
  say(w, 4);
  assert.deepEqual(log.map(([name, { offset, why }]) => [name, offset ?? why]),
    [['message', 11], ['gap', 'reset'], ['message', 4]]);
});

test('a_hole_right_after_a_reset_is_reported', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  const log = collect(room, 'gap', 'message');
  w.socket.say({ type: 'gap', data: { room: 'general', epoch: 'e2', from: 0, to: 3,
    why: 'reset' } });
  say(w, 6);
  assert.deepEqual(log.map(([name, { offset, from, to, why }]) => (
    [name, offset ?? [from, to, why]])),
  [['gap', [0, 3, 'reset']], ['gap', [4, 5, 'lost']], ['message', 6]]);
});

test('each_reason_of_a_gap_is_reported_with_its_offsets', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  const log = collect(room, 'gap');
  const gap = (data) => w.socket.say({ type: 'gap', data: { room: 'general', ...data } });
  gap({ epoch: 'e1', from: 11, to: 12, why: 'history' });
  gap({ epoch: 'e1', from: 13, to: 14, why: 'slow' });
  gap({ epoch: 'e1', from: 13, to: 14, why: 'slow' });
  gap({ epoch: 'e2', from: 0, to: 5, why: 'reset' });
  assert.deepEqual(log.map(([, { from, to, why }]) => [from, to, why]),
    [[11, 12, 'history'], [13, 14, 'slow'], [0, 5, 'reset']]);
  assert.equal(room.offset, 5);
});

test('what_comes_from_the_history_after_a_gap_is_shown_in_its_place_and_only_once', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  const log = collect(room, 'message', 'gap');
  say(w, 11);
  await comeBack(w, { offset: 20, recovered: false });
  w.socket.say({ type: 'gap', data: { room: 'general', epoch: 'e1', from: 12, to: 18,
    why: 'history' } });
  [19, 20, 21].forEach((offset) => say(w, offset));
  await comeBack(w, { offset: 21, recovered: true });
  [20, 21, 22].forEach((offset) => say(w, offset));
  assert.deepEqual(log.filter(([name]) => name === 'message').map(([, { offset }]) => offset),
    [11, 19, 20, 21, 22]);
  assert.equal(log.filter(([name]) => name === 'gap').length, 1);
});

test('a_page_from_the_back_forward_cache_resumes_its_rooms', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  say(w, 11);
  w.page.tell('pagehide');
  assert.equal(room.state, 'joining');
  await w.clock.advance(60_000);
  w.page.tell('pageshow');
  w.socket.open();
  await settle();
  assert.deepEqual(w.socket.last('join').data.since, { epoch: 'e1', offset: 11 });
});

test('a_seat_that_is_taken_by_our_own_ghost_is_asked_for_again', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  const log = collect(room, 'error');
  w.socket.drop(1006);
  await w.clock.advance(w.events('state').at(-1).delayMs);
  w.socket.open();
  await settle();
  w.socket.answer('join', { type: 'error', data: { code: 'room_full', message: '' } });
  await settle();
  assert.equal(room.state, 'joining');
  await w.clock.advance(7_500);
  assert.equal(w.socket.of('join').length, 2);
  assert.deepEqual(w.socket.last('join').data.since, { epoch: 'e1', offset: 10 });
  w.socket.welcome('general', { offset: 10, recovered: true });
  assert.equal(room.state, 'joined');
  assert.equal(log.length, 0);
});

test('a_full_room_that_we_were_never_in_is_a_refusal', async () => {
  const w = world();
  w.client.connect();
  const joined = w.client.room('general').join();
  w.socket.open();
  await settle();
  w.socket.answer('join', { type: 'error', data: { code: 'room_full', message: '' } });
  await assert.rejects(joined, { code: 'room_full', temporary: true });
});

test('a_room_that_refuses_us_when_we_come_back_says_so_and_gives_up_what_waits', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 10 });
  const log = collect(room, 'error');
  w.socket.drop(1006);
  const sent = room.send('Hi!');
  await w.clock.advance(w.events('state').at(-1).delayMs);
  w.socket.open();
  await settle();
  w.socket.answer('join', { type: 'error', data: { code: 'forbidden', message: 'no' } });
  await assert.rejects(sent, { code: 'forbidden' });
  assert.equal(room.state, 'denied');
  assert.equal(log.length, 1);
  assert.equal(w.client.pending, 0);
});

test('a_join_that_is_refused_for_now_is_not_asked_by_everybody_at_once', async () => {
  const w = world({ random: () => 0.25 });
  w.client.connect();
  w.client.room('general').join();
  w.socket.open();
  await settle();
  w.socket.answer('join', { type: 'error', data: { code: 'unavailable', message: '' } });
  await w.clock.advance(1_249);
  assert.equal(w.socket.of('join').length, 1);
  await w.clock.advance(1);
  assert.equal(w.socket.of('join').length, 2);
});

test('a_welcome_that_comes_after_its_time_is_as_good', async () => {
  const w = world({ ackTimeoutMs: 2_000 });
  w.client.connect();
  const room = w.client.room('general');
  room.join();
  w.socket.open();
  await w.clock.advance(2_000);
  w.socket.welcome('general', { offset: 4 });
  await w.clock.advance(10_000);
  assert.equal(room.state, 'joined');
  assert.equal(w.socket.of('join').length, 1);
});
