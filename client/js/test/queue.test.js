// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Queue } from '../queue.js';
import { FakeStorage } from './fakes.js';

const LIMITS = { messages: 3, bytes: 100, maxAgeMs: 1_000 };
const chat = (key, text = 'hi', at = 0) => ({ key, kind: 'chat', to: 'r', text, at });

test('the_queue_refuses_the_message_that_is_one_too_many', () => {
  const queue = new Queue(LIMITS);
  ['a', 'b', 'c'].forEach((key) => queue.add(chat(key)));
  assert.throws(() => queue.add(chat('d')), { code: 'queue_full' });
  assert.deepEqual(queue.list().map(({ key }) => key), ['a', 'b', 'c']);
  queue.remove('a');
  queue.add(chat('d'));
});

test('the_queue_counts_bytes_of_utf8_and_gives_them_back', () => {
  const queue = new Queue(LIMITS);
  queue.add(chat('a', '€'.repeat(30)));
  assert.throws(() => queue.add(chat('b', '12345678901')), { code: 'queue_full' });
  queue.add(chat('b', '12345678'));
  assert.throws(() => queue.add(chat('c', 'x')), { code: 'queue_full' });
  queue.remove('a');
  queue.add(chat('c', '🎉'.repeat(20)));
});

test('a_key_waits_only_once', () => {
  const queue = new Queue(LIMITS);
  queue.add(chat('a'));
  assert.throws(() => queue.add(chat('a')), { code: 'bad_argument' });
});

test('messages_expire_by_age', () => {
  const queue = new Queue(LIMITS);
  queue.add(chat('a', 'x', 0));
  queue.add(chat('b', 'x', 400));
  assert.equal(queue.nextExpiryMs(100), 900);
  assert.deepEqual(queue.expired(999), []);
  assert.deepEqual(queue.expired(1_000).map(({ key }) => key), ['a']);
  queue.remove('a');
  assert.equal(queue.nextExpiryMs(1_000), 400);
  queue.remove('b');
  assert.equal(queue.nextExpiryMs(1_000), null);
});

test('the_queue_survives_in_its_storage_for_the_same_user_only', () => {
  const storage = new FakeStorage();
  const queue = new Queue(LIMITS, { storage, owner: 'alice' });
  queue.add({ ...chat('a', 'hello'), meta: { n: 1 } });
  queue.add({ key: 'b', kind: 'direct', to: 'bob', text: 'psst', at: 5 });
  const again = new Queue(LIMITS, { storage, owner: 'alice' });
  assert.deepEqual(again.list().map(({ key, kind, to, text, at }) => [key, kind, to, text, at]),
    [['a', 'chat', 'r', 'hello', 0], ['b', 'direct', 'bob', 'psst', 5]]);
  assert.deepEqual(again.get('a').meta, { n: 1 });
  assert.equal(new Queue(LIMITS, { storage, owner: 'mallory' }).size, 0);
  again.remove('a');
  again.remove('b');
  assert.equal(storage.items.size, 0);
});

test('a_spoilt_storage_is_no_queue', () => {
  const good = { key: 'k', kind: 'chat', to: 'r', text: 't', at: 1 };
  const cases = ['', '{', '[]', 'null', '5', '{"version":1}', '{"version":2,"entries":[]}',
    JSON.stringify({ version: 1, owner: '', entries: [null, 1, {}, { ...good, key: 5 },
      { ...good, text: { a: 1 } }, { ...good, kind: 'evil' }, { ...good, at: 'x' },
      { ...good, key: 'x'.repeat(65) }, { ...good, meta: 'm' }] })];
  for (const raw of cases) {
    const storage = new FakeStorage();
    storage.setItem('parley.queue', raw);
    assert.equal(new Queue(LIMITS, { storage }).size, 0, raw);
  }
});

test('a_storage_that_throws_leaves_a_queue_in_memory', () => {
  const storage = {
    getItem() { throw new Error('denied'); },
    setItem() { throw new Error('full'); },
    removeItem() { throw new Error('denied'); },
  };
  const queue = new Queue(LIMITS, { storage });
  queue.add(chat('a'));
  assert.equal(queue.size, 1);
});
