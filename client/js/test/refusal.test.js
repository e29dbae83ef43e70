// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainAddress } from '../refusal.js';
import { fakeFetch, settle, world } from './fakes.js';

/** A client whose only try after a loss was just refused; the question is on its way. */
async function refused(options = {}) {
  const { fetch, requests } = fakeFetch();
  const w = world({ maxRetries: 1, fetch, ...options });
  w.client.connect();
  w.socket.open();
  w.socket.drop();
  await w.clock.advance(w.events('state').at(-1).delayMs);
  assert.equal(w.sockets.length, 2);
  w.socket.drop();
  await settle();
  return Object.assign(w, { requests });
}

async function withOrigin(origin, body) {
  globalThis.origin = origin;
  try {
    await body();
  } finally {
    delete globalThis.origin;
  }
}

test('the_plain_address_is_the_sockets_own', () => {
  assert.equal(plainAddress('ws://host:8080/ws?a=b'), 'http://host:8080/ws?a=b');
  assert.equal(plainAddress('wss://host/ws', 'https://host'), 'https://host/ws');
  assert.equal(plainAddress('wss://host:443/ws', 'https://host'), 'https://host/ws');
});

test('nobody_of_another_origin_is_asked', () => {
  for (const origin of ['http://other', 'http://host:81', 'https://host', 'null']) {
    assert.equal(plainAddress('ws://host/ws', origin), null, origin);
  }
  for (const url of [undefined, '', 'nonsense', 'ftp://host/ws', 'http://host/ws']) {
    assert.equal(plainAddress(url), null, String(url));
  }
});

test('a_full_gateway_is_waited_for_and_does_not_count', async () => {
  const w = await refused();
  assert.equal(w.requests.length, 1);
  assert.equal(w.requests[0].url, 'http://host/ws');
  assert.equal(w.requests[0].init.cache, 'no-store');
  assert.equal(w.client.state, 'reconnecting');
  w.requests[0].answer(503, { 'Retry-After': '7' });
  await settle();
  const event = w.events('state').at(-1);
  assert.equal(event.state, 'reconnecting');
  assert.equal(event.code, 1006);
  assert.equal(event.attempt, 1);
  assert.equal(event.delayMs, 7_000 + 1_000, 'the advice, and jitter after it');
  assert.ok(w.requests[0].init.signal.aborted, 'nobody waits for the rest of the answer');
  await w.clock.advance(7_999);
  assert.equal(w.sockets.length, 2);
  await w.clock.advance(1);
  assert.equal(w.sockets.length, 3);
});

test('the_first_connection_waits_too', async () => {
  const { fetch, requests } = fakeFetch();
  const w = world({ fetch });
  w.client.connect();
  w.socket.drop();
  await settle();
  assert.equal(w.client.state, 'connecting');
  requests[0].answer(503, { 'Retry-After': '300' });
  await settle();
  assert.equal(w.client.state, 'reconnecting');
  assert.equal(w.events('state').at(-1).delayMs, 300_000 + 750);
});

for (const [name, answer] of [
  ['426', (request) => request.answer(426)],
  ['500_with_retry_after', (request) => request.answer(500, { 'Retry-After': '5' })],
  ['503_without_retry_after', (request) => request.answer(503)],
  ['503_with_a_date', (request) => request.answer(503, {
    'Retry-After': 'Wed, 21 Oct 2026 07:28:00 GMT' })],
  ['503_with_0', (request) => request.answer(503, { 'Retry-After': '0' })],
  ['503_with_301', (request) => request.answer(503, { 'Retry-After': '301' })],
  ['a_network_error', (request) => request.fail()],
]) {
  test(`${name}_counts`, async () => {
    const w = await refused();
    assert.equal(w.client.state, 'reconnecting');
    answer(w.requests[0]);
    await settle();
    assert.equal(w.client.state, 'failed');
    assert.equal(w.events('state').at(-1).reason, 'retries');
    assert.equal(w.clock.timers, 0);
  });
}

test('no_answer_counts_after_two_seconds', async () => {
  const w = await refused();
  await w.clock.advance(1_999);
  assert.equal(w.client.state, 'reconnecting');
  await w.clock.advance(1);
  assert.equal(w.client.state, 'failed');
  assert.ok(w.requests[0].init.signal.aborted);
});

test('a_fetch_that_throws_counts', async () => {
  const w = await refused({ fetch: () => { throw new Error('broken'); } });
  assert.equal(w.client.state, 'failed');
});

for (const [name, act, state] of [
  ['close', (w) => w.client.close(), 'closed'],
  ['pagehide', (w) => w.page.tell('pagehide'), 'closed'],
  ['offline', (w) => w.page.tell('offline'), 'offline'],
]) {
  test(`${name}_takes_the_question_back`, async () => {
    const w = await refused();
    act(w);
    assert.equal(w.client.state, state);
    assert.ok(w.requests[0].init.signal.aborted);
    const told = w.events('state').length;
    w.requests[0].answer(503, { 'Retry-After': '7' });
    await w.clock.advance(600_000);
    assert.equal(w.events('state').length, told, 'nothing happens afterwards');
    assert.equal(w.sockets.length, 2);
    assert.equal(w.clock.timers, 0);
  });
}

test('an_answer_that_is_overtaken_by_close_is_not_heard', async () => {
  const w = await refused();
  w.requests[0].answer(503, { 'Retry-After': '7' });
  w.client.close();
  await w.clock.advance(600_000);
  assert.equal(w.client.state, 'closed');
  assert.equal(w.sockets.length, 2);
});

for (const [name, act] of [
  ['reconnect', (w) => w.client.reconnect()],
  ['a_wake', (w) => w.page.tell('wake')],
]) {
  test(`${name}_does_not_wait_for_the_answer`, async () => {
    const w = await refused();
    act(w);
    assert.equal(w.sockets.length, 3);
    assert.ok(w.requests[0].init.signal.aborted);
    w.socket.open();
    await w.clock.advance(5_000);
    assert.equal(w.client.state, 'open');
    assert.equal(w.sockets.length, 3);
  });
}

test('a_socket_that_was_open_is_not_asked_about', async () => {
  const { fetch, requests } = fakeFetch();
  const w = world({ fetch });
  w.client.connect();
  w.socket.open();
  w.socket.drop();
  await settle();
  assert.equal(requests.length, 0);
  assert.equal(w.events('state').at(-1).delayMs, 750);
});

test('a_hidden_page_and_a_page_of_another_origin_do_not_ask', async () => {
  const hidden = fakeFetch();
  const w = world({ fetch: hidden.fetch });
  w.client.connect();
  w.page.tell('hidden');
  w.socket.drop();
  await settle();
  assert.equal(hidden.requests.length, 0);
  assert.equal(w.client.state, 'reconnecting');
  await withOrigin('http://other', async () => {
    const other = await refused();
    assert.equal(other.requests.length, 0);
    assert.equal(other.client.state, 'failed');
  });
  await withOrigin('http://host', async () => {
    assert.equal((await refused()).requests.length, 1);
  });
});

test('no_fetch_no_question', async () => {
  const w = await refused({ fetch: false });
  assert.equal(w.client.state, 'failed');
});
