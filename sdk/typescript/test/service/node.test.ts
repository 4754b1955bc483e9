// The client in Node.js against the server of this repository.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { createServer as createTlsServer } from 'node:tls';

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';

import { Appwrite, Channel, Query, type RealtimeEvent, type State } from '../../src/index.js';
import { OldServer } from './old-server.js';
import { Cutter, client, document, Server, until } from './place.js';
import { EVENT, snippet } from './snippet.js';

let server: Server;
let sdk: Appwrite;

beforeAll(async () => {
  server = await Server.start();
});
afterEach(() => sdk?.realtime.close());
afterAll(() => server?.stop());

test('what is published once a subscription is ready is delivered, with all that an event has', async () => {
  sdk = client(server.facts);
  const got: RealtimeEvent<{ $id: string }>[] = [];
  const stop = sdk.realtime.subscribe<{ $id: string }>('documents', (event) => got.push(event));
  await stop.ready;
  const [{ id }] = await server.publish(document('x', ['any']));
  await until(() => got.length === 1, 'the event');
  const name = 'databases.main.collections.posts.documents.x.update';
  expect(got[0]).toMatchObject({ id, event: name, payload: { $id: 'x' }, gap: undefined });
  expect(got[0]?.events[0]).toBe(name);
  expect(got[0]?.channels).toContain('documents');
  expect(Date.parse(got[0]?.timestamp ?? '')).toBeGreaterThan(0);
  stop();
  const other = sdk.realtime.subscribe('documents');
  await other.ready;
  await server.publish(document('y', ['any']));
  for await (const event of other) {
    expect(event.payload).toMatchObject({ $id: 'y' });
    break;
  }
  expect([got.length, other.error?.kind]).toEqual([1, 'closed']);
});

test('channels may be built, queries filter, and an update changes both', async () => {
  sdk = client(server.facts);
  const got: string[] = [];
  const add = ({ payload }: RealtimeEvent<{ $id: string }>) => got.push(payload.$id);
  const channel = Channel.documents('main', 'posts');
  const subscription = sdk.realtime.subscribe([channel], add, {
    queries: [Query.equal('mood', ['good', 'fair'])],
  });
  await subscription.ready;
  const published = [
    document('1', ['any'], { mood: 'good' }),
    document('2', ['any'], { mood: 'bad' }),
    document('3', ['any'], { mood: 'fair' }),
  ];
  await server.publish(...published);
  await until(() => got.length === 2, 'two events');
  subscription.update('documents');
  await until(async () => {
    await server.publish(document('4', ['any'], { mood: 'bad' }));
    return got.includes('4');
  }, 'an event after the update');
  expect(got.filter((id) => id !== '4')).toEqual(['1', '3']);
});

test('a user with a session and a user with a JWT each get their own, also after changing places', async () => {
  sdk = client(server.facts);
  const { user } = server.facts;
  const bob = await server.login('bob');
  const got: string[] = [];
  sdk.setJWT(user.jwt);
  const subscription = sdk.realtime.subscribe('documents', ({ payload }) =>
    got.push((payload as { $id: string }).$id),
  );
  await subscription.ready;
  await server.publish(document('for-alice', [`user:${user.id}`]), document('for-bob', ['user:bob']));
  await until(() => got.length === 1, 'the event for alice');
  const authenticated = new Promise((resolve) => sdk.realtime.on('authenticated', resolve));
  sdk.setSession(bob.session);
  expect(await authenticated).toMatchObject({ user: 'bob' });
  await server.publish(document('for-alice', [`user:${user.id}`]), document('for-bob', ['user:bob']));
  await until(() => got.length === 2, 'the event for bob');
  expect(got).toEqual(['for-alice', 'for-bob']);
});

test('a token provider is asked first, and again after the server no longer takes its token', async () => {
  sdk = client(server.facts);
  const tokens = [server.facts.user.jwt, 'no.longer.good'];
  let asked = 0;
  sdk.setTokenProvider(async () => {
    asked += 1;
    return tokens.pop() ?? server.facts.user.jwt;
  });
  const errors: State[] = [];
  sdk.realtime.on('error', (state) => errors.push(state));
  const got: unknown[] = [];
  sdk.realtime.subscribe('documents', (event) => got.push(event.payload));
  await until(() => errors.length === 1, 'the refusal');
  expect(errors[0]).toMatchObject({ error: { kind: 'unauthenticated', code: 401 } });
  await until(async () => {
    await server.publish(document('x', ['user:alice']));
    return got.length > 0;
  }, 'an event for alice');
  expect(asked).toBe(2);
});

