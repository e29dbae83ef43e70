// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeStorage, settle, world } from './fakes.js';

const states = (w, key) => w.events('delivery').filter((d) => key === undefined || d.key === key)
  .map(({ state }) => state);

/** The link falls, and a new connection is in the room again. */
async function comeBack(w, welcome = {}) {
  w.socket.drop(1006);
  await settle();
  await w.clock.advance(w.events('state').at(-1).delayMs);
  w.socket.open();
  await settle();
  w.socket.welcome('general', welcome);
  await settle();
}

test('an_acked_message_is_delivered_with_its_place', async () => {
  const w = world();
  const room = await w.inRoom();
  const sent = room.send('Hi!', { key: 'k1', meta: { mood: 'good' } });
  await settle();
  const chat = w.socket.last('chat');
  assert.deepEqual(chat.data, { room: 'general', text: 'Hi!', key: 'k1', meta: { mood: 'good' } });
  assert.equal(w.client.pending, 1);
  w.socket.answer('chat', { type: 'ack',
    data: { room: 'general', offset: 1, epoch: 'e1', ts: 9 } });
  assert.deepEqual(await sent, { key: 'k1', room: 'general', offset: 1, epoch: 'e1', ts: 9 });
  assert.deepEqual(states(w, 'k1'), ['waiting', 'sending', 'delivered']);
  assert.equal(w.client.pending, 0);
});

test('every_message_has_a_key_of_its_own_that_fits_the_protocol', async () => {
  const w = world();
  const room = await w.inRoom();
  for (let i = 0; i < 5; i += 1) {
    room.send('same words');
  }
  await settle();
  const keys = w.socket.of('chat').map(({ data }) => data.key);
  assert.equal(new Set(keys).size, 5);
  keys.forEach((key) => assert.match(key, /^[\w-]{16,64}$/));
});

test('what_was_not_acked_is_sent_again_with_the_same_key', async () => {
  const w = world();
  const room = await w.inRoom();
  const sent = room.send('Hi!');
  await settle();
  const { key } = w.socket.last('chat').data;
  await comeBack(w);
  assert.equal(w.sockets.length, 2);
  assert.equal(w.socket.of('chat').length, 1);
  assert.equal(w.socket.last('chat').data.key, key);
  w.socket.answer('chat', { type: 'ack', data: { room: 'general', offset: 7, epoch: 'e1' } });
  assert.equal((await sent).offset, 7);
  assert.deepEqual(states(w, key), ['waiting', 'sending', 'waiting', 'sending', 'delivered']);
});

test('what_was_acked_is_not_sent_again', async () => {
  const w = world();
  const room = await w.inRoom();
  room.send('Hi!');
  await settle();
  w.socket.answer('chat', { type: 'ack', data: { room: 'general', offset: 1, epoch: 'e1' } });
  await settle();
  await comeBack(w);
  assert.equal(w.socket.of('chat').length, 0);
});

test('written_while_away_waits_for_the_welcome_and_keeps_its_order', async () => {
  const w = world();
  const room = await w.inRoom();
  w.socket.drop(1006);
  ['one', 'two', 'three'].forEach((text) => room.send(text));
  await settle();
  assert.equal(w.client.pending, 3);
  await w.clock.advance(w.events('state').at(-1).delayMs);
  w.socket.open();
  await settle();
  assert.equal(w.socket.of('chat').length, 0, 'nothing before the room is joined');
  w.socket.welcome('general');
  await settle();
  assert.deepEqual(w.socket.of('chat').map(({ data }) => data.text), ['one', 'two', 'three']);
});

test('a_long_queue_goes_out_in_small_steps', async () => {
  const w = world();
  const room = await w.inRoom();
  for (let i = 0; i < 20; i += 1) {
    room.send(`m${i}`);
  }
  await settle();
  assert.equal(w.socket.of('chat').length, 8);
  w.socket.say({ type: 'ack', id: w.socket.of('chat')[0].id, data: {} });
  await settle();
  assert.equal(w.socket.of('chat').length, 9);
});

