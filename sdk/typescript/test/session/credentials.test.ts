// Saying who one is, and again before that ends.

import { expect, test } from 'vitest';

import { Credential } from '../../src/credential.js';
import { Talk } from './talk.js';

const jwt = (name: string) => Credential.jwt(name);
const minutes = (count: number) => 60_000 * count;
const providesCredentials = true;
const kinds = (talk: Talk) => talk.server.heard.map(({ type }) => type);

function authenticate(talk: Talk, credential: Credential | undefined, lasts?: number): void {
  talk.session.authenticate(credential, lasts, talk.now);
  talk.settle();
}

test('a credential is shown in a message before subscribing and never in the url', () => {
  for (const credential of [jwt('secret'), Credential.session('secret')]) {
    const talk = new Talk('forgetful');
    authenticate(talk, credential);
    const id = talk.subscribe('account');
    expect(kinds(talk)).toEqual(['authentication', 'subscribe']);
    expect(talk.server.heard[0].data).toEqual({ [credential.kind]: 'secret' });
    expect(JSON.stringify([talk.requests, talk.states])).not.toContain('secret');
    expect(talk.told('authenticated')).toEqual([{ type: 'authenticated', user: 'alice' }]);
    expect(talk.ready).toEqual([id]);
  }
});

test('a new credential is shown in a message without a new connection', () => {
  const talk = new Talk('forgetful');
  talk.subscribe('account');
  authenticate(talk, jwt('a.b.c'));
  expect(talk.server.heard.at(-1).data.jwt).toBe('a.b.c');
  expect(talk.requests.length).toBe(1);
});

test('becoming a guest takes a new connection', () => {
  const talk = new Talk('forgetful');
  authenticate(talk, jwt('secret'));
  talk.subscribe('account');
  authenticate(talk, undefined);
  expect(talk.requests.length).toBe(2);
  expect(kinds(talk)).toEqual(['authentication', 'subscribe', 'subscribe']);
});

test('a server that takes no JWT in a message gets it in the url', () => {
  const talk = new Talk('forgetful');
  talk.server.sessionsOnly = true;
  authenticate(talk, jwt('a.b.c'));
  const id = talk.subscribe('account');
  expect(talk.requests.map(({ request }) => request.url.includes('jwt=a.b.c'))).toEqual([false, true]);
  expect([kinds(talk), talk.ready]).toEqual([['authentication', 'subscribe'], [id]]);
  authenticate(talk, jwt('d.e.f'));
  expect(talk.url()).toContain('jwt=d.e.f');
  expect(talk.told('error')).toEqual([]);
});

test('a server that forgets whom it authenticates too early is told of a subscription first', () => {
  const talk = new Talk('forgetful');
  talk.server.forgetsProject = true;
  authenticate(talk, Credential.session('token'));
  const id = talk.subscribe('account');
  expect(kinds(talk)).toEqual(['authentication', 'subscribe', 'subscribe', 'authentication']);
  expect([talk.ready, talk.ended, talk.requests.length]).toEqual([[id], [], 2]);
  talk.cut(1006);
  talk.seconds(5);
  expect(kinds(talk).slice(4)).toEqual(['subscribe', 'authentication']);
});

test('a provider is asked before the first connection and before a token ends', () => {
  const talk = new Talk('forgetful', { providesCredentials });
  talk.subscribe('account');
  expect([talk.provided, talk.requests.length]).toEqual([1, 0]);
  authenticate(talk, jwt('first'), minutes(15));
  expect(talk.requests.length).toBe(1);
  talk.seconds(13 * 60);
  expect(talk.provided).toBe(1);
  talk.seconds(61);
  expect(talk.provided).toBe(2);
  authenticate(talk, jwt('second'), minutes(15));
  expect(talk.server.heard.at(-1).data.jwt).toBe('second');
  expect(talk.requests.length).toBe(1);
});

test('after 3000 a fresh token is provided before connecting again', () => {
  const talk = new Talk('resuming', { providesCredentials });
  const id = talk.subscribe('account');
  authenticate(talk, jwt('first'));
  talk.cut(3000);
  talk.seconds(2);
  expect([talk.provided, talk.requests.length]).toEqual([2, 1]);
  talk.publish('account');
  authenticate(talk, jwt('second'));
  expect(talk.server.heard.findLast(({ type }) => type === 'authentication').data.jwt).toBe('second');
  expect(talk.numbers(id)).toEqual([1]);
});

