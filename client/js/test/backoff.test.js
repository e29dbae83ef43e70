// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RetryCounter, fullJitter } from '../backoff.js';

test('full_jitter_stays_between_its_floor_and_its_growing_ceiling', () => {
  for (let attempt = 0; attempt < 12; attempt += 1) {
    const ceiling = Math.min(20_000, 500 * 2 ** attempt);
    assert.equal(fullJitter(attempt, 500, 20_000, () => 0), 500);
    assert.equal(fullJitter(attempt, 500, 20_000, () => 0.5), 500 + ceiling / 2);
    assert.ok(fullJitter(attempt, 500, 20_000, () => 0.999999) <= 500 + ceiling);
  }
});

test('full_jitter_uses_the_whole_interval', () => {
  const delays = Array.from({ length: 4_000 }, () => fullJitter(4, 500, 20_000));
  const quarters = [0, 0, 0, 0];
  delays.forEach((delay) => {
    quarters[Math.min(3, Math.floor((delay - 500) / 2_000))] += 1;
  });
  quarters.forEach((n) => assert.ok(n > 800 && n < 1_200, `a quarter holds ${n} of 4000`));
});

test('full_jitter_of_a_huge_attempt_is_a_number', () => {
  assert.equal(fullJitter(5_000, 500, 20_000, () => 0.5), 10_500);
  assert.equal(fullJitter(-3, 500, 20_000, () => 0), 500);
});

test('excused_failures_lengthen_the_wait_but_are_no_tries', () => {
  const counter = new RetryCounter({ minMs: 500, maxMs: 20_000, maxTries: 2, random: () => 1 });
  assert.equal(counter.delayMs(), 1_000);
  counter.excused();
  assert.equal(counter.delayMs(), 1_500);
  assert.equal(counter.attempt, 1);
  counter.failed();
  assert.equal(counter.attempt, 2);
  assert.equal(counter.exhausted, false);
  counter.failed();
  assert.equal(counter.exhausted, true);
  counter.reset();
  assert.equal(counter.exhausted, false);
  assert.equal(counter.delayMs(), 1_000);
});
