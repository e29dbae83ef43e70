// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browserPage, freshKey } from '../environment.js';
import { FakeClock } from './fakes.js';

/** A window with a document, as far as a page's life needs them. */
function fakeScope() {
  const scope = new EventTarget();
  scope.document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  scope.navigator = { onLine: true };
  return scope;
}

function listening() {
  const scope = fakeScope();
  const clock = new FakeClock();
  const page = browserPage(scope, clock);
  const told = [];
  const stop = page.listen((event) => told.push(event));
  return { scope, clock, page, told, stop };
}

test('the_pages_events_are_told_by_their_names', () => {
  const { scope, page, told, stop } = listening();
  for (const name of ['offline', 'online', 'pagehide', 'pageshow']) {
    scope.dispatchEvent(new Event(name));
  }
  scope.document.visibilityState = 'hidden';
  scope.document.dispatchEvent(new Event('visibilitychange'));
  assert.equal(page.visible(), false);
  scope.document.visibilityState = 'visible';
  scope.document.dispatchEvent(new Event('visibilitychange'));
  assert.equal(page.visible(), true);
  assert.deepEqual(told, ['offline', 'online', 'pagehide', 'pageshow', 'hidden', 'visible']);
  stop();
  scope.dispatchEvent(new Event('online'));
  assert.equal(told.length, 6);
});

test('a_clock_that_jumped_ahead_is_a_wake', async () => {
  const { clock, told } = listening();
  await clock.advance(60_000);
  assert.deepEqual(told, []);
  clock.sleep(3_600_000);
  await clock.advance(10_000);
  assert.deepEqual(told, ['wake']);
});

test('the_slow_timers_of_a_background_page_are_no_wake', async () => {
  const { clock, told } = listening();
  for (let minute = 0; minute < 5; minute += 1) {
    clock.sleep(60_000);
    await clock.advance(0);
  }
  assert.deepEqual(told, []);
});

test('nobody_who_stopped_listening_has_a_timer', () => {
  const { clock, stop } = listening();
  stop();
  assert.equal(clock.timers, 0);
});

test('no_two_keys_are_alike', () => {
  const keys = new Set(Array.from({ length: 1_000 }, freshKey));
  assert.equal(keys.size, 1_000);
  keys.forEach((key) => assert.match(key, /^[\w-]{22}$/));
});
