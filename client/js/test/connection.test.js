// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFinalClose } from '../errors.js';
import { Parley } from '../parley.js';
import { FakeClock, FakePage, fakeSockets, settle, world } from './fakes.js';

/** Lets the try that is planned begin. */
async function nextTry(w) {
  const { delayMs } = w.events('state').at(-1);
  assert.ok(delayMs !== undefined, 'no try is planned');
  await w.clock.advance(delayMs);
}

test('connect_resolves_when_the_socket_opens', async () => {
  const w = world();
  let ready = false;
  w.client.connect().then(() => { ready = true; });
  assert.equal(w.client.state, 'connecting');
  assert.equal(w.socket.url, 'ws://host/ws');
  assert.deepEqual(w.socket.protocols, ['parley.v1']);
  await settle();
  assert.equal(ready, false);
  w.socket.open();
  await settle();
  assert.equal(ready, true);
  assert.equal(w.client.state, 'open');
});

test('a_loss_tells_the_countdown_and_comes_back_after_it', async () => {
  const w = world({ maxRetries: 5 });
  w.client.connect();
  w.socket.open();
  await w.clock.advance(10_000);
  w.socket.drop(1006);
  const event = w.events('state').at(-1);
  assert.equal(event.state, 'reconnecting');
  assert.equal(event.previous, 'open');
  assert.equal(event.code, 1006);
  assert.equal(event.attempt, 1);
  assert.equal(event.delayMs, 750);
  assert.equal(event.retryAt, w.clock.now() + 750);
  await w.clock.advance(749);
  assert.equal(w.sockets.length, 1);
  await w.clock.advance(1);
  assert.equal(w.sockets.length, 2);
  assert.equal(w.events('state').at(-1).retryAt, undefined);
  w.socket.open();
  assert.equal(w.client.state, 'open');
});

test('the_fifth_failed_try_is_the_last_until_reconnect', async () => {
  const w = world({ maxRetries: 5 });
  w.client.connect();
  w.socket.drop();
  const delays = [];
  for (let i = 1; i <= 5; i += 1) {
    assert.equal(w.events('state').at(-1).attempt, i);
    delays.push(w.events('state').at(-1).delayMs);
    await nextTry(w);
    w.socket.drop();
  }
  assert.deepEqual(delays, [750, 1_000, 1_500, 2_500, 4_500]);
  assert.equal(w.client.state, 'failed');
  assert.equal(w.events('state').at(-1).reason, 'retries');
  assert.equal(w.sockets.length, 6);
  await w.clock.advance(600_000);
  w.page.tell('hidden');
  w.page.tell('visible');
  w.page.tell('online');
  assert.equal(w.sockets.length, 6);
  w.client.reconnect();
  assert.equal(w.sockets.length, 7);
  assert.equal(w.events('state').at(-1).attempt, 1);
});

test('the_count_resets_only_after_ten_seconds_open', async () => {
  const w = world({ maxRetries: 5 });
  w.client.connect();
  w.socket.drop();
  await nextTry(w);
  w.socket.open();
  await w.clock.advance(9_999);
  w.socket.drop();
  assert.equal(w.events('state').at(-1).attempt, 2, 'an unstable connection is a failed try');
  await nextTry(w);
  w.socket.open();
  await w.clock.advance(10_000);
  w.socket.drop();
  assert.equal(w.events('state').at(-1).attempt, 1);
  assert.equal(w.events('state').at(-1).delayMs, 750);
});

test('no_try_while_the_page_is_hidden_and_one_at_once_when_it_is_shown', async () => {
  const w = world({ maxRetries: 2 });
  w.client.connect();
  w.socket.open();
  w.page.tell('hidden');
  w.socket.drop();
  await w.clock.advance(60_000);
  assert.equal(w.sockets.length, 1);
  assert.equal(w.client.state, 'reconnecting');
  assert.equal(w.events('state').at(-1).reason, 'page_hidden');
  w.page.tell('visible');
  assert.equal(w.sockets.length, 2);
});

test('a_try_during_which_the_page_was_hidden_does_not_count', async () => {
  const w = world({ maxRetries: 1 });
  w.client.connect();
  w.socket.drop();
  await nextTry(w);
  w.page.tell('hidden');
  w.page.shown = true;
  w.socket.drop();
  assert.equal(w.client.state, 'reconnecting');
  await nextTry(w);
  w.socket.drop();
  assert.equal(w.client.state, 'failed');
});

