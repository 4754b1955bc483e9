// A server, a network or a clock that misbehaves.

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { GOODBYE, RETURNS } from '../../src/close.js';
import { Credential } from '../../src/credential.js';
import { interest } from '../../src/interest.js';
import { KINDS } from './server.js';
import { Talk } from './talk.js';

const transports = ['websocket', 'sse'] as const;

test('html in place of an upgrade is tried again more and more slowly', () => {
  const talk = new Talk('forgetful');
  talk.unreachable = 'the answer is 200 with text/html: <html>…';
  const id = talk.subscribe('documents');
  talk.seconds(3600);
  expect(talk.requests.length).toBeGreaterThan(100);
  expect(talk.requests.length).toBeLessThan(600);
  expect(talk.told('disconnected').some(({ reason }) => reason.includes('<html>'))).toBe(true);
  talk.unreachable = undefined;
  talk.seconds(60);
  talk.publish('documents');
  expect(talk.numbers(id)).toEqual([1]);
});

test('a server that asks to be left alone is', () => {
  const talk = new Talk('forgetful');
  talk.stalled = true;
  talk.subscribe('documents');
  talk.link = 'down';
  talk.session.failed('503 Service Unavailable', 300_000, talk.now);
  talk.settle();
  talk.seconds(299);
  expect(talk.requests.length).toBe(1);
  talk.seconds(60);
  expect(talk.requests.length).toBeGreaterThan(1);
});

test('a server that asks to be left alone for ever is for an hour', () => {
  for (const after of [Number.POSITIVE_INFINITY, 1e15]) {
    const talk = new Talk('forgetful');
    talk.stalled = true;
    talk.subscribe('documents');
    talk.link = 'down';
    talk.session.failed('503 Service Unavailable', after, talk.now);
    talk.settle();
    talk.seconds(3599);
    expect(talk.requests.length).toBe(1);
    talk.seconds(60);
    expect(talk.requests.length).toBeGreaterThan(1);
  }
});

test('a server that connects and closes at once is not hammered', () => {
  const talk = new Talk('forgetful');
  talk.subscribe('documents');
  while (talk.now < 3_600_000) {
    if (talk.link === 'up') talk.cut(1011);
    talk.pass(500);
  }
  expect(talk.requests.length).toBeLessThan(600);
});

test('a long conversation makes the next pause a short one', () => {
  const talk = new Talk('forgetful');
  talk.unreachable = 'refused';
  talk.subscribe('documents');
  talk.seconds(600);
  talk.unreachable = undefined;
  talk.seconds(120);
  talk.cut(1006);
  expect(talk.told('disconnected').at(-1)?.againIn).toBeLessThanOrEqual(500);
});

test('a handshake that never ends is given up', () => {
  const talk = new Talk('forgetful');
  talk.stalled = true;
  talk.subscribe('documents');
  talk.seconds(14);
  expect(talk.link).toBe('dialling');
  talk.pass(1_001);
  expect(talk.link === 'down' || talk.requests.length === 2).toBe(true);
});

test('a server that says nothing after the handshake is given up', () => {
  const talk = new Talk('forgetful');
  talk.stalled = true;
  talk.subscribe('documents');
  talk.session.opened(talk.now);
  talk.link = 'up';
  talk.seconds(16);
  expect(talk.told('disconnected').length).toBeGreaterThan(0);
});

test('a server that never answers a subscription is given up though it answers pings', () => {
  const talk = new Talk('forgetful');
  talk.subscribe('documents');
  talk.stalled = true;
  talk.subscribe('files');
  for (let second = 0; second < 20; second += 1) {
    talk.session.received('{"type":"pong"}', talk.now);
    talk.seconds(1);
  }
  expect(talk.told('disconnected').length).toBeGreaterThan(0);
});

test('a ping goes out every 20 seconds and silence ends the connection', () => {
  const talk = new Talk('forgetful');
  talk.subscribe('documents');
  talk.seconds(600);
  expect(talk.heard('ping')).toBeGreaterThanOrEqual(29);
  expect(talk.heard('ping')).toBeLessThanOrEqual(31);
  expect(talk.requests.length).toBe(1);
  talk.stalled = true;
  talk.seconds(36);
  expect(talk.told('disconnected')[0]?.reason).toContain('silent');
});

