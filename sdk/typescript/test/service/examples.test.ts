// Each example of the repository, executed as its first lines say.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { build } from 'esbuild';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { client, Server, until } from './place.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const examples = fileURLToPath(new URL('../../../../examples', import.meta.url));
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
];

let server: Server;
let browser: Browser;
let folder: string;
let env: NodeJS.ProcessEnv;
const children: ChildProcess[] = [];

beforeAll(async () => {
  process.env.REALTIME_JWT_HS256_SECRET = 'a secret of an example, which is no secret';
  server = await Server.start();
  const { endpoint, project, apiKey } = server.facts;
  env = { ...process.env, REALTIME_ENDPOINT: endpoint, REALTIME_PROJECT: project, REALTIME_API_KEY: apiKey };
  // As if it had been installed there.
  folder = await mkdtemp(join(tmpdir(), 'realtime-examples-'));
  await cp(examples, folder, { recursive: true });
  await mkdir(join(folder, 'node_modules/@realtime-server'), { recursive: true });
  await symlink(root, join(folder, 'node_modules/@realtime-server/client'));
  await symlink(join(root, 'node_modules/ws'), join(folder, 'node_modules/ws'));
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: FLAGS,
  });
});
afterAll(async () => {
  for (const child of children) child.kill();
  await browser?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Starts `relay.js` for one example; gives the address that it prints. */
async function relay(example: string): Promise<string> {
  const args = [join(folder, 'relay.js'), join(folder, example)];
  const child = spawn('node', args, { env: { ...env, PORT: '0' }, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return new Promise((resolve) => createInterface({ input: child.stdout }).once('line', resolve));
}

async function open(address: string, trouble: string[]): Promise<Page> {
  const page = await browser.newPage();
  page.on('pageerror', (error) => trouble.push(error.message));
  await page.goto(address);
  return page;
}

test('chat: what one page says, another shows', async () => {
  const chat = join(folder, 'chat');
  await build({
    entryPoints: [join(chat, 'chat.ts')],
    bundle: true,
    format: 'esm',
    outfile: join(chat, 'chat.js'),
    logLevel: 'warning',
  });
  const address = await relay('chat');
  const trouble: string[] = [];
  const pages = await Promise.all([open(address, trouble), open(address, trouble)]);
  for (const page of pages)
    await page.waitForFunction(`document.getElementById('state').textContent === 'ready'`);
  const [ada, bob] = pages as [Page, Page];
  await ada.getByLabel('Name').fill('Ada');
  await ada.getByLabel('Message').fill('Hello <b>all</b>');
  await ada.getByRole('button', { name: 'Send' }).click();
  for (const page of [ada, bob]) await page.getByText('Ada: Hello <b>all</b>', { exact: true }).waitFor();
  expect(trouble).toEqual([]);
});

test('cursors: a pointer that moves on one page moves on another, and not on its own', async () => {
  await cp(join(root, 'dist/appwrite.global.js'), join(folder, 'cursors/appwrite.global.js'));
  const address = await relay('cursors');
  const trouble: string[] = [];
  const [one, other] = await Promise.all([open(address, trouble), open(address, trouble)]);
  for (const page of [one, other])
    await page?.waitForFunction(`document.getElementById('field').dataset.ready === 'true'`);
  await one?.mouse.move(100, 100);
  await one?.mouse.move(640, 360);
  await other?.waitForFunction(`document.querySelector('.cursor')?.style.left === '50%'`);
  expect(await one?.locator('.cursor').count()).toBe(0);
  expect(trouble).toEqual([]);
});

test('own users: carol, whom no database knows, hears what is for her and her team', async () => {
  const { stdout } = await run('node', [join(folder, 'own-users/listen.js')], { env });
  expect(stdout).toBe('carol hears what is for carol alone\ncarol hears what is for the owners of red\n');
});

test.each([
  ['sh', 'publish-curl.sh', { hello: 'world' }],
  ['python3', 'publish.py', { hello: 'from Python' }],
  ['php', 'publish.php', { hello: 'from PHP' }],
])('publish: %s %s', async (program, script, payload) => {
  const sdk = client(server.facts);
  const got: unknown[] = [];
  await sdk.realtime.subscribe('documents', (event) => got.push(event.payload)).ready;
  await run(program, [join(folder, script)], { env });
  await until(() => got.length > 0, 'the event');
  expect(got).toEqual([payload]);
  sdk.realtime.close();
});

test('sse-curl: prints what is for anybody, with a token what is for its user, and ends when it is told to', async () => {
  const { jwt, id } = server.facts.user;
  const listen = (...channels: string[]) => {
    const args = [join(folder, 'sse-curl.sh'), ...channels];
    const child = spawn('sh', args, {
      env: { ...env, REALTIME_JWT: channels.length > 1 ? jwt : '' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    const heard = { child, text: '' };
    child.stdout.on('data', (piece) => {
      heard.text += piece;
    });
    return heard;
  };
  const [guest, alice] = [listen(), listen('documents', 'account')];
  const opened = () => [guest, alice].every(({ text }) => text.includes('"type":"connected"'));
  await until(opened, () => guest.text + alice.text);
  await server.publish(
    { channels: ['account'], roles: [`user:${id}`], payload: { for: id } },
    { channels: ['documents'], roles: ['any'], payload: { for: 'all' } },
  );
  const told = ({ text }: { text: string }, name: string) => text.includes(`"payload":{"for":"${name}"}`);
  await until(
    () => told(guest, 'all') && told(alice, 'all'),
    () => guest.text + alice.text,
  );
  expect([told(guest, id), told(alice, id)]).toEqual([false, true]);
  for (const { child } of [guest, alice]) {
    const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
    child.kill('SIGINT');
    expect(await ended).toBe('SIGINT');
  }
});

test('listen.html: shows events over a plain WebSocket, also after the server was away', async () => {
  const { endpoint, project } = server.facts;
  const site: HttpServer = createServer(async (request, response) => {
    const known = request.url?.startsWith('/listen.html?');
    response.writeHead(known ? 200 : 404, { 'content-type': 'text/html' });
    response.end(known ? await readFile(join(folder, 'listen.html')) : undefined);
  });
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
  const { port } = site.address() as AddressInfo;
  const ask = new URLSearchParams({
    endpoint: endpoint.replace('http', 'ws'),
    project,
    channels: 'documents,files',
  });
  const trouble: string[] = [];
  const page = await open(`http://localhost:${port}/listen.html?${ask}`, trouble);
  const state = page.locator('#state');
  await page.getByText('listening to documents, files').waitFor();
  await server.publish({ channels: ['files'], roles: ['any'], payload: { text: '<i>one</i>' } });
  await page.locator('#events li').getByText('{"text":"<i>one</i>"}').waitFor();
  await server.restart();
  await page.getByText('listening to documents, files').waitFor();
  await until(async () => {
    await server.publish({ channels: ['documents'], roles: ['any'], payload: { text: 'two' } });
    return (await page.locator('#events li').count()) > 1;
  }, 'an event after coming back');
  expect(await state.textContent()).toBe('listening to documents, files');
  expect(trouble).toEqual([]);
  await page.close();
  site.close();
});

test('listen.html: says why it is refused', async () => {
  const trouble: string[] = [];
  const ask = new URLSearchParams({
    endpoint: server.facts.endpoint.replace('http', 'ws'),
    project: 'nobody',
  });
  const page = await open(`file://${join(folder, 'listen.html')}?${ask}`, trouble);
  await page.getByText('refused: Missing or unknown project ID').waitFor();
  expect(trouble).toEqual([]);
  await page.close();
});
