// The bundle for a script tag, in a headless Chromium.

import { readFile } from 'node:fs/promises';
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { OldServer } from './old-server.js';
import { Cutter, document as event, Server, until } from './place.js';
import { EVENT, snippet } from './snippet.js';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
];

let server: Server;
let site: HttpServer;
let browser: Browser;

beforeAll(async () => {
  server = await Server.start();
  const bundle = await readFile(new URL('../../dist/appwrite.global.js', import.meta.url));
  site = createServer((request, response) => {
    const isScript = request.url === '/appwrite.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? bundle : '<!doctype html><title>App</title><script src="/appwrite.js"></script>');
  });
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  browser = await chromium.launch({ executablePath, args: FLAGS });
});
afterAll(async () => {
  await browser?.close();
  site?.close();
  await server?.stop();
});

async function open(): Promise<{ page: Page; printed: string[]; trouble: string[] }> {
  const page = await browser.newPage();
  const [printed, trouble] = [[] as string[], [] as string[]];
  page.on('console', (message) => (message.type() === 'error' ? trouble : printed).push(message.text()));
  page.on('pageerror', (error) => trouble.push(error.message));
  await page.goto(`http://localhost:${(site.address() as AddressInfo).port}/`);
  return { page, printed, trouble };
}

test('the snippet, as it stands, prints the event', async () => {
  const { page, printed, trouble } = await open();
  await page.addScriptTag({ content: snippet(new URL(server.facts.endpoint).host, server.facts.project) });
  await until(async () => {
    await server.publish(EVENT);
    return printed.length > 0;
  }, 'the event');
  expect(JSON.parse(printed[0] ?? '')).toMatchObject({
    event: EVENT.events[0],
    events: expect.arrayContaining(EVENT.events),
    channels: EVENT.channels,
    timestamp: expect.stringMatching(/^\d{4}-/),
    payload: EVENT.payload,
  });
  expect(trouble).toEqual([]);
  await page.close();
});

test('the snippet prints the event of a server that speaks only the dialect of URLs', async () => {
  const old = await OldServer.start();
  const { page, printed, trouble } = await open();
  await page.addScriptTag({ content: snippet(old.host, 'p') });
  await until(() => old.publish('documents.X', { $id: 'X' }) > 0, 'the page to connect');
  await until(() => printed.length === 1, 'the event');
  expect(JSON.parse(printed[0] ?? '')).toMatchObject({ event: 'documents.X.update', payload: { $id: 'X' } });
  expect(trouble).toEqual([]);
  await page.close();
  old.stop();
});

test('a worker listens as a page does', async () => {
  const { page } = await open();
  const { endpoint, project } = server.facts;
  await page.evaluate(`{
    const code = \`
      importScripts('\${location.origin}/appwrite.js');
      const sdk = new Appwrite().setEndpoint('${endpoint}').setProject('${project}');
      const subscription = sdk.realtime.subscribe('documents', ({ payload }) => postMessage(payload.$id));
      subscription.ready.then(() => postMessage('ready'));
    \`;
    window.got = [];
    const worker = new Worker(URL.createObjectURL(new Blob([code])));
    worker.onmessage = ({ data }) => window.got.push(data);
  }`);
  await page.waitForFunction(`window.got.includes('ready')`);
  await server.publish(event('x', ['any']));
  await page.waitForFunction(`window.got.includes('x')`);
  await page.close();
});

/** What a page collects, and how it says where it stands. */
const LISTEN = `({ endpoint, project, jwt, transports }) => {
  window.got = [];
  window.states = [];
  const sdk = (window.sdk = new Appwrite({ transports, longestPause: 300 }));
  sdk.setEndpoint(endpoint).setProject(project);
  if (jwt) sdk.setJWT(jwt);
  for (const type of ['connected', 'recovered', 'gap', 'disconnected', 'error']) {
    sdk.realtime.on(type, (state) => window.states.push(state.type));
  }
  return sdk.realtime.subscribe('documents', ({ payload }) => window.got.push(payload.$id)).ready;
}`;

for (const transports of [['websocket'], ['sse']]) {
  test(`a user's own events come once and in order over a link that is cut, by ${transports}`, async () => {
    const cutter = await Cutter.start(server.facts.endpoint);
    const { page } = await open();
    const { project, user } = server.facts;
    const options = { endpoint: cutter.endpoint, project, jwt: user.jwt, transports };
    await page.evaluate(`(${LISTEN})(${JSON.stringify(options)})`);
    const recovered = () => page.evaluate(`window.states.filter((state) => state === 'recovered').length`);
    for (let cut = 0; cut < 3; cut += 1) {
      for (let number = 0; number < 20; number += 1) {
        await server.publish(event(`${cut}-${number}`, ['user:alice']), event('secret', ['user:bob']));
        if (number === 10) cutter.cut();
      }
      await until(async () => Number(await recovered()) > cut, 'coming back');
    }
    await page.waitForFunction('window.got.length >= 60');
    const expected = Array.from({ length: 60 }, (_, index) => `${Math.floor(index / 20)}-${index % 20}`);
    expect(await page.evaluate('window.got')).toEqual(expected);
    expect(await page.evaluate('window.states')).not.toContain('gap');
    await page.close();
    cutter.stop();
  });
}

test('a page that has no network goes on as soon as it is back', async () => {
  const cutter = await Cutter.start(server.facts.endpoint);
  const { page } = await open();
  const options = { endpoint: cutter.endpoint, project: server.facts.project, transports: ['websocket'] };
  await page.evaluate(`(${LISTEN})(${JSON.stringify(options)})`);
  await page.context().setOffline(true);
  cutter.cut();
  await page.waitForFunction(`window.states.filter((state) => state === 'disconnected').length > 1`);
  await server.publish(event('meanwhile', ['any']));
  await page.context().setOffline(false);
  await page.waitForFunction(`window.got.includes('meanwhile')`);
  expect(await page.evaluate('window.states')).toContain('recovered');
  await page.close();
  cutter.stop();
});
