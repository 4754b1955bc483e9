// Subscribing and unsubscribing while all is well.

import { expect, test } from 'vitest';

import { interest } from '../../src/interest.js';
import { Talk } from './talk.js';

test('it connects when something is subscribed to and not before', () => {
  const talk = new Talk('forgetful');
  talk.seconds(3600);
  expect([talk.requests, talk.session.pollTimeout()]).toEqual([[], undefined]);
  const id = talk.subscribe('documents');
  expect(talk.url(0)).toBe('ws://host/v1/realtime?project=p&gaps=1');
  expect(talk.ready).toEqual([id]);
  talk.publish('documents');
  talk.publish('files');
  expect(talk.numbers(id)).toEqual([1]);
  expect(talk.states).toEqual([
    { type: 'connecting', failures: 0, transport: 'websocket' },
    { type: 'connected', user: undefined, transport: 'websocket' },
  ]);
});

test('many subscriptions share one connection and few messages', () => {
  const talk = new Talk('forgetful');
  const all = Array.from({ length: 1000 }, (_, number) => interest(`documents.${number}`));
  const ids = all.map((one) => talk.session.subscribe(one, talk.now));
  talk.settle();
  expect(talk.ready.length).toBe(1000);
  expect(talk.heard('subscribe')).toBeLessThanOrEqual(8);
  talk.publish('documents.999');
  expect([talk.numbers(ids[999] ?? '').length, talk.events.length, talk.requests.length]).toEqual([1, 1, 1]);
});

test('changes one after another stay below what a server takes in a minute', () => {
  const talk = new Talk('forgetful');
  for (let number = 0; number < 600; number += 1) {
    talk.subscribe(`documents.${number}`);
    talk.pass(100);
  }
  expect(talk.server.heard.length).toBeLessThanOrEqual(32);
  talk.seconds(5);
  expect(talk.ready.length).toBe(600);
});

test('an event for two subscriptions reaches each once', () => {
  const talk = new Talk('forgetful');
  const [one, other] = [talk.subscribe(['documents', 'files']), talk.subscribe('documents')];
  talk.publish('documents');
  expect([talk.numbers(one), talk.numbers(other)]).toEqual([[1], [1]]);
});

test('unsubscribing twice is told once and nothing more comes', () => {
  const talk = new Talk('forgetful');
  const [one, other] = [talk.subscribe('documents'), talk.subscribe('documents')];
  talk.unsubscribe(one);
  talk.unsubscribe(one);
  talk.publish('documents');
  expect(talk.heard('unsubscribe')).toBe(1);
  expect([talk.numbers(one), talk.numbers(other), talk.ended]).toEqual([[], [1], []]);
});

test('what is unsubscribed before it was told is never told', () => {
  const talk = new Talk('forgetful');
  talk.subscribe('files');
  talk.unsubscribe(talk.session.subscribe(interest('documents'), talk.now));
  expect([talk.heard('subscribe'), talk.heard('unsubscribe')]).toEqual([1, 0]);
});

test('a connection that nobody listens on ends after a while', () => {
  const talk = new Talk('forgetful');
  talk.unsubscribe(talk.subscribe('documents'));
  talk.seconds(4);
  expect(talk.link).toBe('up');
  talk.seconds(2);
  expect([talk.link, talk.session.pollTimeout()]).toEqual(['down', undefined]);
  talk.subscribe('documents');
  expect([talk.link, talk.requests.length]).toEqual(['up', 2]);
});

test('a new subscription in time keeps the connection', () => {
  const talk = new Talk('forgetful');
  talk.unsubscribe(talk.subscribe('documents'));
  talk.seconds(4);
  talk.subscribe('files');
  talk.seconds(3600);
  expect(talk.requests.length).toBe(1);
});

test('an update replaces what is listened to without a gap', () => {
  const talk = new Talk('resuming');
  const id = talk.subscribe('documents');
  talk.publish('documents');
  talk.session.update(id, interest('files'), talk.now);
  talk.settle();
  talk.publish('documents');
  talk.publish('files');
  expect(talk.numbers(id)).toEqual([1, 3]);
  expect([...talk.told('gap'), ...talk.told('recovered')]).toEqual([]);
});

test('one bad query among many subscriptions ends that one only', () => {
  const talk = new Talk('forgetful');
  const ids = Array.from({ length: 100 }, (_, number) =>
    talk.session.subscribe(interest('documents', number === 61 ? ['{"method":"nope"}'] : []), talk.now),
  );
  talk.settle();
  talk.seconds(120);
  expect(talk.ended).toMatchObject([{ subscription: ids[61], why: { kind: 'refused', code: 1003 } }]);
  expect(talk.ended[0]?.why.message).toContain('nope');
  expect([new Set(talk.ready).size, talk.requests.length]).toEqual([99, 1]);
});

test('too many messages are said again later', () => {
  const talk = new Talk('forgetful');
  talk.subscribe('files');
  talk.stalled = true;
  const id = talk.subscribe('documents');
  talk.stalled = false;
  talk.hear({ type: 'error', data: { code: 1013, message: 'Too many messages.' } });
  expect(talk.ready).not.toContain(id);
  talk.seconds(30);
  expect(talk.ready).toContain(id);
  expect([talk.ended.length, talk.requests.length]).toEqual([0, 1]);
});

test('closing ends all subscriptions and the connection', () => {
  const talk = new Talk('forgetful');
  const id = talk.subscribe('documents');
  talk.session.close(talk.now);
  talk.settle();
  expect([talk.link, talk.session.pollTimeout()]).toEqual(['down', undefined]);
  expect(talk.ended).toMatchObject([{ subscription: id, why: { kind: 'closed' } }]);
});
