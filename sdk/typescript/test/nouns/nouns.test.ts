// The nouns: how they are spelled, read and bounded.

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { Backoff } from '../../src/backoff.js';
import { Lines } from '../../src/client/event-stream.js';
import { Channel, Credential, Query } from '../../src/index.js';
import { interest } from '../../src/interest.js';
import { readMessage } from '../../src/message.js';
import { Pace } from '../../src/pace.js';
import { Seen } from '../../src/resume.js';
import { Endpoint } from '../../src/session.js';
import { Subscription } from '../../src/subscription.js';
import { dice } from '../random.js';

test('channels are spelled as the protocol has them', () => {
  const spelled = [
    Channel.account(),
    Channel.documents('d', 'c'),
    Channel.document('d', 'c', 'x').update(),
    Channel.rows('d', 't').create(),
    Channel.row('d', 't', 'r'),
    Channel.files('b').upsert(),
    Channel.file('b', 'f').delete(),
    Channel.function('f'),
    Channel.execution('x'),
    Channel.team('t'),
    Channel.membership('m'),
    Channel.presences(),
    Channel.named('whatever'),
  ].map(String);
  expect(spelled).toEqual([
    'account',
    'databases.d.collections.c.documents',
    'databases.d.collections.c.documents.x.update',
    'databases.d.tables.t.rows.create',
    'databases.d.tables.t.rows.r',
    'buckets.b.files.upsert',
    'buckets.b.files.f.delete',
    'functions.f',
    'executions.x',
    'teams.t',
    'memberships.m',
    'presences',
    'whatever',
  ]);
});

test('every operator is spelled as the protocol has it', () => {
  for (const [query, spelled] of [
    [Query.equal('a', ['x', 1]), '{"method":"equal","attribute":"a","values":["x",1]}'],
    [Query.notEqual('a', 1), '{"method":"notEqual","attribute":"a","values":[1]}'],
    [Query.lessThan('a', 1.5), '{"method":"lessThan","attribute":"a","values":[1.5]}'],
    [Query.lessThanEqual('a', 1), '{"method":"lessThanEqual","attribute":"a","values":[1]}'],
    [Query.greaterThan('a', 'x'), '{"method":"greaterThan","attribute":"a","values":["x"]}'],
    [Query.greaterThanEqual('a', true), '{"method":"greaterThanEqual","attribute":"a","values":[true]}'],
    [Query.isNull('$id'), '{"method":"isNull","attribute":"$id","values":[]}'],
    [Query.isNotNull('a'), '{"method":"isNotNull","attribute":"a","values":[]}'],
    [
      Query.and([Query.isNull('a'), '{"method":"isNull","attribute":"b"}']),
      '{"method":"and","values":[{"method":"isNull","attribute":"a","values":[]},{"method":"isNull","attribute":"b"}]}',
    ],
    [Query.or(['nonsense']), '{"method":"or","values":["nonsense"]}'],
  ]) {
    expect(query).toBe(spelled);
  }
});

