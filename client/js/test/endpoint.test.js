// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpoint } from '../../web/endpoint.js';

const page = (query) => endpoint(new URL(`http://chat.test:8080/${query}`));
const BESIDE = 'ws://chat.test:8080/ws';

test('the_websocket_is_beside_the_page', () => {
  assert.equal(page(''), BESIDE);
  assert.equal(endpoint(new URL('https://chat.test/#general')), 'wss://chat.test/ws');
});

test('another_port_of_the_same_host_may_be_named', () => {
  assert.equal(page('?ws=ws://chat.test:9001/ws'), 'ws://chat.test:9001/ws');
  assert.equal(page('?ws=wss://chat.test/ws'), 'wss://chat.test/ws');
});

test('another_host_or_scheme_is_refused', () => {
  for (const ws of ['ws://evil.test/ws', 'ws://chat.test.evil.test/ws', 'http://chat.test/ws',
    'javascript:alert(1)', 'ws://user:pw@chat.test/ws', 'ws://chat.test@evil.test/ws',
    '//chat.test', 'ws://', '', 'nonsense']) {
    assert.equal(page(`?ws=${encodeURIComponent(ws)}`), BESIDE, ws);
  }
});