test('offline_stops_trying_and_online_tries_at_once_with_the_count_reset', async () => {
  const w = world({ maxRetries: 3 });
  w.client.connect();
  w.socket.drop();
  await nextTry(w);
  w.socket.drop();
  assert.equal(w.events('state').at(-1).attempt, 2);
  w.page.tell('offline');
  assert.equal(w.client.state, 'offline');
  await w.clock.advance(600_000);
  assert.equal(w.sockets.length, 2);
  w.page.tell('online');
  assert.equal(w.sockets.length, 3);
  assert.equal(w.events('state').at(-1).attempt, 1);
});

test('going_offline_gives_up_the_socket_and_its_late_events_are_not_heard', async () => {
  const w = world();
  w.client.connect();
  w.socket.open();
  const old = w.socket;
  w.page.tell('offline');
  assert.equal(w.client.state, 'offline');
  old.drop(1006);
  old.open();
  old.say({ type: 'ping' });
  assert.equal(w.client.state, 'offline');
  assert.equal(old.of('pong').length, 0);
});

for (const [code, name] of [[4000, 'drain'], [1013, 'full gateway']]) {
  test(`a_${name}_close_does_not_count`.replaceAll(' ', '_'), async () => {
    const w = world({ maxRetries: 1 });
    w.client.connect();
    w.socket.drop();
    for (let i = 0; i < 4; i += 1) {
      await nextTry(w);
      w.socket.open();
      w.socket.drop(code);
      assert.equal(w.client.state, 'reconnecting');
      assert.equal(w.events('state').at(-1).attempt, 1);
    }
    await nextTry(w);
    w.socket.drop(1006);
    assert.equal(w.client.state, 'failed');
  });
}

test('retry_after_before_a_close_is_waited_for_and_does_not_count', async () => {
  const w = world({ maxRetries: 1 });
  w.client.connect();
  w.socket.drop();
  await nextTry(w);
  w.socket.open();
  w.socket.say({ type: 'error', data: { code: 'rate_limited', message: 'slow down',
    retry_after: 5_000 } });
  w.socket.drop(4429, 'flood');
  const event = w.events('state').at(-1);
  assert.equal(event.state, 'reconnecting');
  assert.ok(event.delayMs > 5_000 && event.delayMs < 7_000, `waits ${event.delayMs}`);
  assert.equal(w.events('error').at(-1).retryAfterMs, 5_000);
});

test('bye_then_close_comes_back_in_its_slot', async () => {
  const w = world();
  w.client.connect();
  w.socket.open();
  w.socket.say({ type: 'bye', data: { reason: 'drain', reconnect_in: 3_000 } });
  assert.equal(w.client.state, 'open');
  assert.deepEqual(w.events('bye'), [{ reason: 'drain', reconnectInMs: 3_000 }]);
  await w.clock.advance(1_000);
  w.socket.drop(4000, 'moved');
  assert.equal(w.events('state').at(-1).delayMs, 2_000);
  await w.clock.advance(1_999);
  assert.equal(w.sockets.length, 1);
  await w.clock.advance(1);
  assert.equal(w.sockets.length, 2);
});

test('bye_without_a_close_moves_on_by_itself_at_its_slot', async () => {
  const w = world();
  w.client.connect();
  w.socket.open();
  w.socket.say({ type: 'bye', data: { reason: 'drain', reconnect_in: 3_000 } });
  await w.clock.advance(3_000);
  assert.deepEqual(w.sockets[0].closed, { code: 1000, reason: 'moved' });
  assert.equal(w.sockets.length, 2);
  w.socket.open();
  await w.clock.advance(20_000);
  assert.equal(w.sockets.length, 2, 'the slot is used once');
});

test('bye_with_an_absurd_slot_is_bounded', async () => {
  const w = world();
  w.client.connect();
  w.socket.open();
  w.socket.say({ type: 'bye', data: { reconnect_in: 86_400_000 } });
  w.socket.drop(4000);
  assert.equal(w.events('state').at(-1).delayMs, 300_000);
});

test('close_codes_are_final_or_not_as_the_protocol_says', () => {
  const again = [1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015, 3000, 3999, 4000, 4001,
    4002, 4401, 4408, 4429, 4499];
  const final = [1002, 1003, 1007, 1008, 1009, 1010, 4500, 4501, 4503, 4504, 4999];
  again.forEach((code) => assert.equal(isFinalClose(code), false, `${code} is not final`));
  final.forEach((code) => assert.equal(isFinalClose(code), true, `${code} is final`));
});

test('a_final_code_stops_with_its_reason', async () => {
  const w = world();
  w.client.connect();
  w.socket.open();
  w.socket.drop(4503, 'kicked');
  const event = w.events('state').at(-1);
  assert.equal(event.state, 'failed');
  assert.equal(event.code, 4503);
  assert.equal(event.reason, 'kicked');
  await w.clock.advance(600_000);
  assert.equal(w.sockets.length, 1);
  await assert.rejects(w.client.ready(), { code: 'failed' });
});

