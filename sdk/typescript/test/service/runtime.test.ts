// The packed package in other runtimes: the oldest and a newer Node.js, and Deno. They come from npm, as the lock file says;
// where they cannot be had, these tests are skipped and say so.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { access, cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { Cutter, document, Server, until } from './place.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const home = fileURLToPath(new URL('../runtime', import.meta.url));
/** Milliseconds for downloading all of them, about 130 MB. */
const PATIENCE = 600_000;

interface Runtime {
  name: string;
  program: string;
  args: string[];
  /** It has a WebSocket of its own, so that it needs no package for it. */
  hasWebSocket: boolean;
}

const at = (path: string) => join(home, 'node_modules', path);
const deno = [
  'run',
  '--quiet',
  '--no-remote',
  '--node-modules-dir=manual',
  '--allow-net',
  '--allow-env',
  '--allow-read',
];
const RUNTIMES: Runtime[] = [
  { name: 'Node.js 18', program: at('node-18/bin/node'), args: [], hasWebSocket: false },
  { name: 'Node.js 22', program: at('node-22/bin/node'), args: [], hasWebSocket: true },
  { name: 'Deno', program: at('@deno/linux-x64-glibc/deno'), args: deno, hasWebSocket: true },
];

let server: Server;
let folder: string;
let child: ChildProcess | undefined;
/** Why runtimes are missing, if they are. */
let missing = 'npm could not download it, or this is not Linux on x86-64';

const isThere = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

beforeAll(async () => {
  server = await Server.start();
  const there = await Promise.all(RUNTIMES.map(({ program }) => isThere(program)));
  if (there.includes(false)) {
    const quiet = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    await run('npm', quiet, { cwd: home, timeout: PATIENCE }).catch((error: Error) => {
      missing = error.message;
    });
  }
  folder = await mkdtemp(join(tmpdir(), 'realtime-runtime-'));
  const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const [packed] = JSON.parse((await run('npm', pack, { cwd: root })).stdout);
  await run('tar', ['-xzf', packed.filename], { cwd: folder });
  for (const name of ['without', 'with-ws']) {
    await mkdir(join(folder, name, 'node_modules/@realtime-server'), { recursive: true });
    await cp(join(folder, 'package'), join(folder, name, 'node_modules/@realtime-server/client'), {
      recursive: true,
    });
    await cp(join(home, 'smoke.mjs'), join(folder, name, 'smoke.mjs'));
    const dependencies = { '@realtime-server/client': '*' };
    await writeFile(join(folder, name, 'package.json'), JSON.stringify({ private: true, dependencies }));
  }
  await symlink(join(root, 'node_modules/ws'), join(folder, 'with-ws/node_modules/ws'));
}, PATIENCE);
afterEach(() => void child?.kill());
afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const cases = RUNTIMES.flatMap((runtime) =>
  (['websocket', 'sse'] as const).map((transport) => ({ ...runtime, transport })),
);

test.for(cases)(
  '$name by $transport: subscribes, gets its events, and misses none over a cut',
  async (one, { skip }) => {
    const { name, program, args, hasWebSocket, transport } = one;
    if (!(await isThere(program))) {
      const why = `${name} could not be had from npm: ${missing}`;
      console.warn(`SKIPPED: ${why}`);
      return skip(why);
    }
    const cutter = await Cutter.start(server.facts.endpoint);
    const { project, user } = server.facts;
    const cwd = join(folder, hasWebSocket ? 'without' : 'with-ws');
    child = spawn(program, [...args, 'smoke.mjs', cutter.endpoint, project, user.jwt, transport], {
      cwd,
      env: { ...process.env, DENO_DIR: join(folder, 'deno'), DENO_NO_UPDATE_CHECK: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const lines: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      if (stream) createInterface({ input: stream }).on('line', (line) => lines.push(line));
    }
    const ended = new Promise((resolve) => child?.once('exit', (code, signal) => resolve(code ?? signal)));
    const says = (line: string) =>
      until(
        () => lines.includes(line),
        () => `${line} after:\n${lines.join('\n')}`,
      );
    const publish = (id: string) =>
      server.publish(
        document(`${id}-not`, [`user:${user.id}`], { kind: 'other' }),
        document(id, [`user:${user.id}`], { $id: id, kind: 'wanted' }),
      );
    await says('ready');
    await publish('first');
    await says('event first');
    cutter.cut();
    await publish('meanwhile');
    await says('recovered');
    await publish('last');
    expect(await ended, lines.join('\n')).toBe(0);
    expect(lines.filter((line) => line.startsWith('event'))).toEqual([
      'event first',
      'event meanwhile',
      'event last',
    ]);
    expect(lines.filter((line) => /^(gap|error)/.test(line))).toEqual([]);
    cutter.stop();
  },
);
