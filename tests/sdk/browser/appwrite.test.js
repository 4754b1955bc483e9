// The newest SDK in a headless Chromium, and the page of `realtime dev`.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';

import { chromium } from 'playwright-core';

import { Cutter } from '../support/cutter.js';
import { CUTS, publishAndCut } from '../support/rough-link.js';
import { Server } from '../support/server.js';
import { until } from '../support/until.js';

const bundle = new URL('../node_modules/appwrite-28/dist/iife/sdk.js', import.meta.url);
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

describe('in Chromium', () => {
  let server;
  let site;
  let browser;
  before(async () => {
    server = await Server.start();
    const script = await readFile(bundle);
    site = createServer((request, response) => {
      const isScript = request.url === '/sdk.js';
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
      response.end(isScript ? script : '<!doctype html><title>App</title><script src="/sdk.js"></script>');
    });
    await new Promise((resolve) => site.listen(0, resolve));
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags });
  });
  after(async () => {
    await browser?.close();
    site?.close();
    await server?.stop();
  });

  /** Opens the app on a host and subscribes; what comes and what goes wrong is collected on the page. */
  async function open(host, session, endpoint = server.facts.endpoint) {
    const page = await browser.newPage();
    await page.goto(`http://${host}:${site.address().port}/`);
    await page.evaluate(
      ({ endpoint, project, session }) => {
        if (session) localStorage.setItem('cookieFallback', JSON.stringify({ [`a_session_${project}`]: session }));
        window.got = [];
        window.errors = [];
        const { Client, Realtime } = window.Appwrite;
        const realtime = new Realtime(new Client().setEndpoint(endpoint).setProject(project));
        realtime.onError((error) => window.errors.push(error?.message ?? String(error)));
        realtime.subscribe(['documents'], (event) => window.got.push(event.payload.note));
      },
      { endpoint, project: server.facts.project, session },
    );
    return page;
  }

  const note = (text, role) => ({
    channels: ['documents'],
    roles: [role],
    events: ['notes.note.create'],
    payload: { note: text },
  });
  const publish = (text, role) => server.publish(note(text, role));

  async function untilListening(page, role) {
    for (let attempt = 0; attempt < 100; attempt += 1) {
      await publish('probe', role);
      const heard = page.waitForFunction(() => window.got.length > 0, undefined, { timeout: 100 });
      if (await heard.then(() => true, () => false)) return;
    }
    throw new Error('the page hears nothing');
  }

  test('a user on a registered origin receives its events and nobody else\'s', async () => {
    const page = await open('localhost', server.facts.user.session);
    await untilListening(page, 'user:alice');
    await publish('bobs', 'user:bob');
    await publish('alices', 'user:alice');
    await page.waitForFunction(() => window.got.includes('alices'));
    const got = await page.evaluate(() => window.got.filter((note) => note !== 'probe'));
    assert.deepEqual(got, ['alices']);
    await page.close();
  });

  test('a page on a link that is cut again and again receives every event', async (t) => {
    const cutter = await Cutter.start(server.facts.endpoint);
    const page = await open('localhost', server.facts.user.session, cutter.endpoint);
    await untilListening(page, 'user:alice');
    const published = await publishAndCut(server, cutter, (number) => note(`n${number}`, 'user:alice'));
    const missing = () =>
      page.evaluate((count) => {
        const got = new Set(window.got);
        return Array.from({ length: count }, (_, number) => `n${number}`).filter((note) => !got.has(note));
      }, published);
    let lacks;
    await until(
      async () => (lacks = await missing()).length === 0,
      () => `${lacks.length} of ${published} events, ${lacks.slice(0, 20)}`,
    );
    const got = await page.evaluate(() => window.got.filter((note) => note !== 'probe').length);
    t.diagnostic(`${published} events, ${CUTS} cuts, ${cutter.links} links, ${got - published} events twice`);
    await page.close();
    cutter.stop();
  });

  test('a page on an origin that nobody registered is told so and receives nothing', async () => {
    const page = await open('other.localhost', undefined);
    await page.waitForFunction(() => window.errors.length > 0);
    await publish('secret', 'any');
    const errors = await page.evaluate(() => window.errors);
    assert.match(errors[0], /^Invalid Origin\. Register your new client \(other\.localhost\) as a new Web platform/);
    assert.deepEqual(await page.evaluate(() => window.got), []);
    await page.close();
  });

  test('the page of `realtime dev` shows an event that its own form publishes', async () => {
    const page = await browser.newPage();
    const trouble = [];
    page.on('console', (message) => message.type() === 'error' && trouble.push(message.text()));
    page.on('pageerror', (error) => trouble.push(error.message));
    await page.goto(server.facts.page);
    await page.getByText('Connected', { exact: true }).first().waitFor();
    await page.getByRole('button', { name: 'Publish', exact: true }).click();
    await page.getByText('Hello, world').last().waitFor();
    await page.getByRole('button', { name: 'Log in as demo user' }).click();
    await page.getByText('alice').first().waitFor();
    assert.deepEqual(trouble, []);
    await page.close();
  });
});
