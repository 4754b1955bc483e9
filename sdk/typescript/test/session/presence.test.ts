// Letting others know that one is here.

import { expect, test } from 'vitest';

import { Credential } from '../../src/credential.js';
import type { Presence } from '../../src/presence.js';
import type { Kind } from './server.js';
import { Talk } from './talk.js';

const online: Presence = { status: 'online', metadata: { page: '/' }, permissions: ['read("any")'] };

function alice(kind: Kind = 'forgetful'): Talk {
  const talk = new Talk(kind);
  talk.session.authenticate(Credential.session('token'), undefined, talk.now);
  return talk;
}

function present(talk: Talk, presence: Presence | undefined): void {
  talk.session.present(presence, talk.now);
  talk.settle();
}

const kinds = (talk: Talk) => talk.server.heard.map(({ type }) => type);

test('a presence is said once it is known who is present and what is listened to', () => {
  const talk = alice();
  present(talk, online);
  talk.subscribe('presences');
  expect(kinds(talk)).toEqual(['authentication', 'presence', 'subscribe']);
  expect(talk.server.heard[1].data).toEqual(online);
  expect(talk.told('present')).toEqual([{ type: 'present', presence: { $id: 'p', ...online } }]);
  present(talk, { status: 'away' });
  expect(talk.server.presence).toEqual({ status: 'away' });
  expect(talk.requests.length).toBe(1);
});

test('it keeps a connection by itself, and is said again on each', () => {
  const talk = alice();
  present(talk, online);
  talk.seconds(600);
  talk.cut(1012);
  talk.seconds(30);
  expect(talk.server.presence).toEqual(online);
  expect([talk.told('present').length, talk.requests.length]).toEqual([2, 2]);
});

test('it is taken back by ending the connection that said it, and only that one', () => {
  const talk = alice('resuming');
  present(talk, online);
  const id = talk.subscribe('documents');
  present(talk, undefined);
  talk.publish('documents');
  expect([talk.server.presence, talk.requests.length, talk.numbers(id)]).toEqual([undefined, 2, [1]]);
  expect(talk.told('gap')).toEqual([]);
  present(talk, undefined);
  expect(talk.requests.length).toBe(2);
  present(talk, online);
  talk.unsubscribe(id);
  present(talk, undefined);
  talk.seconds(1);
  expect([talk.link, talk.requests.length]).toEqual(['down', 2]);
});

test('a user who comes later is present then', () => {
  const talk = new Talk('forgetful');
  talk.subscribe('presences');
  present(talk, online);
  expect(talk.told('error')).toMatchObject([{ error: { kind: 'refused', code: 401 } }]);
  talk.session.authenticate(Credential.session('token'), undefined, talk.now);
  talk.settle();
  expect(talk.server.presence).toEqual(online);
});

test('what the server does not like of it is told, and nothing else ends', () => {
  for (const kind of ['forgetful', 'urlOnly', 'urlMostly', 'ancient'] as const) {
    const talk = alice(kind);
    const id = talk.subscribe('documents');
    talk.seconds(1);
    present(talk, { status: '' });
    talk.publish('documents');
    expect(talk.told('error').at(-1), kind).toMatchObject({ error: { kind: 'refused', code: 1003 } });
    expect([talk.numbers(id), talk.ended, talk.link], kind).toEqual([[1], [], 'up']);
  }
});

test('server-sent events carry none, which is told', () => {
  const talk = new Talk('resuming', { transports: ['sse'] });
  talk.subscribe('documents');
  present(talk, online);
  expect(talk.told('error')).toMatchObject([{ error: { kind: 'transport' } }]);
  expect(talk.server.heard).toEqual([]);
});

test('a server in trouble is told of it again later', () => {
  const talk = alice();
  talk.subscribe('documents');
  talk.stalled = true;
  talk.session.present(online, talk.now);
  talk.carryOut();
  talk.stalled = false;
  talk.hear({ type: 'error', data: { code: 503, message: 'The directory cannot answer' } });
  expect(talk.server.presence).toBeUndefined();
  talk.seconds(60);
  expect(talk.server.presence).toEqual(online);
});

test('what no message can say is refused at once, and what is final ends it', () => {
  const talk = alice();
  const circle: Record<string, unknown> = {};
  circle.circle = circle;
  for (const metadata of [circle, 'x'.repeat(30_000), 1n]) {
    expect(() => present(talk, { status: 'online', metadata })).toThrow(/presence/);
  }
  expect(talk.requests).toEqual([]);
  present(talk, online);
  talk.cut(1008);
  expect(() => present(talk, online)).toThrow(/refuses/);
  expect(talk.session.isWanted).toBe(false);
});

test('a presence alone ends nothing where channels are wanted in the URL', () => {
  for (const kind of ['urlOnly', 'ancient'] as const) {
    const talk = alice(kind);
    present(talk, online);
    talk.seconds(600);
    expect(talk.session.stopped, kind).toBeUndefined();
    const id = talk.subscribe('documents');
    talk.seconds(10);
    talk.publish('documents');
    expect(talk.numbers(id), kind).toEqual([1]);
  }
});

test('a presence alone ends nothing where who is there may be said only after subscribing', () => {
  const talk = alice();
  talk.server.forgetsProject = true;
  present(talk, online);
  talk.seconds(60);
  expect(talk.session.stopped).toBeUndefined();
  const id = talk.subscribe('documents');
  talk.seconds(10);
  talk.publish('documents');
  expect(talk.numbers(id)).toEqual([1]);
});