test('a user is present for as long as it is connected, over a drop too, and others hear of it', async () => {
  const { user } = server.facts;
  const cutter = await Cutter.start(server.facts.endpoint);
  sdk = client({ ...server.facts, endpoint: cutter.endpoint }, { longestPause: 200 }).setJWT(user.jwt);
  const other = client(server.facts);
  type Told = { userId: string; status: string; metadata: unknown };
  const heard: string[] = [];
  await other.realtime.subscribe<Told>(Channel.presences(), ({ event, payload: { userId, status } }) =>
    heard.push(`${event.split('.').at(-1)} ${userId} ${status}`),
  ).ready;
  const present: unknown[] = [];
  sdk.realtime.on('present', ({ presence }) => present.push(presence));
  sdk.realtime.setPresence({ status: 'online', metadata: { page: '/' }, permissions: ['read("any")'] });
  await until(() => heard.length === 1 && present.length === 1, 'word of the user');
  expect(present).toMatchObject([{ userId: user.id, status: 'online', metadata: { page: '/' } }]);
  cutter.cut();
  await until(() => present.length === 2, 'coming back');
  sdk.realtime.setPresence({ status: 'away', permissions: ['read("any")'] });
  await until(() => heard.some((line) => line.includes('away')), 'word of the change');
  sdk.realtime.setPresence(undefined);
  await until(
    () => heard.at(-1)?.startsWith('delete'),
    () => heard.join(', '),
  );
  expect(heard.filter((line) => line.startsWith('delete'))).toEqual([`delete ${user.id} away`]);
  expect(new Set(heard.slice(0, -1))).toEqual(
    new Set([`upsert ${user.id} online`, `upsert ${user.id} away`]),
  );
  other.realtime.close();
  cutter.stop();
});

test('whoever an operator lets go and may come back does, without a token provider', async () => {
  sdk = client(server.facts, { longestPause: 200 });
  const got: string[] = [];
  const closes: number[] = [];
  sdk.realtime.on('disconnected', ({ code }) => closes.push(code));
  const subscription = sdk.realtime.subscribe<{ $id: string }>('documents', ({ payload }) =>
    got.push(payload.$id),
  );
  await subscription.ready;
  const ask = (path: string, method = 'GET') =>
    fetch(new URL(`api/${path}`, server.facts.console), { method, headers: { 'X-Realtime-Console': '1' } });
  const { connections } = await (await ask('connections')).json();
  for (const { id } of connections) await ask(`connections/${id}`, 'DELETE');
  await until(() => closes.length > 0, 'the close');
  await server.publish(document('meanwhile', ['any']));
  await until(() => got.length > 0, 'the event');
  expect([got, closes, subscription.error]).toEqual([['meanwhile'], [1012], undefined]);
});

test('the lines that an application begins with work over TLS', async () => {
  const folder = mkdtempSync(`${tmpdir()}/realtime-tls-`);
  const [key, cert] = [`${folder}/key.pem`, `${folder}/cert.pem`];
  const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  execFileSync('openssl', ['req', '-x509', ...kind, ...name, '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  });
  const ca = readFileSync(cert);
  const { hostname, port: behind } = new URL(server.facts.endpoint);
  const front = createTlsServer({ key: readFileSync(key), cert: ca }, (socket) => {
    const inner = connect(Number(behind), hostname);
    socket.pipe(inner).pipe(socket);
    for (const end of [socket, inner]) end.on('error', () => {});
  });
  rmSync(folder, { recursive: true });
  await new Promise<void>((resolve) => front.listen(0, 'localhost', resolve));
  const urls: string[] = [];
  class Trusting extends WebSocket {
    constructor(url: string) {
      super(url, { ca });
      urls.push(url);
    }
  }
  class Client extends Appwrite {
    constructor() {
      super({ WebSocket: Trusting, transports: ['websocket'] });
      sdk = this;
    }
  }
  const { port } = front.address() as AddressInfo;
  const lines: string[] = [];
  const code = snippet(`localhost:${port}`, server.facts.project, true);
  new Function('Appwrite', 'console', code)(Client, { log: (line: string) => lines.push(line) });
  await until(async () => {
    await server.publish(EVENT);
    return lines.length > 0;
  }, 'the event');
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ event: EVENT.events[0], payload: EVENT.payload });
  expect(urls[0]).toMatch(/^wss:\/\/localhost:/);
  sdk.realtime.close();
  front.close();
});