test('a goodbye is said for good only', () => {
  const talk = new Talk('resuming');
  talk.session.authenticate(Credential.jwt('a'), undefined, talk.now);
  talk.subscribe('documents');
  talk.stalled = true;
  talk.seconds(36);
  expect(talk.leftWith, 'the server may be there, and wait for the next connection').toEqual([RETURNS]);
  talk.stalled = false;
  talk.seconds(60);
  talk.leftWith = [];
  talk.session.authenticate(undefined, undefined, talk.now);
  talk.settle();
  expect(talk.leftWith, 'a guest comes on another connection').toEqual([RETURNS]);
  talk.session.close(talk.now);
  talk.settle();
  expect(talk.leftWith).toEqual([RETURNS, GOODBYE]);

  const idle = new Talk('resuming');
  idle.unsubscribe(idle.subscribe('documents'));
  idle.seconds(60);
  expect(idle.leftWith, 'nothing is listened to').toEqual([GOODBYE]);
});

test('any sign of life counts in place of a pong', () => {
  const talk = new Talk('forgetful');
  talk.subscribe('documents');
  talk.stalled = true;
  for (let second = 0; second < 600; second += 1) {
    if (second % 3 === 0) talk.session.heard(talk.now);
    if (second % 3 === 1) talk.session.received('what?', talk.now);
    talk.seconds(1);
  }
  expect(talk.requests.length).toBe(1);
});

test('garbage is told and ignored', () => {
  const talk = new Talk('forgetful');
  const id = talk.subscribe('documents');
  const deep = `{"type":"event","data":{"payload":${'['.repeat(200_000)}${']'.repeat(200_000)}}}`;
  const large = `{"type":"event","data":{"payload":"${'x'.repeat(5_000_000)}"}}`;
  for (const garbage of [
    '',
    '\0',
    '<html></html>',
    '[1]',
    'null',
    '{"type":"event","data":[]}',
    deep,
    large,
  ]) {
    talk.hear(garbage);
  }
  const told = talk.told('error');
  expect(told.length).toBeGreaterThanOrEqual(5);
  for (const { error } of told) {
    expect(error.kind).toBe('unreadable');
    expect(error.message.length).toBeLessThan(320);
  }
  talk.publish('documents');
  expect(talk.numbers(id)).toEqual([1]);
  expect(talk.requests.length).toBe(1);
});

test('messages out of order do no harm', () => {
  const talk = new Talk('forgetful');
  talk.stalled = true;
  const id = talk.subscribe('documents');
  const event = { type: 'event', data: { payload: {}, subscriptions: [id] } };
  const response = { type: 'response', data: { to: 'subscribe', success: true, subscriptions: [] } };
  const error = { type: 'error', data: { code: 1003, message: '?' } };
  const connected = { type: 'connected', data: { user: null } };
  for (const early of [event, response, error, { type: 'pong' }, connected]) talk.hear(early);
  talk.session.opened(talk.now);
  talk.session.opened(talk.now);
  talk.link = 'up';
  for (const early of [event, response, error, { type: 'pong' }]) talk.hear(early);
  expect([talk.events, talk.ready]).toEqual([[], []]);
  talk.hear(connected);
  talk.hear(connected);
  talk.hear(event);
  expect([talk.events.length, talk.ready.length], 'an event may overtake the answer').toEqual([1, 0]);
  for (const late of [response, response, error]) talk.hear(late);
  expect([talk.ready.length, talk.ended.length]).toEqual([1, 0]);
});

test('an event for somebody else is for nobody', () => {
  const talk = new Talk('forgetful');
  talk.subscribe('documents');
  talk.hear({
    type: 'event',
    data: { payload: {}, subscriptions: ['other', '00-1'], channels: ['documents'] },
  });
  expect(talk.events).toEqual([]);
});

test.each([false, true])(
  'after an hour of sleep it looks whether the server is there and goes on (dead: %s)',
  (dead) => {
    const talk = new Talk('resuming');
    const id = talk.subscribe('documents');
    talk.stalled = dead;
    talk.jump(3_600_000);
    talk.seconds(20);
    talk.stalled = false;
    talk.seconds(120);
    talk.publish('documents');
    expect(talk.numbers(id).length).toBe(1);
    expect(talk.requests.length > 1, 'a living connection is kept').toBe(dead);
  },
);