for (const code of ['unavailable', 'unknown_outcome', 'rate_limited']) {
  test(`${code}_is_sent_again_with_the_same_key_when_told`, async () => {
    const w = world();
    const room = await w.inRoom();
    const sent = room.send('Hi!', { key: 'k1' });
    await settle();
    w.socket.answer('chat', { type: 'error', data: { code, message: '', retry_after: 3_000 } });
    await w.clock.advance(2_999);
    assert.equal(w.socket.of('chat').length, 1);
    await w.clock.advance(1);
    assert.equal(w.socket.of('chat').length, 2);
    assert.equal(w.socket.last('chat').data.key, 'k1');
    w.socket.answer('chat', { type: 'ack', data: { offset: 1, epoch: 'e1' } });
    assert.equal((await sent).key, 'k1');
  });
}

test('no_answer_at_all_is_asked_again', async () => {
  const w = world({ ackTimeoutMs: 5_000 });
  const room = await w.inRoom();
  room.send('Hi!', { key: 'k1' });
  await w.clock.advance(6_000);
  assert.deepEqual(w.socket.of('chat').map(({ data }) => data.key), ['k1', 'k1']);
});

for (const code of ['too_long', 'bad_text', 'forbidden']) {
  test(`${code}_is_an_end`, async () => {
    const w = world();
    const room = await w.inRoom();
    const sent = room.send('Hi!', { key: 'k1' });
    await settle();
    w.socket.answer('chat', { type: 'error', data: { code, message: 'no' } });
    await assert.rejects(sent, { name: 'ParleyError', code, temporary: false });
    await w.clock.advance(20_000);
    assert.equal(w.socket.of('chat').length, 1);
    assert.equal(w.client.pending, 0);
    assert.equal(states(w, 'k1').at(-1), 'failed');
  });
}

test('a_message_that_waited_too_long_fails_and_says_so', async () => {
  const w = world({ queue: { maxAgeMs: 30_000 } });
  const room = await w.inRoom();
  w.page.tell('offline');
  const sent = room.send('Hi!', { key: 'k1' });
  await w.clock.advance(29_999);
  assert.equal(w.client.pending, 1);
  await w.clock.advance(1);
  await assert.rejects(sent, { code: 'expired' });
  assert.equal(w.client.pending, 0);
});

test('an_ack_that_comes_after_the_end_changes_nothing', async () => {
  const w = world({ queue: { maxAgeMs: 3_000 } });
  const room = await w.inRoom();
  const sent = room.send('Hi!', { key: 'k1' });
  await w.clock.advance(3_000);
  await assert.rejects(sent, { code: 'expired' });
  w.socket.answer('chat', { type: 'ack', data: { room: 'general', offset: 1, epoch: 'e1' } });
  await settle();
  assert.deepEqual(states(w, 'k1'), ['waiting', 'sending', 'failed']);
});

test('a_full_queue_rejects_the_new_message', async () => {
  const w = world({ queue: { messages: 2 } });
  const room = await w.inRoom();
  w.page.tell('offline');
  room.send('one');
  room.send('two');
  await assert.rejects(room.send('three'), { code: 'queue_full', temporary: true });
  assert.equal(w.client.pending, 2);
});

test('without_a_queue_a_message_while_away_is_refused_at_once', async () => {
  const w = world({ queue: false });
  const room = await w.inRoom();
  w.socket.drop(1006);
  await assert.rejects(room.send('Hi!'), { code: 'disconnected' });
});

test('a_waiting_message_can_be_taken_back', async () => {
  const w = world();
  const room = await w.inRoom();
  w.socket.drop(1006);
  const abort = new AbortController();
  const sent = room.send('Hi!', { signal: abort.signal });
  abort.abort();
  await assert.rejects(sent, { code: 'aborted' });
  assert.equal(w.client.pending, 0);
});

test('unsent_messages_survive_a_refresh_and_keep_their_keys', async () => {
  const storage = new FakeStorage();
  const before = world({ storage });
  const room = await before.inRoom();
  room.send('tried', { key: 'k1' });
  await settle();
  before.page.tell('pagehide');
  room.send('never tried', { key: 'k2' });
  const after = world({ storage });
  assert.deepEqual(after.client.unsent.map(({ key, text }) => [key, text]),
    [['k1', 'tried'], ['k2', 'never tried']]);
  await after.inRoom();
  assert.deepEqual(after.socket.of('chat').map(({ data }) => data.key), ['k1', 'k2']);
  after.socket.of('chat').forEach(({ id }) => after.socket.say({ type: 'ack', id, data: {} }));
  await settle();
  assert.equal(storage.items.size, 0);
});