test('a refused subscription says why, and others go on', async () => {
  sdk = client(server.facts);
  const errors: State[] = [];
  sdk.realtime.on('error', (state) => errors.push(state));
  const good = sdk.realtime.subscribe('documents');
  const bad = sdk.realtime.subscribe('documents', () => {}, { queries: ['{"method":"nope","values":[]}'] });
  await expect(bad.ready).rejects.toMatchObject({ kind: 'refused', code: 1003 });
  await good.ready;
  expect(errors).toMatchObject([{ subscription: bad.id, error: { kind: 'refused' } }]);
});

test('an unknown project is final: everything ends with the reason, and nobody comes back', async () => {
  sdk = client({ ...server.facts, project: 'nobody' });
  const states: State[] = [];
  sdk.realtime.on('disconnected', (state) => states.push(state));
  sdk.realtime.on('error', (state) => states.push(state));
  const subscription = sdk.realtime.subscribe('documents');
  await expect(subscription.ready).rejects.toMatchObject({ kind: 'stopped', code: 1008 });
  await expect(subscription[Symbol.asyncIterator]().next()).rejects.toThrow('Missing or unknown project ID');
  expect(states[0]).toMatchObject({ code: 1008, advice: 'stop', againIn: undefined });
  expect(sdk.realtime.connection).toBe('idle');
  expect(sdk.realtime.subscribe('documents').error).toMatchObject({ kind: 'stopped' });
});

test('server-sent events do the same, resume and are told of a drop', async () => {
  const cutter = await Cutter.start(server.facts.endpoint);
  sdk = client({ ...server.facts, endpoint: cutter.endpoint }, { transports: ['sse'] });
  sdk.setJWT(server.facts.user.jwt);
  const got: string[] = [];
  const states: string[] = [];
  for (const type of ['connected', 'recovered', 'gap'] as const)
    sdk.realtime.on(type, () => states.push(type));
  const subscription = sdk.realtime.subscribe('documents', ({ payload }) =>
    got.push((payload as { $id: string }).$id),
  );
  await subscription.ready;
  await server.publish(document('1', ['user:alice']));
  await until(() => got.length === 1, 'the first event');
  cutter.cut();
  await server.publish(document('2', ['user:alice']), document('3', ['user:bob']));
  await until(() => states.includes('recovered'), 'coming back');
  await server.publish(document('4', ['any']));
  await until(() => got.length === 3, 'the others');
  expect(got).toEqual(['1', '2', '4']);
  expect(states).toEqual(['connected', 'connected', 'recovered']);
  cutter.stop();
});

test('where a proxy lets no WebSocket through, server-sent events are found by themselves', async () => {
  const { endpoint } = server.facts;
  // What a proxy does that knows nothing of upgrades: it passes the request on without, or shows a page of its own.
  const proxy = createServer(async (request, response) => {
    const answer = await fetch(new URL(request.url ?? '', endpoint), {
      headers: { accept: request.headers.accept ?? '' },
    });
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
    for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) response.write(chunk);
    response.end();
  });
  proxy.on('upgrade', (_, socket) =>
    socket.end('HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>No.</html>'),
  );
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port } = proxy.address() as AddressInfo;
  sdk = client({ ...server.facts, endpoint: `http://127.0.0.1:${port}/v1` });
  const got: unknown[] = [];
  const ends: string[] = [];
  sdk.realtime.on('disconnected', ({ reason }) => ends.push(reason));
  await sdk.realtime.subscribe('documents', (event) => got.push(event)).ready;
  await server.publish(document('x', ['any']));
  await until(() => got.length === 1, 'the event');
  expect(ends.length).toBe(2);
  expect(ends[0]).toContain('Unexpected server response: 200');
  sdk.realtime.close();
  proxy.closeAllConnections();
  proxy.close();
});

test('a server that speaks only the dialect of URLs is understood, and each change makes a new connection', async () => {
  const old = await OldServer.start();
  sdk = client({ endpoint: `http://${old.host}/v1`, project: 'p' });
  const got: unknown[] = [];
  const gaps: unknown[] = [];
  sdk.realtime.on('gap', ({ gap }) => gaps.push(gap));
  const stop = sdk.realtime.subscribe('documents.X', ({ payload }) => got.push(payload));
  await stop.ready;
  old.publish('documents.X', { n: 1 });
  await until(() => got.length === 1, 'the first event');
  const other = sdk.realtime.subscribe('files', ({ payload }) => got.push(payload));
  await other.ready;
  old.publish('files', { n: 2 });
  await until(() => got.length === 2, 'the second event');
  old.cut();
  await until(() => old.publish('documents.X', { n: 3 }) > 0, 'coming back');
  await until(() => got.length === 3, 'the third event');
  expect(got).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  expect(gaps.length).toBeGreaterThanOrEqual(2);
  expect(old.urls.length).toBe(4);
  old.stop();
});