test('a clock that goes back stands still instead', () => {
  const talk = new Talk('forgetful');
  talk.now = 10_000;
  const id = talk.subscribe('documents');
  talk.session.handleTimeout(9_000);
  talk.session.received('{}', 8_000);
  talk.session.closed({ code: 1006, reason: '' }, -1);
  talk.link = 'down';
  talk.settle();
  talk.seconds(5);
  talk.publish('documents');
  expect(talk.numbers(id)).toEqual([1]);
});

test('hurrying connects at once and asks a quiet server for a sign', () => {
  const talk = new Talk('forgetful');
  talk.unreachable = 'no network';
  talk.subscribe('documents');
  talk.seconds(300);
  talk.unreachable = undefined;
  const before = talk.requests.length;
  talk.session.hurry(talk.now);
  talk.pass(0);
  expect([talk.requests.length, talk.link]).toEqual([before + 1, 'up']);
  talk.session.hurry(talk.now);
  talk.pass(0);
  expect(talk.heard('ping')).toBe(1);
});

test('where WebSockets are blocked, server-sent events do, and go on after a drop', () => {
  const talk = new Talk('resuming', { transports });
  talk.blocked = true;
  const id = talk.subscribe('documents');
  talk.seconds(10);
  expect(talk.told('connected')).toMatchObject([{ transport: 'sse' }]);
  expect(talk.url()).toBe(
    'http://host/v1/realtime?project=p&gaps=1&channels[]=documents&documents[0][]=%7B%22method%22%3A%22select%22%2C%22values%22%3A%5B%22%2A%22%5D%7D',
  );
  talk.publish('documents');
  talk.cut(1006);
  talk.publish('documents');
  talk.seconds(10);
  talk.publish('documents');
  expect(talk.url()).toContain('&since=1');
  expect(talk.numbers(id)).toEqual([1, 2, 3]);
  expect([talk.told('recovered').length, talk.told('gap').length]).toEqual([1, 0]);
  expect(talk.server.heard, 'nothing can be said there').toEqual([]);
});

