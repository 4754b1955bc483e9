// What users install: the packed package, in a folder of its own, by every way in.

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { OldServer } from '../service/old-server.js';
import { Server, until } from '../service/place.js';
import { EVENT, snippet } from '../service/snippet.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const binary = (name: string) => join(root, 'node_modules/.bin', name);

let folder: string;
let files: string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'realtime-package-'));
  const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const [packed] = JSON.parse((await run('npm', pack, { cwd: root })).stdout);
  files = packed.files.map(({ path }: { path: string }) => path);
  await writeFile(join(folder, 'package.json'), '{ "private": true }');
  const offline = ['--offline', '--no-audit', '--no-fund', '--ignore-scripts'];
  await run('npm', ['install', ...offline, join(folder, packed.filename)], { cwd: folder });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function write(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

test('it holds what is built, its licences and its page, and nothing else', () => {
  const built = files.filter((path) => path.startsWith('dist/'));
  const others = files.filter((path) => !path.startsWith('dist/')).sort();
  expect(others).toEqual(['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'package.json']);
  for (const entry of ['index', 'react', 'vue', 'session']) {
    for (const kind of ['esm', 'cjs']) {
      expect(built).toContain(`dist/${kind}/${entry}.js`);
      expect(built).toContain(`dist/${kind}/${entry}.d.ts`);
    }
  }
  expect(built).toContain('dist/appwrite.global.js');
  expect(built.filter((path) => !/\.(js|d\.ts)$|^dist\/cjs\/package\.json$/.test(path))).toEqual([]);
});

test('it installs nothing besides itself', async () => {
  const { stdout } = await run('npm', ['ls', '--all', '--json'], { cwd: folder });
  expect(Object.keys(JSON.parse(stdout).dependencies)).toEqual(['@realtime-server/client']);
});

test('it is imported and required', async () => {
  const names = 'Object.keys(sdk).sort().join()';
  const esm = await write(
    'esm.mjs',
    `import * as sdk from '@realtime-server/client'; console.log(${names});`,
  );
  const cjs = await write(
    'cjs.cjs',
    `const sdk = require('@realtime-server/client'); console.log(${names});`,
  );
  for (const path of [esm, cjs]) {
    const { stdout } = await run('node', [path], { cwd: folder });
    expect(stdout.trim()).toBe('Appwrite,Channel,Credential,Query,RealtimeError');
  }
});

test('without a WebSocket, one is told what to do, and the client does without', async () => {
  const server = await Server.start();
  const { endpoint, project } = server.facts;
  const path = await write(
    'without.mjs',
    `import { Appwrite } from '@realtime-server/client';
     delete globalThis.WebSocket;
     const sdk = new Appwrite().setEndpoint('${endpoint}').setProject('${project}');
     sdk.realtime.on('error', ({ error }) => console.log(error.kind, error.message));
     sdk.realtime.on('connected', ({ transport }) => console.log(transport));
     await sdk.realtime.subscribe('documents').ready;
     sdk.realtime.close();`,
  );
  const { stdout } = await run('node', [path], { cwd: folder });
  await server.stop();
  expect(stdout).toMatch(/^transport this environment has no WebSocket: install the package ws/);
  expect(stdout.trim().split('\n').at(-1)).toBe('sse');
});

test('types are found by every sort of resolution, and are strict', async () => {
  const consumer = `
    import { Appwrite, Channel, Query, RealtimeError, type RealtimeEvent, type Subscription } from '@realtime-server/client';
    import { Session } from '@realtime-server/client/session';
    interface Todo { title: string }
    const sdk = new Appwrite().setHostname('example.org').setProject('shop');
    const stop: Subscription<Todo> = sdk.realtime.subscribe<Todo>(
      Channel.rows('main', 'todos').update(),
      ({ payload, gap }) => { const title: string = payload.title; if (gap?.kind === 'unrecovered') console.log(gap.reason, title); },
      { queries: [Query.equal('status', ['open'])] },
    );
    const name: 'databases.main.tables.todos.rows.update' = Channel.rows('main', 'todos').update().toString();
    sdk.realtime.on('disconnected', ({ code, advice }) => console.log(code + 1, advice === 'stop'));
    // @ts-expect-error there is no such state
    sdk.realtime.on('exploded', () => {});
    // @ts-expect-error a number is no channel
    sdk.realtime.subscribe(7, () => {});
    export async function all(): Promise<void> {
      await stop.ready.catch((error: RealtimeError) => error.kind);
      for await (const event of stop) { const one: RealtimeEvent<Todo> = event; console.log(one.id, name, Session); }
      stop();
    }
  `;
  await mkdir(join(folder, 'types'), { recursive: true });
  await write('types/esm.mts', consumer);
  await write('types/cjs.cts', consumer);
  for (const [module, moduleResolution] of [
    ['node16', 'node16'],
    ['esnext', 'bundler'],
  ] as const) {
    const files = module === 'node16' ? ['types/esm.mts', 'types/cjs.cts'] : ['types/esm.mts'];
    const flags = [
      '--noEmit',
      '--strict',
      '--exactOptionalPropertyTypes',
      '--target',
      'es2022',
      '--lib',
      'es2022,dom',
    ];
    const options = ['--module', module, '--moduleResolution', moduleResolution];
    const tsc = run(binary('tsc'), [...flags, ...options, ...files], { cwd: folder });
    await tsc.catch(({ stdout }) => expect.fail(stdout));
  }
});

/** What the pages take for granted. */
const PRELUDE = `
  import { Appwrite, Channel, Query } from '@realtime-server/client';
  declare const sdk: Appwrite;
  declare function refetch(...what: string[]): void;
  declare function show(what: Todo): void;
  interface Todo { title: string }
`;

test.each(['quickstart.md', 'sdk-typescript.md', 'reference/typescript/index.md'])(
  'the code of %s has the right types',
  async (page) => {
    const text = await readFile(join(root, '../../docs', page), 'utf8');
    const blocks = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code);
    expect(blocks.length).toBeGreaterThan(0);
    const names = blocks.map(async (code, index) => {
      // A block that makes a client of its own needs none to be there.
      const own = /\b(let|const) sdk =/.test(code) ? PRELUDE.replace(/.*declare const sdk.*/, '') : PRELUDE;
      const head = code.includes('import ') ? '' : own;
      const name = `page-${page.replaceAll('/', '-')}-${index}.mts`;
      await write(name, `${head}\n${code}\nexport {};`);
      return name;
    });
    const flags = [
      '--noEmit',
      '--strict',
      '--target',
      'es2022',
      '--module',
      'node16',
      '--lib',
      'es2022,dom',
      '--skipLibCheck',
    ];
    const tsc = run(binary('tsc'), [...flags, ...(await Promise.all(names))], { cwd: folder });
    await tsc.catch(({ stdout }) => expect.fail(stdout));
  },
);

test.each(['this server', 'a server that speaks only the dialect of URLs'])(
  'the snippet, as it stands, prints the event of %s in Node.js',
  async (which) => {
    await mkdir(join(folder, 'node_modules/ws'), { recursive: true });
    await write('node_modules/ws/package.json', '{ "name": "ws", "version": "8.0.0", "main": "index.js" }');
    await write(
      'node_modules/ws/index.js',
      `module.exports = require(${JSON.stringify(join(root, 'node_modules/ws'))});`,
    );
    const [server, old] = [await Server.start(), await OldServer.start()];
    const ours = which === 'this server';
    const host = ours ? new URL(server.facts.endpoint).host : old.host;
    const heads = {
      'snippet.mjs': `import { Appwrite } from '@realtime-server/client';`,
      'snippet.cjs': `const { Appwrite } = require('@realtime-server/client');`,
    };
    const prints = async ([name, head]: [string, string]) => {
      let stdout = '';
      const path = await write(name, head + snippet(host, server.facts.project));
      const ended = run('node', [path], { cwd: folder });
      ended.child.stdout?.on('data', (text) => {
        stdout += text;
      });
      await until(async () => {
        if (ours) await server.publish(EVENT);
        else old.publish('documents.X', EVENT.payload);
        return stdout !== '';
      }, 'the event');
      expect(JSON.parse(stdout)).toMatchObject({ channels: ['documents.X'], payload: EVENT.payload });
      // It ends by itself once nobody listens any more.
      expect((await ended).stderr).toBe('');
    };
    await Promise.all(Object.entries(heads).map(prints));
    old.stop();
    await server.stop();
  },
);