test('without a provider 3000 is the end until there is a new credential', () => {
  const talk = new Talk('forgetful');
  authenticate(talk, jwt('first'));
  talk.subscribe('account');
  talk.cut(3000);
  talk.seconds(3600);
  expect([talk.requests.length, talk.ended.length]).toEqual([1, 1]);
  expect(talk.told('disconnected')).toMatchObject([{ advice: 'reauthenticate', againIn: undefined }]);
  authenticate(talk, jwt('second'));
  talk.subscribe('account');
  expect([talk.link, talk.requests.length]).toEqual(['up', 2]);
});

test('a provider whose tokens are never accepted is not hammered', () => {
  const talk = new Talk('forgetful', { providesCredentials });
  talk.subscribe('account');
  let answered = 0;
  while (talk.now < 3_600_000) {
    for (; answered < talk.provided; answered += 1) authenticate(talk, jwt('bad'), 0);
    if (talk.link === 'up') talk.cut(3000);
    talk.seconds(1);
  }
  expect(talk.provided).toBeGreaterThan(50);
  expect(talk.provided).toBeLessThan(600);
});

test('a provider that fails or never answers is asked again', () => {
  const talk = new Talk('forgetful', { providesCredentials });
  talk.subscribe('account');
  talk.session.notProvided('the backend is down', talk.now);
  talk.settle();
  expect(talk.told('error')).toMatchObject([{ error: { kind: 'provider' } }]);
  talk.seconds(60);
  expect(talk.provided).toBeGreaterThanOrEqual(2);
  expect(talk.provided).toBeLessThan(20);
  authenticate(talk, jwt('at-last'));
  talk.seconds(60);
  expect(talk.link).toBe('up');
});

test('a provider that fails while connected costs nothing but a word', () => {
  const talk = new Talk('forgetful', { providesCredentials });
  talk.subscribe('account');
  authenticate(talk, jwt('first'), minutes(10));
  talk.seconds(9 * 60 + 1);
  talk.session.notProvided('not now', talk.now);
  talk.seconds(6);
  expect([talk.provided, talk.link, talk.requests.length]).toEqual([3, 'up', 1]);
});

test('a provider is asked again after a refusal in a message, and not hammered', () => {
  const talk = new Talk('forgetful', { providesCredentials });
  talk.subscribe('documents');
  authenticate(talk, jwt('good'));
  const refuse = () => {
    talk.stalled = true;
    authenticate(talk, jwt('bad'));
    talk.stalled = false;
    talk.hear({ type: 'error', data: { code: 401, message: 'Failed to verify JWT.' } });
  };
  refuse();
  expect(talk.provided).toBe(1);
  talk.seconds(6);
  expect(talk.provided).toBe(2);
  for (let answered = 2; talk.now < 3_600_000; talk.seconds(1)) {
    for (; answered < talk.provided; answered += 1) refuse();
  }
  expect(talk.provided).toBeGreaterThan(20);
  expect(talk.provided).toBeLessThan(120);
  authenticate(talk, jwt('good'));
  talk.seconds(3600);
  refuse();
  talk.seconds(6);
  expect([talk.link, talk.requests.length]).toEqual(['up', 1]);
});

test('a guest stays one although there is a provider, until a credential or a provider is given', () => {
  const talk = new Talk('forgetful', { providesCredentials });
  talk.subscribe('documents');
  authenticate(talk, jwt('good'), minutes(15));
  authenticate(talk, undefined);
  talk.seconds(3600);
  talk.cut(1006);
  talk.seconds(3600);
  expect([talk.provided, talk.link, talk.requests.length]).toEqual([1, 'up', 3]);
  talk.session.providesCredentials(talk.now);
  talk.settle();
  expect(talk.provided).toBe(2);
});

test('a message that proves nothing is told and changes nothing', () => {
  const talk = new Talk('forgetful');
  const id = talk.subscribe('documents');
  talk.stalled = true;
  authenticate(talk, jwt('bad'));
  talk.stalled = false;
  talk.hear({ type: 'error', data: { code: 401, message: 'Failed to verify JWT.' } });
  expect(talk.told('error')).toMatchObject([{ error: { kind: 'unauthenticated', code: 401 } }]);
  talk.publish('documents');
  expect([talk.numbers(id).length, talk.requests.length]).toEqual([1, 1]);
});
