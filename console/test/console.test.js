// Every page of the console in a headless Chromium: what it shows and does, for everybody, on every width, without a word
// of complaint from the browser.
import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';

import { chromium } from 'playwright-core';

import { Server } from './server.js';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/** Where pictures of the pages go, if somebody wants to look at them. */
const pictures = process.env.SCREENSHOTS;
const PHONE = { width: 390, height: 844 };
const DESKTOP = { width: 1280, height: 900 };

const event = (id, more = {}) => ({
  channels: ['documents', `documents.${id}`],
  roles: ['any'],
  events: [`documents.${id}.update`],
  payload: { $id: id, title: `Title of ${id}`, size: 3 },
  ...more,
});

describe('the console', () => {
  let server;
  let browser;
  before(async () => {
    server = await Server.start();
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags });
    if (pictures) await mkdir(pictures, { recursive: true });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** Opens a page of the console; at the end the browser must have had nothing to complain of. */
  async function visit(t, where = '', { viewport = DESKTOP, colorScheme = 'light', at = server } = {}) {
    const context = await browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce' });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    page.complaints = [];
    page.on('console', (said) => ['error', 'warning'].includes(said.type()) && page.complaints.push(said.text()));
    page.on('pageerror', (error) => page.complaints.push(error.stack));
    t.after(async () => {
      await context.close();
      assert.deepEqual(page.complaints, []);
    });
    await page.goto(at.facts.console + (where ? `#/${where}` : ''));
    return page;
  }

  async function heading(page, name) {
    await page.getByRole('heading', { level: 1, name }).waitFor();
  }

  test('every page is readable in light, dark and on a phone, and has no serious barrier', async (t) => {
    const { user } = server.facts;
    const alice = await server.listen(['documents', 'files'], { 'X-Appwrite-Session': user.session });
    const guest = await server.listen(['documents']);
    t.after(() => [alice, guest].forEach((client) => client.leave()));
    const [{ id }] = await server.publish(event('first'));
    const { connections } = await server.ask('connections?user=alice');
    const connection = connections[0].id;
    const pages = {
      overview: 'Overview',
      connections: 'Connections',
      [`connections/${connection}`]: 'Connections',
      events: 'Events',
      [`explain?connection=${connection}&project=demo&event=${id}`]: 'Explain',
      [`explain?project=demo&event=${id}&all`]: 'Explain',
      publish: 'Publish',
      projects: 'Projects',
      'projects/demo': 'Projects',
    };
    const barriers = [];
    const looks = [
      ['light', DESKTOP],
      ['dark', DESKTOP],
      ['light', PHONE],
      ['dark', PHONE],
    ];
    for (const [colorScheme, viewport] of looks) {
      const page = await visit(t, 'overview', { viewport, colorScheme });
      for (const [where, name] of Object.entries(pages)) {
        await page.evaluate((to) => (location.hash = to), `#/${where}`);
        await heading(page, name);
        if (where === 'events') {
          await page.getByText('Watching.').waitFor();
          await server.publish(event('seen'), event('other', { roles: ['users'] }));
          await page.getByText('documents.seen.update').first().waitFor();
        }
        if (where.startsWith('explain')) await page.getByText('Delivered.').first().waitFor();
        if (where.includes('/')) await page.getByText(/role|Keys for publishing/).first().waitFor();
        if (where === 'overview') await page.getByRole('img', { name: /^Events: now/ }).waitFor();
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${where} is ${wide} px wider than the window at ${viewport.width}`);
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => window.axe.run({ resultTypes: ['violations'] }));
        for (const { id, impact, nodes } of violations) {
          const seen = nodes.map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`).join('\n');
          if (['serious', 'critical'].includes(impact)) barriers.push(`${where} ${colorScheme} ${viewport.width} ${id}: ${seen}`);
        }
        if (pictures) {
          const file = `${where.split('?')[0].replace(/\/.*/, '-one')}${where.endsWith('&all') ? '-many' : ''}-${colorScheme}-${viewport.width}.png`;
          await page.screenshot({ path: `${pictures}/${file}`, fullPage: true });
        }
      }
    }
    assert.deepEqual(barriers, []);
  });

  test('the server says a policy without anything inline, and the page has nothing of that', async (t) => {
    const response = await fetch(server.facts.console);
    const policy = response.headers.get('content-security-policy');
    assert.ok(!policy.includes('unsafe'), policy);
    const page = await visit(t);
    await heading(page, 'Overview');
    // A style that nobody gave the nonce to is not applied; the complaint about it is ours.
    const applied = await page.evaluate(() => {
      const style = document.createElement('style');
      style.textContent = 'body { outline-style: dashed }';
      document.head.append(style);
      return getComputedStyle(document.body).outlineStyle === 'dashed';
    });
    assert.equal(applied, false);
    await page.waitForTimeout(100);
    page.complaints = page.complaints.filter((text) => !text.includes('Content Security Policy'));
  });

  test('the overview follows what happens', async (t) => {
    const page = await visit(t);
    await heading(page, 'Overview');
    await page.getByText('Ready', { exact: true }).waitFor();
    const client = await server.listen(['documents']);
    t.after(() => client.leave());
    await page.getByRole('cell', { name: 'demo' }).waitFor();
    await server.publish(...Array.from({ length: 50 }, (_, number) => event(`n${number}`)));
    await page.getByRole('img', { name: /^Deliveries: now .* at most [1-9]/ }).waitFor();
  });

  test('connections are found, looked into and let go', async (t) => {
    const { user } = server.facts;
    const alice = await server.listen(['documents'], { 'X-Appwrite-Session': user.session });
    const guest = await server.listen(['files']);
    t.after(() => [alice, guest].forEach((client) => client.leave()));
    const page = await visit(t, 'connections');
    await page.getByLabel('User').fill('alice');
    await page.getByRole('button', { name: 'Find' }).click();
    await page.getByRole('cell', { name: 'alice' }).first().waitFor();
    assert.equal(await page.getByRole('cell', { name: 'guest' }).count(), 0);
    await page.getByRole('row').nth(1).getByRole('link').click();
    await page.getByText('user:alice', { exact: true }).waitFor();
    await page.getByText('sse').waitFor();
    await page.getByRole('link', { name: 'All connections of alice' }).click();
    await page.getByRole('button', { name: 'Disconnect alice' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('May come back').uncheck();
    await dialog.getByRole('button', { name: 'Disconnect alice' }).click();
    await page.getByText('No connection is like that.').waitFor();
    assert.match(alice.heard, /An operator has ended this connection/);
    assert.match(alice.heard, /1008/);
    assert.equal(guest.ended, false);
  });

  test('events are filtered, paused and opened', async (t) => {
    const page = await visit(t, 'events');
    await page.getByText('Watching.').waitFor();
    await page.getByLabel('Channel').fill('documents.wanted');
    await page.getByRole('button', { name: 'Filter' }).click();
    await page.waitForTimeout(300);
    await server.publish(event('unwanted'), event('wanted'));
    await page.getByText('documents.wanted.update').waitFor();
    assert.equal(await page.getByText('documents.unwanted.update').count(), 0);
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByText('Paused.').waitFor();
    await server.publish(event('wanted', { events: ['documents.wanted.delete'] }));
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByText('Watching.').waitFor();
    assert.equal(await page.getByText('documents.wanted.delete').count(), 0);
    await page.getByText('documents.wanted.update').click();
    await page.getByRole('dialog').getByText('"title": "Title of wanted"').waitFor();
    await page.keyboard.press('Escape');
    const large = { $id: 'wanted', text: 'x'.repeat(30_000) };
    await server.publish(event('wanted', { payload: large }));
    await page.getByText('large payload').click();
    await page.getByRole('dialog').getByText('xxxx').waitFor();
  });

  test('it is explained why an event does not arrive', async (t) => {
    const guest = await server.listen(['documents', 'explained']);
    t.after(() => guest.leave());
    const { connections } = await server.ask('connections?channel=explained');
    const page = await visit(t, `explain?connection=${connections[0].id}&project=demo`);
    await page.getByRole('textbox', { name: 'Event', exact: true }).fill(JSON.stringify(event('x', { roles: ['user:bob'] })));
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByText('holds no role that may read the event').waitFor();
    await page.getByText('guests', { exact: true }).waitFor();
    await page.getByText('An event that passed').click();
    await page.getByLabel('Id of the event').fill('never');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByText('There is no such event').waitFor();
    // The browser tells of every answer with 404.
    page.complaints = page.complaints.filter((text) => !text.includes('404'));
  });

  test('it is explained which connections of a user or a project get an event', async (t) => {
    const { user } = server.facts;
    const alice = await server.listen(['crowd'], { 'X-Appwrite-Session': user.session });
    const guest = await server.listen(['crowd']);
    t.after(() => [alice, guest].forEach((client) => client.leave()));
    const [{ id }] = await server.publish(event('x', { channels: ['crowd'], roles: ['user:alice'] }));
    const page = await visit(t, `explain?project=demo&event=${id}`);
    await page.getByText(/^1 of \d+ connections gets it\.$/).waitFor();
    await page.getByText('holds no role that may read the event').first().waitFor();
    await page.getByLabel('Or user').fill('alice');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByText('1 of 1 connection gets it.').waitFor();
    await page.getByRole('region', { name: 'Connections and why' }).getByRole('link').click();
    await page.getByText('In common: user:alice').waitFor();
  });

  test('an event is published by hand', async (t) => {
    const guest = await server.listen(['documents']);
    t.after(() => guest.leave());
    const page = await visit(t, 'publish');
    await page.getByLabel('Payload').fill('{"by": "hand"}');
    await page.getByRole('button', { name: 'Publish' }).click();
    await page.getByText('Published', { exact: true }).waitFor();
    await until(() => guest.heard.includes('"by": "hand"') || guest.heard.includes('"by":"hand"'), () => guest.heard);
  });

  test('projects, keys and platforms are made and removed', async (t) => {
    const page = await visit(t, 'projects');
    await page.getByLabel('Id').fill('shop');
    await page.getByLabel('Name').fill('Shop');
    await page.getByRole('button', { name: 'Create project' }).click();
    await page.getByRole('heading', { name: 'shop' }).or(page.getByText('shop', { exact: true })).first().waitFor();
    await page.getByLabel('Name of a new key').fill('backend');
    await page.getByRole('button', { name: 'Create key' }).click();
    await page.getByText('standard_').waitFor();
    await page.getByLabel('Host').fill('*.example.com');
    await page.getByRole('button', { name: 'Create platform' }).click();
    await page.getByRole('cell', { name: '*.example.com' }).first().waitFor();
    assert.equal((await server.ask('projects/shop')).keys[0].name, 'backend');
    await page.getByRole('row', { name: /backend/ }).getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('cell', { name: 'backend' }).waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Remove project' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove project' }).click();
    await page.getByRole('button', { name: 'Create project' }).waitFor();
    assert.ok(!(await server.ask('projects')).projects.some(({ id }) => id === 'shop'));
  });

  test('a server with an admin key lets nobody in without it', async (t) => {
    const locked = await Server.start('--internal-key', 'correct horse battery');
    t.after(() => locked.stop());
    const page = await visit(t, '', { at: locked });
    await page.getByLabel('Admin key').fill('a wrong key indeed');
    await page.getByRole('button', { name: 'Open the console' }).click();
    await page.getByRole('alert').waitFor();
    await page.getByLabel('Admin key').fill('correct horse battery');
    await page.getByRole('button', { name: 'Open the console' }).click();
    await page.getByText('Ready', { exact: true }).waitFor();
    page.complaints = page.complaints.filter((text) => !text.includes('401'));
  });

  test('an address that cannot be read, and a page that fails, leave the rest of the console alone', async (t) => {
    const page = await visit(t, 'projects/%');
    await heading(page, 'Projects');
    await page.getByRole('alert').waitFor();
    await page.route('**/console/api/connections*', (route) => route.fulfill({ json: { connections: [null], next: null } }));
    await page.getByRole('link', { name: 'Connections' }).click();
    await page.getByText('This page cannot be shown').waitFor();
    await page.unroute('**/console/api/connections*');
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('button', { name: 'Find' }).waitFor();
    await page.getByRole('link', { name: 'Publish' }).click();
    await heading(page, 'Publish');
    // The browser tells of the answer that was none, and the framework of the error that it caught.
    page.complaints = page.complaints.filter((text) => !/40[04]|null/.test(text));
  });

  test('a server that stalls is asked one thing at a time, and the page says that it stalls', async (t) => {
    const page = await visit(t, 'overview');
    await page.getByText('Ready', { exact: true }).waitFor();
    let asked = 0;
    await page.route('**/console/api/overview', () => {
      asked += 1;
    });
    await page.getByText('The server has not answered for 10 s.').waitFor();
    assert.ok(asked >= 1 && asked <= 2, `asked ${asked} times`);
    await page.getByText('No answer', { exact: true }).waitFor();
    await page.unroute('**/console/api/overview');
    await page.getByText('Ready', { exact: true }).waitFor();
  });

  test('a payload that is null is shown as what it is', async (t) => {
    const head = { type: 'event', id: 'e', project: 'demo', name: 'x.y', names: [], channels: ['x'], roles: ['any'] };
    const rest = { user: null, rolesChanged: null, timestamp: null, bytes: 4, large: false, payload: null };
    const page = await visit(t, 'overview');
    await page.route('**/console/api/events*', (route) => route.fulfill({ body: `${JSON.stringify({ ...head, ...rest })}\n` }));
    await page.getByRole('link', { name: 'Events' }).click();
    await page.locator('.event').first().getByText('null', { exact: true }).waitFor();
    assert.equal(await page.getByText('large payload').count(), 0);
  });

  // EVENTS_PER_SECOND paces it, which takes a server that was built for speed; without, it is as fast as this machine goes.
  test('a flood costs the server little more when somebody watches it', async (t) => {
    const client = await server.listen(['documents']);
    t.after(() => client.leave());
    const rate = Number(process.env.EVENTS_PER_SECOND ?? 0);
    const batch = Array.from({ length: 1_000 }, (_, number) => event(`n${number}`));
    const cost = async () => {
      const before = await server.processorTime();
      const begun = Date.now();
      for (let part = 0; part < 10; part++) {
        const due = rate ? begun + (part * batch.length * 1_000) / rate : begun;
        await new Promise((next) => setTimeout(next, Math.max(0, due - Date.now())));
        await server.publish(...batch);
      }
      const took = (Date.now() - begun) / 1_000;
      if (rate) assert.ok(10 * batch.length >= 0.9 * rate * took, `10,000 events took ${took} s, too long for ${rate} a second`);
      return { spent: (await server.processorTime()) - before, took };
    };
    const alone = await cost();
    const page = await visit(t, 'events');
    await page.getByText('Watching.').waitFor();
    const watched = await cost();
    await page.getByText(/events more passed than are shown/).waitFor();
    assert.ok((await page.locator('.event').count()) <= 200);
    t.diagnostic(`10,000 events: ${JSON.stringify({ alone, watched })}`);
    assert.ok(watched.spent < alone.spent * 1.5 + 0.5, JSON.stringify({ alone, watched }));
  });
});

async function until(holds, what) {
  const deadline = Date.now() + 20_000;
  while (!holds()) {
    assert.ok(Date.now() < deadline, what());
    await new Promise((next) => setTimeout(next, 20));
  }
}