test('where WebSockets were blocked they are tried again after some minutes, and not before', () => {
  const talk = new Talk('resuming', { transports });
  talk.blocked = true;
  const id = talk.subscribe('documents');
  talk.seconds(10);
  const tried = () => talk.requests.map(({ request }) => request.transport);
  const drop = () => {
    talk.publish('documents');
    talk.cut(1006);
    talk.publish('documents');
    talk.seconds(40);
  };
  const minutes = () => {
    for (let beat = 0; beat < 30; beat += 1) {
      talk.seconds(10);
      talk.session.heard(talk.now);
    }
  };
  drop();
  expect(tried()).toEqual(['websocket', 'websocket', 'sse', 'sse']);
  minutes();
  drop();
  expect(tried().slice(4), 'still blocked: one attempt, and back').toEqual(['websocket', 'sse']);
  drop();
  expect(tried().slice(6)).toEqual(['sse']);
  talk.blocked = false;
  minutes();
  drop();
  expect(tried().slice(7)).toEqual(['websocket']);
  drop();
  expect(tried().slice(8), 'it stays with what works').toEqual(['websocket']);
  expect(talk.numbers(id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(talk.told('gap')).toEqual([]);
});

test('server-sent events are told of changes and of another user by a new connection', () => {
  const talk = new Talk('resuming', { transports: ['sse'] });
  const first = talk.subscribe('documents');
  const other = talk.subscribe('files');
  talk.seconds(1);
  talk.publish('documents');
  talk.publish('files');
  expect([talk.numbers(first), talk.numbers(other), talk.requests.length]).toEqual([[1], [2], 2]);
  talk.session.authenticate(Credential.jwt('a.b.c'), undefined, talk.now);
  talk.settle();
  expect(talk.requests.at(-1)?.request.credential?.token()).toBe('a.b.c');
  expect(talk.url()).not.toContain('a.b.c');
  talk.session.authenticate(Credential.session('secret'), undefined, talk.now);
  talk.settle();
  expect(talk.requests.at(-1)?.request.credential?.token()).toBe('secret');
  expect(talk.url()).not.toContain('secret');
});

test('a session that server-sent events could not show is told of, once', () => {
  const talk = new Talk('resuming', { transports: ['sse'] });
  talk.session.authenticate(Credential.session('secret'), undefined, talk.now);
  talk.subscribe('documents');
  talk.subscribe('files');
  talk.seconds(2);
  expect(talk.requests.length).toBe(2);
  expect(talk.told('error')).toMatchObject([{ error: { kind: 'unauthenticated' } }]);
  talk.server.user = { $id: 'alice' };
  talk.session.authenticate(Credential.session('other'), undefined, talk.now);
  talk.seconds(2);
  expect(talk.told('error').length).toBe(1);
});

test('what passed while nobody listened is not sent to who listens next', () => {
  const talk = new Talk('resuming', { transports: ['sse'] });
  const first = talk.subscribe('documents');
  talk.publish('documents');
  talk.unsubscribe(first);
  talk.seconds(10);
  talk.server.publish('documents');
  const next = talk.subscribe('documents');
  talk.publish('documents');
  expect(talk.numbers(next)).toEqual([3]);
});

test('who stops listening during an outage is told that there is no connection any more', () => {
  for (const providesCredentials of [false, true]) {
    const talk = new Talk('forgetful', { providesCredentials });
    if (providesCredentials) talk.session.authenticate(Credential.jwt('a'), undefined, talk.now);
    const id = talk.subscribe('documents');
    talk.cut(providesCredentials ? 3000 : 1006);
    if (providesCredentials) talk.seconds(1);
    talk.unsubscribe(id);
    expect(talk.told('disconnected').at(-1)).toMatchObject({ code: 1000, againIn: undefined });
  }
  const talk = new Talk('urlMostly');
  talk.stalled = true;
  const id = talk.subscribe('documents');
  talk.link = 'up';
  talk.session.opened(talk.now);
  talk.hear({ type: 'connected', data: {} });
  talk.unsubscribe(id);
  talk.hear({ type: 'error', data: { code: 1003, message: 'Message type is not valid.' } });
  expect([talk.link, talk.states.at(-1)?.type]).toEqual(['down', 'disconnected']);
});

test('a WebSocket that has worked is not given up for another way', () => {
  const talk = new Talk('resuming', { transports });
  talk.subscribe('documents');
  talk.unreachable = 'the server is away';
  talk.cut(1006);
  talk.seconds(600);
  expect(new Set(talk.requests.map(({ request }) => request.transport))).toEqual(new Set(['websocket']));
});

test('a server that cannot be reached in any way is tried in both', () => {
  const talk = new Talk('resuming', { transports });
  talk.unreachable = 'the server is away';
  const id = talk.subscribe('documents');
  talk.seconds(600);
  const tried = talk.requests.map(({ request }) => request.transport);
  expect(tried.slice(0, 6)).toEqual(['websocket', 'websocket', 'sse', 'websocket', 'sse', 'websocket']);
  talk.unreachable = undefined;
  talk.seconds(60);
  talk.publish('documents');
  expect(talk.numbers(id)).toEqual([1]);
});

test('an event stream without heartbeats is given up', () => {
  const talk = new Talk('resuming', { transports: ['sse'] });
  talk.subscribe('documents');
  for (let beat = 0; beat < 40; beat += 1) {
    talk.session.heard(talk.now);
    talk.seconds(25);
  }
  expect(talk.requests.length).toBe(1);
  talk.stalled = true;
  talk.seconds(120);
  expect(talk.told('disconnected')[0]?.reason).toContain('silent');
});

/** Anything that may happen to a session. */
const number = fc.nat(11);
const said = fc.oneof(
  fc.string(),
  fc.json(),
  fc.constantFrom(
    '{"type":"connected","data":{"subscriptions":{"0":"x","9":"y"}}}',
    '{"type":"response","data":{"to":"subscribe","subscriptions":[null]}}',
    '{"type":"response","data":{"to":"authentication"}}',
    '{"type":"response","data":{"to":"unsubscribe"}}',
    '{"type":"event","data":{"payload":null,"channels":["c1"]}}',
  ),
  fc
    .record({
      code: fc.constantFrom(0, 401, 403, 500, 1003, 1013),
      message: fc.constantFrom('x', 'Message type is not valid.'),
    })
    .map((data) => JSON.stringify({ type: 'error', data })),
);
const happening = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(fc.constant('subscribe' as const), number) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('unsubscribe' as const), number) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('update' as const), number) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('authenticate' as const), number) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('present' as const), number) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom('notProvided' as const, 'hurry' as const, 'close' as const), number),
  },
  { weight: 3, arbitrary: fc.tuple(fc.constant('publish' as const), number) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('say' as const), said) },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constant('cut' as const),
      fc.constantFrom(0, 1000, 1005, 1006, 1008, 1011, 1012, 1013, 3000, 3003),
    ),
  },
  { weight: 4, arbitrary: fc.tuple(fc.constant('pass' as const), fc.nat(40_000)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('jump' as const), fc.nat(9_000_000)) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom('stall' as const, 'reach' as const, 'block' as const), number),
  },
);