test('our_own_message_is_known_by_its_place_when_the_ack_came_first', async () => {
  const w = world();
  const room = await w.inRoom();
  const seen = [];
  room.on('message', ({ offset, mine, key }) => seen.push([offset, mine, key]));
  room.send('Hi!', { key: 'k1' });
  await settle();
  w.socket.answer('chat', { type: 'ack', data: { room: 'general', offset: 2, epoch: 'e1' } });
  await settle();
  const say = (offset) => w.socket.say({ type: 'chat', offset,
    data: { room: 'general', from: 'alice', text: 'Hi!' } });
  say(1); // The same words of the same user on another page.
  say(2);
  assert.deepEqual(seen, [[1, true, undefined], [2, true, 'k1']]);
});

test('our_own_message_is_known_by_its_words_when_the_ack_comes_later', async () => {
  const w = world();
  const room = await w.inRoom();
  const seen = [];
  room.on('message', ({ offset, key }) => seen.push([offset, key]));
  room.send('Hi!', { key: 'k1' });
  room.send('Hi!', { key: 'k2' });
  await settle();
  for (const offset of [1, 2, 3]) {
    w.socket.say({ type: 'chat', offset, data: { room: 'general', from: 'alice', text: 'Hi!' } });
  }
  assert.deepEqual(seen, [[1, 'k1'], [2, 'k2'], [3, undefined]]);
});

test('a_direct_message_waits_until_the_gateway_knows_us', async () => {
  const w = world();
  w.client.connect();
  w.socket.open();
  const sent = w.client.send('bob', 'psst', { key: 'd1' });
  const room = w.client.room('general');
  room.join();
  await settle();
  assert.equal(w.socket.of('direct').length, 0);
  w.socket.welcome('general');
  await settle();
  assert.deepEqual(w.socket.last('direct').data, { to: 'bob', text: 'psst', key: 'd1' });
  w.socket.answer('direct', { type: 'ack', data: { to: 'bob' } });
  assert.equal((await sent).key, 'd1');
});

test('a_direct_message_to_nobody_is_not_online', async () => {
  const w = world();
  await w.inRoom();
  const sent = w.client.send('zoe', 'psst');
  await settle();
  w.socket.answer('direct', { type: 'error', data: { code: 'not_online', message: 'nobody' } });
  await assert.rejects(sent, { code: 'not_online' });
});

test('a_direct_message_arrives_as_an_event', async () => {
  const w = world();
  await w.inRoom();
  w.socket.say({ type: 'direct', data: { from: 'bob', to: 'alice', text: 'psst', ts: 5 } });
  assert.deepEqual(w.events('direct'), [{ from: 'bob', to: 'alice', text: 'psst', ts: 5 }]);
});

test('nothing_is_sent_for_a_room_that_refuses_us', async () => {
  const w = world();
  w.client.connect();
  const room = w.client.room('secret');
  const joined = room.join();
  const sent = room.send('Hi!');
  w.socket.open();
  await settle();
  w.socket.answer('join', { type: 'error', data: { code: 'forbidden', message: 'no' } });
  await assert.rejects(joined, { code: 'forbidden' });
  await assert.rejects(sent, { code: 'forbidden' });
  assert.equal(room.state, 'denied');
});

/** What the room showed, as [offset, key]. */
function shown(room) {
  const seen = [];
  room.on('message', ({ offset, key }) => seen.push([offset, key]));
  return seen;
}

const own = (w, offset, text = 'Hi!') => w.socket.say({ type: 'chat', offset,
  data: { room: 'general', from: 'alice', text } });

test('seen_in_the_replay_and_acked_by_the_resend_it_is_one_message', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 6 });
  const seen = shown(room);
  room.send('Hi!', { key: 'k1' });
  await settle();
  await comeBack(w, { offset: 7, recovered: true });
  own(w, 7);
  w.socket.answer('chat', { type: 'ack', data: { room: 'general', offset: 7, epoch: 'e1' } });
  await settle();
  own(w, 7);
  assert.deepEqual(seen, [[7, 'k1']]);
  assert.equal(w.client.pending, 0);
});

