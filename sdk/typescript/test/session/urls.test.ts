// Servers that take subscriptions in the URL only.

import { expect, test } from 'vitest';

import { interest } from '../../src/interest.js';
import { Talk } from './talk.js';

test.each(['urlOnly', 'urlMostly', 'ancient'] as const)(
  'a server without subscribe messages gets the channels in the url: %s',
  (kind) => {
    const talk = new Talk(kind);
    const id = talk.subscribe(['documents.x', 'files']);
    expect([talk.requests.length, talk.ready]).toEqual([2, [id]]);
    talk.publish('documents.x');
    talk.publish('teams');
    expect(talk.numbers(id)).toEqual([1]);
    talk.cut(1006);
    talk.seconds(5);
    talk.publish('files');
    expect([talk.numbers(id).length, talk.requests.length], "it remembers the server's ways").toEqual([2, 3]);
  },
);

test('each subscription has a slot and each of its channels all its queries', () => {
  const talk = new Talk('urlOnly', { inUrl: true });
  talk.session.subscribe(interest(['a.b', 'c'], ['q&1']), talk.now);
  // The first is on its way already.
  talk.subscribe('c');
  talk.pass(100);
  const everything = '%7B%22method%22%3A%22select%22%2C%22values%22%3A%5B%22%2A%22%5D%7D';
  expect(talk.url()).toBe(
    `ws://host/v1/realtime?project=p&gaps=1&channels[]=a.b&a_b[0][]=q%261&channels[]=c&c[0][]=q%261&c[1][]=${everything}`,
  );
});

test('changes close together share a new connection', () => {
  const talk = new Talk('urlOnly');
  const first = talk.subscribe('documents');
  const before = talk.requests.length;
  const others = Array.from({ length: 10 }, (_, number) => talk.subscribe(`files.${number}`));
  const last = others[9] ?? '';
  talk.seconds(1);
  expect(talk.requests.length).toBe(before + 1);
  talk.publish('documents');
  talk.publish('files.9');
  expect([talk.numbers(first).length, talk.numbers(last).length]).toEqual([1, 1]);
  talk.unsubscribe(last);
  talk.seconds(1);
  expect(talk.requests.length).toBe(before + 2);
  talk.publish('files.9');
  expect(talk.events.length).toBe(2);
});

test('changes one after another make a connection a second', () => {
  for (const [kind, adjust] of [
    ['urlOnly', {}],
    ['resuming', { transports: ['sse'] }],
  ] as const) {
    const talk = new Talk(kind, adjust);
    talk.subscribe('documents');
    const before = talk.requests.length;
    let last = '';
    for (let at = 0; at < 100; at += 1) {
      if (last) talk.unsubscribe(last);
      last = talk.subscribe(`files.${at}`);
      talk.pass(100);
    }
    expect(talk.requests.length - before).toBeLessThanOrEqual(11);
    talk.seconds(2);
    talk.publish('files.99');
    expect(talk.numbers(last).length).toBe(1);
  }
});

test('what changes during a handshake is in the next url', () => {
  const talk = new Talk('urlOnly', { inUrl: true });
  talk.stalled = true;
  talk.subscribe('documents');
  const late = talk.subscribe('files');
  talk.stalled = false;
  talk.session.failed('try again', 0, talk.now);
  talk.link = 'down';
  talk.seconds(5);
  talk.publish('files');
  expect(talk.numbers(late).length).toBe(1);
});

test('a bad query is no reason to speak another dialect', () => {
  const talk = new Talk('forgetful');
  talk.subscribe('documents', ['nope']);
  expect([talk.requests.length, talk.ended.length]).toEqual([1, 1]);
});