test('the size of an interest is never underestimated', () => {
  // Any UTF-16, also what is not well-formed.
  const unit = fc.oneof(fc.nat(0xff), fc.nat(0xffff));
  const text = fc.array(unit, { minLength: 1, maxLength: 40 }).map((units) => String.fromCharCode(...units));
  const texts = fc.array(text, { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(texts, texts, (channels, queries) => {
      const wanted = interest(channels, queries);
      const item = { ...new Subscription(wanted).item('0'.repeat(36), false), since: '0'.repeat(36) };
      expect(new TextEncoder().encode(JSON.stringify(item)).length).toBeLessThanOrEqual(wanted.bytes);
    }),
  );
});

test('an address of an API becomes one of a WebSocket or of server-sent events', () => {
  for (const [endpoint, url] of [
    ['http://127.0.0.1:8080/v1', 'ws://127.0.0.1:8080/v1/realtime?project=p'],
    ['https://example.org/v1/', 'wss://example.org/v1/realtime?project=p'],
    ['wss://[::1]:9/v1', 'wss://[::1]:9/v1/realtime?project=p'],
    ['HTTP://localhost', 'ws://localhost/realtime?project=p'],
  ] as const) {
    expect(new Endpoint(endpoint).realtime('p', 'websocket')).toBe(url);
    expect(new Endpoint(endpoint).realtime('p', 'sse')).toBe(url.replace('ws', 'http'));
  }
  const project = new Endpoint('ws://h').realtime("a b&c=ü('\uD800", 'websocket');
  expect(project).toBe('ws://h/realtime?project=a%20b%26c%3D%C3%BC%28%27%EF%BF%BD');
});

test.each([
  ['example.org/v1', 'begins with http://'],
  ['ftp://example.org', 'scheme'],
  ['http://', 'not a URL'],
  ['http:///v1', 'not a URL'],
  ['http://a b/v1', 'not a URL'],
  ['http://user:secret@host/v1', 'password'],
  ['http://host/v1?project=p', 'query'],
])('%s is refused as an address with the reason', (endpoint, why) => {
  expect(() => new Endpoint(endpoint)).toThrow(why);
});

const lasts = (claims: string, unixNow: number) =>
  Credential.jwt(`e30.${Buffer.from(claims).toString('base64url')}.c2ln`).lasts(1000 * unixNow);

test('a token lasts until it expires but no longer than it was issued for', () => {
  expect(lasts('{"exp":1000}', 900)).toBe(100_000);
  expect(lasts('{"exp":1000,"iat":400}', 900)).toBe(100_000);
  expect(lasts('{"exp":1000,"iat":950}', 0), 'the clock stands at 1970').toBe(50_000);
  expect(lasts('{"exp":1000}', 2000)).toBe(0);
  expect(lasts('{"exp":1000,"name":"Zoë ✓ 名"}', 900)).toBe(100_000);
});

test('a token that does not say lasts nobody knows how long', () => {
  for (const claims of ['{}', '{"exp":"soon"}', '[]', 'null', 'not JSON', '']) {
    expect(lasts(claims, 0), claims).toBeUndefined();
  }
  expect(Credential.jwt('no-dots').lasts(0)).toBeUndefined();
  expect(Credential.session('e30.e30.e30').lasts(0)).toBeUndefined();
});

test('a pause is within a window that doubles up to the longest, and evenly spread', () => {
  const drawn: number[] = [];
  for (let seed = 1; seed <= 200; seed += 1) {
    const backoff = new Backoff(500, 30_000, dice(seed * 7919));
    for (let failures = 0; failures < 40; failures += 1) {
      const pause = backoff.next(0);
      expect(pause).toBeGreaterThanOrEqual(0);
      expect(pause).toBeLessThanOrEqual(Math.min(500 * 2 ** failures, 30_000));
      if (failures >= 6) drawn.push(pause);
    }
  }
  const quarter = drawn.filter((pause) => pause < 7_500).length / drawn.length;
  expect(quarter).toBeGreaterThan(0.22);
  expect(quarter).toBeLessThan(0.28);
});

test('a server that asks for more time widens the window only', () => {
  const backoff = new Backoff(500, 30_000, dice(1));
  const pauses = Array.from({ length: 100 }, () => {
    backoff.reset();
    return backoff.next(10_000);
  });
  expect(Math.max(...pauses)).toBeGreaterThan(8_000);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(10_000);
});

test('no minute has more than 27 messages, and the next may be sent when it says', () => {
  const pace = new Pace(0);
  const sent: number[] = [];
  for (let at = 0; at < 600_000; at += 100) while (pace.take(at)) sent.push(at);
  expect(sent.length).toBeGreaterThan(150);
  for (const first of sent) {
    expect(sent.filter((at) => at >= first && at < first + 60_000).length).toBeLessThanOrEqual(27);
  }
  while (pace.take(600_000));
  const next = pace.next();
  expect([next > 600_000, pace.take(next - 1), pace.take(next)]).toEqual([true, false, true]);
});

test('what was seen is remembered up to a bound, the latest first', () => {
  const seen = new Seen();
  expect([seen.isNew(undefined), seen.isNew(undefined), seen.last]).toEqual([true, true, undefined]);
  for (let number = 0; number < 5120; number += 1) expect(seen.isNew(String(number))).toBe(true);
  expect(seen.size).toBe(512);
  for (let number = 4608; number < 5120; number += 1) expect(seen.isNew(String(number))).toBe(false);
  expect(seen.last, 'a repeated one is no progress').toBe('5119');
});

test('an event may lack all but its payload', () => {
  const read = readMessage('{"data":{"payload":{"a": 1}},"type":"event","x":0}');
  expect(read).toMatchObject({
    event: { id: undefined, event: '', events: [], payload: { a: 1 } },
    subscriptions: [],
  });
  const named = (data: object) => {
    const message = readMessage(JSON.stringify({ type: 'event', data: { payload: null, ...data } }));
    return message?.type === 'event' ? message.event.event : undefined;
  };
  expect(named({ events: ['a.b', 'a.*'] })).toBe('a.b');
  expect(named({ event: 'c', events: ['a.b'] })).toBe('c');
});

test('slots come as an object, a list or not at all', () => {
  const slots = (subscriptions: unknown) => {
    const message = readMessage(JSON.stringify({ type: 'connected', data: { subscriptions } }));
    return message?.type === 'connected' ? message.slots : undefined;
  };
  expect(slots({ 1: 'b', x: 'no', 0: 7 })).toEqual([[1, 'b']]);
  expect(slots(['a', 'b'])).toEqual([
    [0, 'a'],
    [1, 'b'],
  ]);
  expect([slots([]), slots(null), slots(7)]).toEqual([[], [], []]);
});

test('what is no message is unreadable and what is newer is unknown', () => {
  for (const text of [
    '',
    '<html>',
    '[]',
    '{}',
    '{"type":7}',
    '{"type":"event"}',
    '{"type":"pong"',
    '7',
    'null',
  ]) {
    expect(readMessage(text), text).toBeUndefined();
  }
  for (const text of ['{"type":"hologram"}', '{"type":"","data":[]}']) {
    expect(readMessage(text)).toEqual({ type: 'unknown' });
  }
});

test('an event stream means the same in whatever pieces it comes', () => {
  const stream =
    ': hello\n\nid: 1\ndata: {"a":1}\n\nevent: close\r\ndata: x\rdata:y\r\n\r\n\ndata\n\ndata: cut off';
  const whole = [
    { event: '', data: '{"a":1}' },
    { event: 'close', data: 'x\ny' },
    { event: '', data: '' },
  ];
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length)), (cuts) => {
      const places = [0, ...cuts.sort((one, other) => one - other), stream.length];
      const lines = new Lines();
      const events = places.slice(1).flatMap((end, index) => lines.take(stream.slice(places[index], end)));
      expect(events).toEqual(whole);
    }),
  );
});

test('what JavaScript takes for the end of a line is text in an event', () => {
  const data = '{"title":"one\u2028two\u2029three"}';
  expect(new Lines().take(`data: ${data}\n\n`)).toEqual([{ event: '', data }]);
});
