// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Presence } from '../presence.js';

function room(...names) {
  const presence = new Presence();
  presence.snapshot(names.map((user) => ({ user, connections: 1 })),
    { online: names.length, partial: false, nowMs: 0 });
  return presence;
}

test('digests_before_the_first_snapshot_only_count', () => {
  const presence = new Presence();
  assert.deepEqual(presence.digest({ online: 3, joined: ['bob'] }, 0), { joined: [], left: [] });
  assert.equal(presence.online, 3);
  assert.equal(presence.members.size, 0);
  assert.equal(presence.differs, false);
});

test('a_name_that_joins_and_leaves_in_one_digest_changes_nothing', () => {
  const presence = room('alice');
  assert.deepEqual(presence.digest({ online: 1, joined: ['bob'], left: ['bob'] }, 5_000),
    { joined: [], left: [] });
  assert.equal(presence.members.has('bob'), false);
});

test('the_departure_of_somebody_unknown_takes_nobody_away', () => {
  const presence = room('alice', 'bob');
  assert.deepEqual(presence.digest({ online: 2, left: ['zoe'] }, 5_000), { joined: [], left: [] });
  assert.equal(presence.differs, false);
});

test('a_newcomer_right_after_the_snapshot_is_believed', () => {
  const presence = room('alice', 'bob');
  presence.digest({ online: 1 }, 100); // bob is gone, his name is held back
  assert.deepEqual(presence.digest({ online: 2, joined: ['zoe'] }, 200).joined, ['zoe']);
  assert.equal(presence.differs, true);
  assert.deepEqual(presence.digest({ online: 2, left: ['bob'] }, 300).left, ['bob']);
  assert.equal(presence.differs, false);
});

test('a_second_page_of_a_known_user_is_no_join', () => {
  const presence = room('alice', 'bob');
  assert.deepEqual(presence.digest({ online: 3, joined: ['bob'] }, 5_000),
    { joined: [], left: [] });
  assert.equal(presence.members.get('bob').connections, 2);
});

test('a_sample_never_differs', () => {
  const presence = new Presence();
  presence.snapshot([{ user: 'alice', connections: 1 }], { online: 900, partial: true, nowMs: 0 });
  assert.equal(presence.differs, false);
});

test('one_who_came_and_one_who_went_right_after_the_snapshot_put_it_in_doubt', () => {
  const presence = room('alice', 'bob');
  presence.digest({ online: 2, joined: ['bob'], left: ['carol'] }, 500); // it had that already
  assert.equal(presence.differs, true);
  assert.equal(presence.doubtful, true);
  const later = room('alice', 'bob');
  later.digest({ online: 2, joined: ['carol'], left: ['bob'] }, 4_500);
  assert.equal(later.doubtful, false);
});

test('our_own_coming_told_again_puts_nothing_in_doubt', () => {
  const presence = room('alice', 'bob');
  presence.digest({ online: 2, joined: ['bob'] }, 300);
  assert.equal(presence.doubtful, false);
});
