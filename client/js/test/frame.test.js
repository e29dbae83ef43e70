// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFrame } from '../frame.js';
import { settle, world } from './fakes.js';

const MALFORMED = [
  ['not JSON', '{"type":'],
  ['empty', ''],
  ['a number', '1'],
  ['null', 'null'],
  ['an array', '[{"type":"ping"}]'],
  ['no type', '{"data":{}}'],
  ['type is a number', '{"type":1}'],
  ['data is a list', '{"type":"chat","data":[]}'],
  ['data is text', '{"type":"ping","data":"x"}'],
  ['chat without text', '{"type":"chat","data":{"room":"r","from":"a"}}'],
  ['text is an object', '{"type":"chat","data":{"room":"r","from":"a","text":{"toString":1}}}'],
  ['from is a list', '{"type":"chat","data":{"room":"r","from":["a"],"text":"t"}}'],
  ['offset is text', '{"type":"chat","offset":"1","data":{"room":"r","from":"a","text":"t"}}'],
  ['offset is negative', '{"type":"chat","offset":-1,"data":{"room":"r","from":"a","text":"t"}}'],
  ['offset is a fraction',
    '{"type":"chat","offset":1.5,"data":{"room":"r","from":"a","text":"t"}}'],
  ['offset is beyond 2^53',
    '{"type":"chat","offset":9007199254740993,"data":{"room":"r","from":"a","text":"t"}}'],
  ['meta is text', '{"type":"chat","data":{"room":"r","from":"a","text":"t","meta":"m"}}'],
  ['online is text', '{"type":"presence","data":{"room":"r","online":"12"}}'],
  ['joined is an object', '{"type":"presence","data":{"room":"r","online":1,"joined":{"0":"a"}}}'],
  ['joined holds a number', '{"type":"presence","data":{"room":"r","online":1,"joined":[1]}}'],
  ['members hold text', '{"type":"presence","data":{"room":"r","online":1,"members":["a"]}}'],
  ['heartbeat is zero',
    '{"type":"welcome","data":{"room":"r","user":"a","online":1,"heartbeat":0}}'],
  ['retry_after is text', '{"type":"error","data":{"code":"x","retry_after":"soon"}}'],
  ['id is an object', '{"type":"ack","id":{}}'],
];

for (const [name, raw] of MALFORMED) {
  test(`a_frame_is_refused_when_${name}`.replaceAll(' ', '_'), () => {
    const { event, problem } = readFrame(raw);
    assert.equal(event, undefined);
    assert.equal(typeof problem, 'string');
  });
}

test('malformed_frames_are_reported_and_break_nothing', async () => {
  const w = world();
  const room = await w.inRoom();
  const seen = [];
  room.on('message', (message) => seen.push(message.text));
  const before = w.events('error').length;
  MALFORMED.forEach(([, raw]) => w.socket.say(raw));
  w.socket.onmessage({ data: new Uint8Array([1, 2]).buffer });
  assert.equal(w.events('error').length, before + MALFORMED.length + 1);
  assert.ok(w.events('error').slice(before).every(({ code }) => code === 'bad_frame'));
  w.socket.say({ type: 'chat', offset: 1, data: { room: 'general', from: 'bob', text: 'hi' } });
  assert.deepEqual(seen, ['hi']);
  assert.equal(w.client.state, 'open');
});

test('unknown_types_and_rooms_are_ignored', async () => {
  const w = world();
  await w.inRoom();
  for (const type of ['future', '__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    w.socket.say({ type, data: { room: 'general' } });
  }
  w.socket.say({ type: 'chat', data: { room: 'elsewhere', from: 'bob', text: 'hi' } });
  w.socket.say({ type: 'chat', data: { room: '__proto__', from: 'bob', text: 'hi' } });
  assert.deepEqual(w.events('error'), []);
});

test('proto_is_taken_out_however_it_is_written', () => {
  for (const name of ['__proto__', '\\u005f_proto__']) {
    const raw = `{"type":"chat","data":{"room":"r","from":"a","text":"t",
      "meta":{"${name}":{"polluted":1},"ok":{"${name}":{"polluted":1}}}}}`;
    const { event } = readFrame(raw);
    const merged = Object.assign({}, event.data.meta, event.data.meta.ok);
    assert.equal(merged.polluted, undefined);
    assert.deepEqual(Object.keys(event.data.meta), ['ok']);
  }
  assert.equal({}.polluted, undefined);
});

test('names_like_proto_are_ordinary_users', async () => {
  const w = world();
  const room = await w.inRoom();
  w.socket.people('general', [['__proto__', 2], ['constructor', 1]]);
  await settle();
  assert.equal(room.members.get('__proto__').connections, 2);
  assert.equal(room.members.size, 2);
});

test('what_the_table_does_not_name_is_left_out', () => {
  const { event } = readFrame('{"type":"pong","id":3,"data":{"extra":1},"more":2}');
  assert.deepEqual(event, { type: 'pong', id: 3, offset: undefined, data: {} });
});