test('acked_by_the_resend_before_the_replay_shows_it_it_is_one_message', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 6 });
  const seen = shown(room);
  room.send('Hi!', { key: 'k1' });
  await settle();
  await comeBack(w, { offset: 7, recovered: true });
  w.socket.answer('chat', { type: 'ack', data: { room: 'general', offset: 7, epoch: 'e1' } });
  await settle();
  own(w, 7);
  assert.deepEqual(seen, [[7, 'k1']]);
});

test('said_again_after_a_reset_it_keeps_its_key', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 6 });
  const seen = shown(room);
  room.send('Hi!', { key: 'k1' });
  await settle();
  own(w, 7); // Its ack is lost, and so is, with the key, what Redis had not saved.
  await comeBack(w, { epoch: 'e2', offset: 6, recovered: false });
  assert.equal(w.socket.last('chat').data.key, 'k1');
  own(w, 7);
  w.socket.answer('chat', { type: 'ack', data: { room: 'general', offset: 7, epoch: 'e2' } });
  await settle();
  assert.deepEqual(seen, [[7, 'k1'], [7, 'k1']]);
  assert.equal(states(w, 'k1').at(-1), 'delivered');
});

test('sent_again_after_a_loss_they_keep_their_order', async () => {
  const w = world();
  const room = await w.inRoom();
  ['one', 'two', 'three'].forEach((text) => room.send(text));
  await settle();
  w.socket.say({ type: 'ack', id: w.socket.of('chat')[0].id, data: {} });
  await settle();
  w.socket.drop(1006);
  room.send('four');
  await w.clock.advance(w.events('state').at(-1).delayMs);
  w.socket.open();
  await settle();
  w.socket.welcome('general');
  await settle();
  assert.deepEqual(w.socket.of('chat').map(({ data }) => data.text), ['two', 'three', 'four']);
});

test('a_gateway_that_knows_of_no_membership_is_joined_again_without_a_storm', async () => {
  const w = world();
  const room = await w.inRoom('general', { offset: 6 });
  const sent = room.send('Hi!', { key: 'k1' });
  await settle();
  w.socket.answer('chat', { type: 'error', data: { code: 'not_joined', message: '' } });
  await settle();
  assert.equal(w.socket.of('chat').length, 1);
  assert.deepEqual(w.socket.last('join').data.since, { epoch: 'e1', offset: 6 });
  w.socket.welcome('general', { offset: 6, recovered: true });
  await w.clock.advance(1_000);
  assert.deepEqual(w.socket.of('chat').map(({ data }) => data.key), ['k1', 'k1']);
  w.socket.answer('chat', { type: 'ack', data: { room: 'general', offset: 7, epoch: 'e1' } });
  assert.equal((await sent).offset, 7);
});

test('after_a_long_sleep_nothing_is_sent_whose_key_may_be_forgotten', async () => {
  const w = world();
  const room = await w.inRoom();
  const tried = room.send('tried', { key: 'k1' });
  await settle();
  w.socket.drop(1006);
  const never = room.send('never tried', { key: 'k2' });
  w.clock.sleep(3_600_000);
  w.page.tell('wake');
  w.socket.open();
  await settle();
  w.socket.welcome('general'); // Faster than any timer.
  await settle();
  assert.equal(w.socket.of('chat').length, 0);
  await assert.rejects(tried, { code: 'expired', message: /may have been said/ });
  await assert.rejects(never, { code: 'expired', message: /could not be sent/ });
});

test('two_pages_with_one_queue_send_the_same_keys', async () => {
  const storage = new FakeStorage();
  const first = world({ storage });
  const room = await first.inRoom();
  first.page.tell('offline');
  room.send('Hi!', { key: 'k1' });
  await settle();
  const copy = new FakeStorage(); // Duplicating a tab copies its session's storage.
  storage.items.forEach((value, key) => copy.setItem(key, value));
  const second = world({ storage: copy });
  await second.inRoom();
  assert.deepEqual(second.socket.of('chat').map(({ data }) => data.key), ['k1']);
});