test('a_socket_that_never_opens_is_given_up', async () => {
  const w = world();
  w.client.connect();
  await w.clock.advance(10_000);
  assert.ok(w.sockets[0].closed, 'it was closed');
  assert.equal(w.client.state, 'reconnecting');
  await nextTry(w);
  assert.equal(w.sockets.length, 2);
});

test('pagehide_closes_with_1000_and_pageshow_connects_again', async () => {
  const w = world();
  w.client.connect();
  w.socket.open();
  w.page.tell('pagehide');
  assert.deepEqual(w.sockets[0].closed, { code: 1000, reason: 'pagehide' });
  assert.equal(w.client.state, 'closed');
  await w.clock.advance(60_000);
  assert.equal(w.sockets.length, 1);
  w.page.tell('pageshow');
  assert.equal(w.sockets.length, 2);
  assert.equal(w.client.state, 'connecting');
});

test('close_is_for_good_and_leaves_no_timer_and_no_listener', async () => {
  const w = world();
  const room = await w.inRoom();
  w.socket.people('general', [['alice', 1]]);
  room.send('wait').catch(() => {});
  await settle();
  w.client.close();
  assert.deepEqual(w.sockets[0].closed, { code: 1000, reason: '' });
  assert.equal(w.client.state, 'closed');
  await settle();
  assert.equal(w.page.listeners, 0);
  assert.equal(w.clock.timers, 0);
  assert.equal(room.state, 'detached');
});

test('a_url_function_is_asked_at_every_try', async () => {
  let asked = 0;
  const { Parley } = await import('../parley.js');
  const w = world();
  const sockets = [];
  class Socket {
    constructor(url) {
      this.url = url;
      sockets.push(this);
    }

    close() {}
  }
  const client = new Parley(async () => `ws://host/${asked += 1}`, {
    user: 'alice', WebSocket: Socket, clock: w.clock, page: w.page, random: () => 0, fetch: false,
  });
  client.connect();
  await settle();
  sockets[0].onclose({ code: 1006, reason: '' });
  await w.clock.advance(500);
  assert.deepEqual(sockets.map(({ url }) => url), ['ws://host/1', 'ws://host/2']);
  client.close();
});

test('a_dead_link_is_noticed_after_heartbeat_and_slack', async () => {
  const w = world();
  await w.inRoom('general', { heartbeat: 25 });
  const pings = w.socket.of('ping').length;
  await w.clock.advance(30_000);
  assert.equal(w.socket.of('ping').length, pings + 1, 'it asks once before it gives up');
  assert.equal(w.client.state, 'open');
  await w.clock.advance(5_000);
  assert.equal(w.client.state, 'reconnecting');
  assert.equal(w.events('state').at(-1).code, 4001);
  assert.equal(w.sockets[0].closed.code, 4001);
});

test('anything_that_arrives_is_life', async () => {
  const w = world();
  await w.inRoom('general', { heartbeat: 25 });
  for (let i = 0; i < 10; i += 1) {
    await w.clock.advance(25_000);
    w.socket.say({ type: 'ping' });
    assert.deepEqual(w.socket.sent.at(-1), { type: 'pong' });
  }
  assert.equal(w.client.state, 'open');
  assert.equal(w.sockets.length, 1);
});

test('the_heartbeat_of_the_welcome_is_used', async () => {
  const w = world({ maxPingDelayMs: 2_000 });
  await w.inRoom('general', { heartbeat: 3 });
  await w.clock.advance(4_999);
  assert.equal(w.client.state, 'open');
  await w.clock.advance(1);
  assert.equal(w.client.state, 'reconnecting');
});

test('waking_from_sleep_doubts_the_link_and_gives_it_five_seconds', async () => {
  const w = world();
  await w.inRoom();
  w.page.tell('wake');
  await w.clock.advance(4_000);
  w.socket.say({ type: 'pong' });
  await w.clock.advance(4_000);
  assert.equal(w.client.state, 'open');
  w.page.tell('wake');
  await w.clock.advance(5_000);
  assert.equal(w.client.state, 'reconnecting');
});

test('ping_measures_the_round_trip', async () => {
  const w = world();
  await w.inRoom();
  const rtt = w.client.ping();
  await w.clock.advance(12);
  w.socket.answer('ping', { type: 'pong' });
  assert.equal(await rtt, 12);
  assert.equal(w.client.latencyMs, 12);
  assert.deepEqual(w.events('latency').at(-1), { rttMs: 12 });
});