function happen(talk: Talk, ids: string[], [what, how]: [string, string | number]): void {
  const { session, now } = talk;
  const id = ids[Number(how)] ?? '';
  switch (what) {
    case 'subscribe':
      if (!session.stopped) ids.push(session.subscribe(interest([`c${how}`, `c${Number(how) >> 1}`]), now));
      break;
    case 'unsubscribe':
      session.unsubscribe(id, now);
      break;
    case 'update':
      session.update(id, interest(`c${how}`), now);
      break;
    case 'authenticate': {
      const some = [Credential.jwt('a.b.c'), Credential.session('t'), undefined][Number(how) % 3];
      session.authenticate(some, 30_000, now);
      break;
    }
    case 'present':
      if (!session.stopped) session.present(Number(how) % 3 ? { status: `s${how}` } : undefined, now);
      break;
    case 'notProvided':
      session.notProvided('no', now);
      break;
    case 'publish':
      talk.server.publish(`c${how}`);
      break;
    case 'say':
      session.received(String(how), now);
      break;
    case 'cut':
      if (talk.link === 'up') talk.cut(Number(how));
      break;
    case 'pass':
      talk.pass(Number(how));
      break;
    case 'jump':
      talk.jump(Number(how));
      break;
    case 'stall':
      talk.stalled = Number(how) % 2 === 0;
      break;
    case 'reach':
      talk.unreachable = Number(how) % 2 === 0 ? undefined : 'no';
      break;
    case 'block':
      talk.blocked = Number(how) % 2 === 0;
      break;
    case 'hurry':
      session.hurry(now);
      break;
    case 'close':
      session.close(now);
  }
  talk.settle();
}

// Whatever happens: one connection at a time, nothing sent where nobody listens, no busy loop (all asserted by `Talk`), no
// event twice; and once all is well, it listens again.
test('whatever happens it keeps its promises and recovers', () => {
  const everything = fc.record({
    kind: fc.constantFrom(...KINDS),
    providesCredentials: fc.boolean(),
    both: fc.boolean(),
    quirks: fc.record({ sessionsOnly: fc.boolean(), forgetsProject: fc.boolean() }),
    happenings: fc.array(happening, { maxLength: 60 }),
  });
  fc.assert(
    fc.property(everything, ({ kind, providesCredentials, both, quirks, happenings }) => {
      const talk = new Talk(kind, { providesCredentials, transports: both ? transports : ['websocket'] });
      Object.assign(talk.server, quirks);
      const ids: string[] = [];
      for (const one of happenings) happen(talk, ids, one);
      const seen = talk.events.filter(({ event }) => event.id !== undefined);
      const keys = seen.map(({ subscription, event }) => `${subscription} ${event.id}`);
      expect(new Set(keys).size, 'each once').toBe(keys.length);
      Object.assign(talk, { stalled: false, blocked: false, unreachable: undefined });
      talk.session.hurry(talk.now);
      talk.settle();
      const id = talk.session.subscribe(interest('fresh'), talk.now);
      talk.settle();
      for (let round = 0; round < 30; round += 1) {
        talk.session.authenticate(Credential.session('t'), undefined, talk.now);
        talk.settle();
        talk.seconds(20);
      }
      talk.events = [];
      talk.publish('fresh');
      expect(talk.numbers(id).length).toBe(1);
      expect(talk.ready).toContain(id);
    }),
    { numRuns: Number(process.env.RUNS ?? 300), seed: Number(process.env.SEED ?? 7) },
  );
}, 60_000);
