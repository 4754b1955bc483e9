// The client around a session: callbacks, loops, errors, and nothing left behind.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { RETURNS } from '../../src/close.js';
import { Appwrite, Credential, type RealtimeError, type RealtimeEvent, type State } from '../../src/index.js';
import { client, turn, Wire } from './wire.js';

let sdk: Appwrite;
let complained: ReturnType<typeof vi.spyOn>;

beforeEach(() => {
  vi.useFakeTimers();
  complained = vi.spyOn(console, 'error').mockImplementation(() => {});
  sdk = client();
});
afterEach(() => {
  sdk.realtime.close();
  expect(vi.getTimerCount(), 'no timer is left').toBe(0);
  expect(complained.mock.calls).toEqual([]);
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Subscribes, on a connection that is open. */
async function listen(callback?: (event: RealtimeEvent) => unknown, options = {}) {
  const subscription = callback
    ? sdk.realtime.subscribe('documents', callback, options)
    : sdk.realtime.subscribe('documents', options);
  await turn();
  if (Wire.all.length === 1 && Wire.last.onopen && Wire.last.sent.length === 0) Wire.last.open();
  Wire.last.confirm();
  await subscription.ready;
  return subscription;
}

/** Lets time pass until there are so many sockets. */
async function connects(sockets: number): Promise<void> {
  for (let steps = 0; Wire.all.length < sockets; steps += 1) {
    expect(steps, 'it connects within two minutes').toBeLessThan(240);
    await vi.advanceTimersByTimeAsync(500);
  }
}

test('version and protocol have defaults, and the endpoint may be said as a whole', async () => {
  for (const [make, url] of [
    [() => client(), 'wss://host/v1/realtime?project=p&gaps=1'],
    [
      () => client().setHostname('localhost:80').setSecureProtocol(false).setVersion('v2'),
      'ws://localhost:80/v2/realtime?project=p&gaps=1',
    ],
    [
      () => client().setEndpoint('http://[::1]:9/v1/').setProject('a b'),
      'ws://[::1]:9/v1/realtime?project=a%20b&gaps=1',
    ],
  ] as const) {
    const sdk = make();
    sdk.realtime.subscribe('documents');
    await turn();
    expect(Wire.last.url).toBe(url);
    sdk.realtime.close();
  }
});

test('what cannot be is refused at once, with what to do', async () => {
  const refused = (what: () => unknown) => {
    try {
      what();
    } catch (error) {
      return `${(error as RealtimeError).kind}: ${(error as Error).message}`;
    }
    return 'accepted';
  };
  expect(refused(() => new Appwrite().realtime.subscribe('documents'))).toMatch(/^settings: .*setProject/);
  expect(refused(() => new Appwrite().setProject('p').realtime.subscribe('documents'))).toMatch(
    /^settings: .*setHostname/,
  );
  expect(refused(() => sdk.setHostname('https://host'))).toMatch(/^settings: .*setEndpoint/);
  expect(refused(() => sdk.setEndpoint('host/v1'))).toMatch(/^settings: .*begins with http/);
  expect(refused(() => sdk.realtime.subscribe([]))).toMatch(/^interest: .*at least one channel/);
  expect(refused(() => sdk.realtime.subscribe(['documents', '']))).toMatch(/^interest: .*no name/);
  expect(refused(() => sdk.realtime.subscribe('x'.repeat(61_000)))).toMatch(/^interest: .*60000 bytes/);
  expect(refused(() => sdk.setJWT('a\nb'))).toMatch(/^credential: .*line break/);
  sdk.realtime.subscribe('documents');
  expect(refused(() => sdk.setProject('other'))).toMatch(/^settings: .*before the first subscribe/);
  expect(refused(() => sdk.setProject('p').setSecureProtocol(true))).toBe('accepted');
  sdk.realtime.close();
  expect(refused(() => sdk.setProject('other'))).toBe('accepted');
});

test('subscriptions of one turn share a message, and unsubscribing hangs up after a while', async () => {
  const [one, other] = [sdk.realtime.subscribe('documents'), sdk.realtime.subscribe(['files', 'teams'])];
  await turn();
  Wire.last.open();
  expect(Wire.last.sent.map(({ data }) => data.map(({ channels }) => channels))).toEqual([
    [['documents'], ['files', 'teams']],
  ]);
  Wire.last.confirm();
  await Promise.all([one.ready, other.ready]);
  expect(sdk.realtime.connection).toBe('connected');
  one();
  other.stop();
  await vi.advanceTimersByTimeAsync(6_000);
  expect([Wire.all.length, Wire.last.closed, sdk.realtime.connection]).toEqual([1, 1000, 'idle']);
});

test('stopping twice, inside the callback, and for others: nothing more comes', async () => {
  const got: string[] = [];
  const first = await listen((event) => {
    got.push(`first ${event.id}`);
    first();
    first.stop();
    second();
  });
  const second = await listen((event) => got.push(`second ${event.id}`));
  Wire.last.event('1', {}, first.id, second.id);
  Wire.last.event('2', {}, first.id, second.id);
  first();
  expect(got).toEqual(['first 1']);
  expect(first.error).toMatchObject({ kind: 'closed' });
});

test('subscribing, closing and subscribing again inside a callback works', async () => {
  const got: string[] = [];
  const outer = await listen(() => {
    got.push('outer');
    sdk.realtime.close();
    sdk.realtime.subscribe('documents', () => got.push('inner'));
  });
  Wire.last.event('1', {}, outer.id);
  await turn();
  expect([Wire.all.length, Wire.all[0]?.closed]).toEqual([2, 1000]);
  Wire.last.open();
  const id = Wire.last.sent[0]?.data[0]?.subscriptionId ?? '';
  Wire.last.confirm();
  Wire.last.event('2', {}, id);
  expect(got).toEqual(['outer', 'inner']);
});

test('a callback that throws or rejects is told, and the next event comes', async () => {
  const errors: (State & { type: 'error' })[] = [];
  sdk.realtime.on('error', (state) => errors.push(state));
  const cause = new Error('mine');
  const other: string[] = [];
  const throwing = await listen(() => {
    throw cause;
  });
  const rejecting = await listen(async () => Promise.reject(cause));
  const fine = await listen(({ id }) => other.push(id ?? ''));
  const ids = [throwing.id, rejecting.id, fine.id];
  Wire.last.event('1', {}, ...ids);
  Wire.last.event('2', {}, ...ids);
  await turn();
  await turn();
  expect(errors.length).toBe(4);
  for (const { error } of errors) expect(error).toMatchObject({ kind: 'callback', cause });
  expect(new Set(errors.map(({ subscription }) => subscription))).toEqual(
    new Set([throwing.id, rejecting.id]),
  );
  expect(other).toEqual(['1', '2']);
});

test('a callback may throw what cannot be made a text, and nothing stands still', async () => {
  const errors: string[] = [];
  sdk.realtime.on('error', ({ error }) => errors.push(error.message));
  const got: string[] = [];
  const throwing = await listen(() => {
    throw Object.create(null);
  });
  const fine = await listen(({ id }) => got.push(id ?? ''));
  Wire.last.event('1', {}, throwing.id, fine.id);
  Wire.last.event('2', {}, fine.id);
  expect([errors.length, got]).toEqual([1, ['1', '2']]);
});

test('an error that nobody listens to is written to the console', async () => {
  await listen(() => {});
  Wire.last.say('<html>');
  expect(complained.mock.calls[0]?.[0]).toMatchObject({ kind: 'unreadable' });
  complained.mockClear();
});

test('a listener that throws harms nobody, and one that is taken away hears nothing', async () => {
  const heard: string[] = [];
  sdk.realtime.on('connected', () => {
    throw new Error('mine');
  });
  sdk.realtime.on('connected', () => heard.push('kept'));
  sdk.realtime.on('connected', () => heard.push('taken away'))();
  await listen(() => {});
  expect(heard).toEqual(['kept']);
  expect(complained.mock.calls.length).toBe(1);
  complained.mockClear();
});

test('a loop gets what came before it, waits for more, and ends with the subscription', async () => {
  const subscription = await listen();
  Wire.last.event('1', { n: 1 }, subscription.id);
  Wire.last.event('1', { n: 1 }, subscription.id);
  const got: unknown[] = [];
  const loop = (async () => {
    for await (const { payload } of subscription) got.push(payload);
    return 'ended';
  })();
  await turn();
  Wire.last.event('2', { n: 2 }, subscription.id);
  await turn();
  subscription();
  expect(await loop).toBe('ended');
  expect(got).toEqual([{ n: 1 }, { n: 2 }]);
});

test('leaving a loop ends the subscription', async () => {
  const subscription = await listen();
  Wire.last.event('1', {}, subscription.id);
  for await (const _ of subscription) break;
  await turn();
  expect(Wire.last.sent.map(({ type }) => type)).toEqual(['unsubscribe']);
});

test('a loop that does not keep up misses some, and is told once where', async () => {
  const gaps: unknown[] = [];
  sdk.realtime.on('gap', ({ gap }) => gaps.push(gap));
  const subscription = await listen(undefined, { buffer: 2 });
  for (const id of ['1', '2', '3', '4']) Wire.last.event(id, {}, subscription.id);
  const loop = subscription[Symbol.asyncIterator]();
  const next = async () => ((await loop.next()).value as RealtimeEvent).id;
  expect([await next(), await next()]).toEqual(['1', '2']);
  Wire.last.event('5', {}, subscription.id);
  Wire.last.event('6', {}, subscription.id);
  const fifth = (await loop.next()).value;
  const sixth = (await loop.next()).value;
  expect([fifth.id, fifth.gap, sixth.gap]).toEqual(['5', { kind: 'overrun' }, undefined]);
  expect(gaps).toEqual([{ kind: 'overrun' }]);
});

test('a final refusal rejects what waits, and ends loops with the reason', async () => {
  sdk.realtime.on('error', () => {});
  const subscription = sdk.realtime.subscribe('documents');
  const [next, ready] = [subscription[Symbol.asyncIterator]().next(), subscription.ready];
  const refused = { kind: 'stopped', code: 1008, message: 'the server refuses: go away (1008)' };
  const both = Promise.all([
    expect(next).rejects.toMatchObject(refused),
    expect(ready).rejects.toMatchObject(refused),
  ]);
  await turn();
  Wire.last.open();
  Wire.last.end(1008, 'go away');
  await both;
  expect(sdk.realtime.subscribe('documents').error).toMatchObject(refused);
  const told: RealtimeError[] = [];
  sdk.realtime.on('error', ({ error }) => told.push(error));
  sdk.realtime.subscribe('documents', () => {});
  expect(told).toMatchObject([refused]);
  sdk.realtime.hurry();
  sdk.realtime.subscribe('documents');
  await turn();
  expect(Wire.all.length).toBe(2);
});

test('a WebSocket that cannot even be made is a failure like others', async () => {
  const broken = class extends Wire {
    constructor(url: string) {
      super(url);
      throw new Error('mixed content');
    }
  };
  sdk = client({ WebSocket: broken });
  const ends: string[] = [];
  sdk.realtime.on('disconnected', ({ reason }) => ends.push(reason));
  sdk.realtime.subscribe('documents');
  await vi.advanceTimersByTimeAsync(60_000);
  expect(ends.length).toBeGreaterThan(2);
  expect(ends.length).toBeLessThan(40);
  expect(ends[0]).toBe('mixed content');
});

test('a message that is too long ends the connection, bytes and late words do not matter', async () => {
  const ends: State[] = [];
  sdk.realtime.on('disconnected', (state) => ends.push(state));
  const got: unknown[] = [];
  const subscription = await listen((event) => got.push(event));
  const wire = Wire.last;
  wire.say(7);
  wire.say('x'.repeat(16 * 1024 * 1024 + 1));
  expect(ends).toMatchObject([{ code: 1009, advice: 'later' }]);
  expect(wire.closed).toBe(RETURNS);
  wire.event('1', {}, subscription.id);
  wire.end(1008);
  expect([got.length, ends.length]).toEqual([0, 1]);
});

test('the network that is back and the page that is visible again end the pause', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  const heard = new Map<string, () => void>();
  const scope = { visibilityState: 'hidden', addEventListener: vi.fn(), removeEventListener: vi.fn() };
  vi.stubGlobal('document', scope);
  vi.stubGlobal('addEventListener', (type: string, listener: () => void) => heard.set(type, listener));
  vi.stubGlobal('removeEventListener', (type: string) => heard.delete(type));
  const stop = await listen(() => {});
  expect(scope.addEventListener.mock.calls[0]?.[0]).toBe('visibilitychange');
  for (let drops = 0; drops < 8; drops += 1) {
    Wire.last.end(1013);
    heard.get('online')?.();
    await vi.advanceTimersByTimeAsync(0);
    expect(Wire.all.length, 'nobody looks at a hidden page').toBe(drops + 1);
    scope.visibilityState = 'visible';
    heard.get('online')?.();
    await vi.advanceTimersByTimeAsync(0);
    expect(Wire.all.length).toBe(drops + 2);
    Wire.last.open();
    Wire.last.confirm();
    scope.visibilityState = 'hidden';
  }
  stop();
  await turn();
  expect([heard.size, scope.removeEventListener.mock.calls.length]).toEqual([0, 1]);
  vi.unstubAllGlobals();
});

test('a provider may throw, give nonsense, or never answer, and is asked again', async () => {
  const errors: string[] = [];
  sdk.realtime.on('error', ({ error }) => errors.push(error.kind));
  const answers: (() => Promise<string | Credential>)[] = [
    () => {
      throw new Error('mine');
    },
    () => Promise.reject(new Error('mine')),
    () => Promise.resolve('not a\ntoken'),
    () => new Promise(() => {}),
    () => Promise.resolve(Credential.session('token')),
  ];
  sdk.setTokenProvider(() => (answers.shift() ?? (() => 'a.b.c'))());
  sdk.realtime.subscribe('documents');
  await connects(1);
  expect(errors).toEqual(['provider', 'provider', 'provider', 'provider']);
  expect(answers.length).toBe(0);
  Wire.last.open();
  expect(Wire.last.sent).toMatchObject([{ type: 'authentication', data: { session: 'token' } }]);
});

test('forgetting the user is meant, also before the first connection and while a provider is asked', async () => {
  let asked = 0;
  let answer = (_: string) => {};
  const provider = () => {
    asked += 1;
    return new Promise<string>((resolve) => {
      answer = resolve;
    });
  };
  sdk.setTokenProvider(provider);
  sdk.forgetUser();
  sdk.realtime.subscribe('documents');
  await turn();
  expect([asked, Wire.all.length]).toEqual([0, 1]);
  Wire.last.open();
  sdk.setTokenProvider(provider);
  await turn();
  await turn();
  expect(asked).toBe(1);
  sdk.forgetUser();
  answer('a.b.c');
  await vi.advanceTimersByTimeAsync(100);
  expect(JSON.stringify(Wire.all.map(({ sent }) => sent))).not.toContain('a.b.c');
});

test('closing while a provider is asked leaves no timer', async () => {
  sdk.setTokenProvider(() => new Promise(() => {}));
  sdk.realtime.subscribe('documents');
  await turn();
  sdk.realtime.close();
  expect(vi.getTimerCount()).toBe(0);
});

test('a thousand drops leave one socket and one timer', async () => {
  const stop = await listen(() => {});
  for (let drops = 0; drops < 1_000; drops += 1) {
    Wire.last.end(1006);
    await connects(drops + 2);
    Wire.last.open();
    Wire.last.confirm();
  }
  expect(vi.getTimerCount()).toBe(1);
  expect(Wire.all.filter((wire) => wire.onmessage !== null).length).toBe(1);
  stop();
});

test('over server-sent events a JWT is in a header, and in the url only where a browser would ask first', async () => {
  const asked: string[] = [];
  vi.stubGlobal('fetch', (url: string, { headers }: { headers: Record<string, string> }) => {
    asked.push(`${url.includes('jwt=a.b.c')} ${headers['X-Appwrite-JWT']}`);
    return new Promise(() => {});
  });
  for (const location of [undefined, { origin: 'https://host' }, { origin: 'https://other' }]) {
    vi.stubGlobal('location', location);
    const sdk = client({ transports: ['sse'] }).setJWT('a.b.c');
    sdk.realtime.subscribe('documents');
    await turn();
    sdk.realtime.close();
  }
  vi.unstubAllGlobals();
  expect(asked).toEqual(['false a.b.c', 'false a.b.c', 'true undefined']);
});

test('a credential and its owner cannot be printed', async () => {
  sdk.setJWT('hunter2.hunter2.hunter2');
  sdk.realtime.subscribe('documents');
  const { inspect } = await import('node:util');
  expect(inspect([sdk, Credential.session('hunter2')], { depth: 9, showHidden: true })).not.toContain(
    'hunter2',
  );
  expect(JSON.stringify([sdk, Credential.jwt('hunter2')])).not.toContain('hunter2');
});