test('a_laptop_that_slept_for_an_hour_is_back_at_once', async () => {
  const w = world();
  await w.inRoom('general', { offset: 7 });
  w.clock.sleep(3_600_000);
  w.page.tell('wake');
  assert.equal(w.sockets.length, 2, 'no doubt, no wait');
  assert.equal(w.sockets[0].closed.code, 4001);
  assert.equal(w.events('state').at(-1).attempt, 1);
  w.socket.open();
  await settle();
  assert.deepEqual(w.socket.last('join').data.since, { epoch: 'e1', offset: 7 });
  w.sockets[0].drop(1006); // The system notices, too.
  await w.clock.advance(30_000);
  assert.equal(w.sockets.length, 2);
});

test('late_timers_of_a_sleeper_do_not_open_a_second_socket', async () => {
  const w = world();
  await w.inRoom();
  w.clock.sleep(3_600_000);
  await w.clock.advance(0); // The watch's timer comes before the page's tick.
  w.page.tell('wake');
  assert.equal(w.sockets.length, 2);
  w.socket.open();
  await w.clock.advance(5_000);
  assert.equal(w.sockets.length, 2);
  assert.equal(w.client.state, 'open');
});

test('a_page_that_wakes_in_the_background_waits_until_it_is_shown', async () => {
  const w = world();
  await w.inRoom();
  w.page.tell('hidden');
  w.clock.sleep(3_600_000);
  w.page.tell('wake');
  assert.equal(w.sockets.length, 1);
  assert.equal(w.events('state').at(-1).reason, 'page_hidden');
  w.page.tell('visible');
  assert.equal(w.sockets.length, 2);
});

test('a_hidden_page_moves_when_the_gateway_asks_it_to', async () => {
  const w = world();
  w.client.connect();
  w.socket.open();
  w.page.tell('hidden');
  w.socket.say({ type: 'bye', data: { reason: 'drain', reconnect_in: 1_000 } });
  await w.clock.advance(1_000);
  assert.equal(w.sockets.length, 2, 'at its slot');
  w.socket.open();
  w.socket.drop(4000, 'moved');
  await nextTry(w);
  assert.equal(w.sockets.length, 3, 'after a close 4000');
  w.socket.drop(1006);
  await nextTry(w);
  assert.equal(w.sockets.length, 3, 'but an ordinary loss waits until the page is shown');
});

test('a_move_tells_why_it_reconnects', async () => {
  const w = world();
  w.client.connect();
  w.socket.open();
  w.socket.say({ type: 'bye', data: { reason: 'drain', reconnect_in: 1_000 } });
  await w.clock.advance(1_000);
  const { state, code, reason } = w.events('state').at(-1);
  assert.deepEqual([state, code, reason], ['reconnecting', 4000, 'moved']);
});

test('a_gateway_that_dies_before_the_slot_is_not_waited_for', async () => {
  const w = world();
  w.client.connect();
  w.socket.open();
  w.socket.say({ type: 'bye', data: { reason: 'drain', reconnect_in: 30_000 } });
  w.socket.drop(1006);
  assert.equal(w.events('state').at(-1).delayMs, 750);
});

test('a_listener_may_close_or_reconnect_at_any_state', async () => {
  for (const state of ['connecting', 'open', 'reconnecting']) {
    const w = world();
    w.client.on('state', (event) => event.state === state && w.client.close());
    w.client.connect();
    w.socket?.open?.call(w.socket);
    w.socket?.drop?.call(w.socket);
    await w.clock.advance(60_000);
    assert.equal(w.client.state, 'closed', state);
    assert.equal(w.clock.timers, 0, state);
    assert.ok(w.sockets.length <= 1, state);
  }
});

test('an_address_that_comes_after_the_close_is_not_used', async () => {
  let give;
  const { WebSocket, sockets } = fakeSockets();
  const clock = new FakeClock();
  const client = new Parley(() => new Promise((resolve) => { give = resolve; }),
    { user: 'alice', clock, page: new FakePage(), WebSocket, fetch: false });
  client.connect();
  await settle();
  client.close();
  give('ws://host/ws');
  await clock.advance(60_000);
  assert.equal(sockets.length, 0);
  assert.equal(clock.timers, 0);
});

test('an_address_that_cannot_be_had_is_a_failed_try', async () => {
  const { WebSocket, sockets } = fakeSockets();
  const clock = new FakeClock();
  let asked = 0;
  const client = new Parley(async () => {
    asked += 1;
    if (asked === 1) {
      throw new Error('no token today');
    }
    return 'ws://host/ws';
  }, { user: 'alice', clock, page: new FakePage(), WebSocket, fetch: false, random: () => 0.5 });
  client.connect();
  await settle();
  assert.equal(client.state, 'reconnecting');
  await clock.advance(750);
  assert.equal(sockets.length, 1);
});
