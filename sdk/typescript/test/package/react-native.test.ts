// The packed code in a world that has what React Native has and lacks what it lacks. It is not React Native: neither Hermes nor
// Metro is here, only the globals that an application finds there.

import { readFile } from 'node:fs/promises';
import vm from 'node:vm';

import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';

import type * as Sdk from '../../src/index.js';
import { Cutter, document, Server, until } from '../service/place.js';

let server: Server;
let cutter: Cutter;
let world: ReturnType<typeof reactNative>;

beforeEach(async () => {
  server = await Server.start();
  cutter = await Cutter.start(server.facts.endpoint);
  world = reactNative();
});
afterEach(async () => {
  cutter.stop();
  await server.stop();
});

/** Its WebSocket: a third argument with headers, a failure as `error` and then `close`, and nothing thrown by `send`. */
function socketOf(made: { url: string; options: unknown }[]) {
  return class {
    onopen: unknown = null;
    onmessage: unknown = null;
    onerror: unknown = null;
    onclose: unknown = null;
    #inner: WebSocket;

    constructor(
      url: string,
      protocols?: string | string[] | null,
      options?: { headers: Record<string, string> },
    ) {
      made.push({ url, options });
      this.#inner = new WebSocket(url, protocols ?? [], options);
      this.#inner.on('open', () => this.#tell(this.onopen, {}));
      this.#inner.on('message', (data) => this.#tell(this.onmessage, { data: String(data) }));
      this.#inner.on('error', ({ message }) => this.#tell(this.onerror, { message }));
      this.#inner.on('close', (code, reason) => this.#tell(this.onclose, { code, reason: String(reason) }));
    }

    send(text: string): void {
      if (this.#inner.readyState === 1) this.#inner.send(text);
    }

    close(code?: number, reason?: string): void {
      this.#inner.close(code, reason);
    }

    #tell(handler: unknown, event: object): void {
      if (typeof handler === 'function') handler(event);
    }
  };
}

/** The globals of React Native that an SDK may look for; `fetch` gives no stream, and `AppState` tells what a page's visibility tells elsewhere. */
function reactNative() {
  const sockets: { url: string; options: unknown }[] = [];
  const listeners = new Set<(state: string) => void>();
  const complaints: unknown[] = [];
  const globals: Record<string, unknown> = {
    setTimeout,
    clearTimeout,
    queueMicrotask,
    performance: { now: () => performance.now() },
    navigator: { product: 'ReactNative' },
    console: { log() {}, error: (text: unknown) => complaints.push(text) },
    WebSocket: socketOf(sockets),
    AbortController,
    fetch: async (...args: Parameters<typeof fetch>) => {
      const answer = await fetch(...args);
      const { ok, status, headers } = answer;
      return { ok, status, headers, body: undefined, text: async () => 'no stream here' };
    },
  };
  globals.window = globals;
  globals.global = globals;
  return {
    sockets,
    complaints,
    context: vm.createContext(globals),
    AppState: {
      addEventListener: (_: 'change', listener: (state: string) => void) => listeners.add(listener),
    },
    comesToFront: () => listeners.forEach((listener) => void listener('active')),
  };
}

/** What `require` gives an application whose bundler takes the package's `main`. */
async function load(): Promise<typeof Sdk> {
  const { main } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
  const text = await readFile(new URL(`../../${main}`, import.meta.url), 'utf8');
  const module = { exports: {} };
  const wrapped = vm.runInContext(`(function (module, exports, require) {${text}\n})`, world.context);
  wrapped(module, module.exports, (name: string) => {
    throw new Error(`${name} is not there`);
  });
  return module.exports as typeof Sdk;
}

test('it listens, and comes back at once when the app comes to the front', async () => {
  const { Appwrite } = await load();
  const { project, user } = server.facts;
  const sdk = new Appwrite({ transports: ['websocket'] });
  sdk.setEndpoint(cutter.endpoint).setProject(project).setJWT(user.jwt);
  world.AppState.addEventListener('change', (state) => state === 'active' && sdk.realtime.hurry());
  const got: unknown[] = [];
  const waits: (number | undefined)[] = [];
  let recovered = 0;
  sdk.realtime.on('recovered', () => {
    recovered += 1;
  });
  sdk.realtime.on('disconnected', ({ againIn }) => waits.push(againIn));
  await sdk.realtime.subscribe<{ $id: string }>('documents', ({ payload }) => got.push(payload.$id)).ready;
  await server.publish(document('first', [`user:${user.id}`]));
  await until(() => got.length === 1, 'the first event');
  cutter.cut();
  await server.publish(document('meanwhile', ['any']));
  await until(() => waits.length > 0, 'the drop');
  world.comesToFront();
  await until(() => recovered === 1, 'coming back');
  await until(() => got.length === 2, 'what was missed');
  expect(got).toEqual(['first', 'meanwhile']);
  expect(world.sockets.map(({ options }) => options)).toEqual([undefined, undefined]);
  expect(world.complaints).toEqual([]);
  sdk.realtime.close();
});

test('server-sent events are not to be had there, which is told', async () => {
  const { Appwrite } = await load();
  const sdk = new Appwrite({ transports: ['sse'] })
    .setEndpoint(server.facts.endpoint)
    .setProject(server.facts.project);
  const ends: string[] = [];
  sdk.realtime.on('disconnected', ({ reason, againIn }) => ends.push(`${reason} ${againIn !== undefined}`));
  sdk.realtime.subscribe('documents', () => {});
  await until(() => ends.length > 0, 'the failure');
  expect(ends[0]).toMatch(/the answer is 200 with text\/event-stream, not an event stream.* true$/);
  sdk.realtime.close();
});
