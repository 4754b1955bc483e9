// The server under test: our own binary as a child, on a free port, with a data folder of its own.

import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { until } from './until.js';

const PATIENCE = 30_000; // Milliseconds until the server must have said where it listens.

export class Server {
  /** What `realtime dev --json` prints: endpoint, project, apiKey, user, page. */
  facts;
  #args = [];
  #child;
  #folder;

  /** A server with a demo project, started with these arguments beside its own. */
  static async start(args = []) {
    const server = new Server();
    server.#args = args;
    server.#folder = await mkdtemp(join(tmpdir(), 'realtime-sdk-'));
    await server.#run('127.0.0.1:0');
    return server;
  }

  /** A server beside an Appwrite installation, as its compose file starts it: the program alone, and the environment. */
  static async beside(environment) {
    const server = new Server();
    server.#folder = await mkdtemp(join(tmpdir(), 'realtime-sdk-'));
    const env = { REALTIME_LISTEN: '127.0.0.1:0', REALTIME_DRAIN: '50ms', _APP_LOGGING_FORMAT: 'json', ...environment };
    const child = spawn(binary(), [], { env, cwd: server.#folder, stdio: ['ignore', 'ignore', 'pipe'] });
    server.#child = child;
    const said = [];
    createInterface({ input: child.stderr }).on('line', (line) => said.push(line));
    const find = (text) => said.find((line) => line.includes(text));
    await until(() => find('found the Appwrite installation') && find('receiving events from Redis'), () => said.join('\n'));
    const { address } = JSON.parse(find('server started'));
    server.facts = { endpoint: `http://${address}/v1` };
    return server;
  }

  /** Stops and starts again at the same place, with the same data. */
  async restart() {
    const { host } = new URL(this.facts.endpoint);
    await this.#end();
    await this.#run(host);
  }

  async stop() {
    await this.#end();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Publishes events in one request, in their order. */
  async publish(...events) {
    const { endpoint, project, apiKey } = this.facts;
    const response = await fetch(`${endpoint}/realtime/events`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Appwrite-Project': project, 'X-Appwrite-Key': apiKey },
      body: JSON.stringify(events),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`publishing failed with ${response.status}: ${JSON.stringify(answer)}`);
    return answer.events;
  }

  /** A new user who is logged in, made with the command line while the server runs. */
  async login(id) {
    const { project } = this.facts;
    await this.#command('user', 'create', '--project', project, '--id', id, '--email', `${id}@example.org`);
    const session = await this.#command('session', 'create', '--project', project, '--user', id);
    return { id, session: session.token };
  }

  async #command(...words) {
    const args = [...words, '--data-dir', this.#folder, '--json'];
    const { stdout } = await promisify(execFile)(binary(), args);
    return JSON.parse(stdout);
  }

  async #run(listen) {
    const args = ['dev', '--data-dir', this.#folder, '--listen', listen, '--json', '--drain', '50ms', ...this.#args];
    const child = spawn(binary(), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    let complaints = '';
    child.stderr.on('data', (text) => (complaints += text));
    const line = await new Promise((resolve, reject) => {
      const fail = (why) => reject(new Error(`the server ${why}\n${complaints}`));
      const timer = setTimeout(() => fail(`said nothing for ${PATIENCE / 1000} s`), PATIENCE);
      createInterface({ input: child.stdout }).once('line', (line) => {
        clearTimeout(timer);
        resolve(line);
      });
      child.once('error', (error) => fail(`cannot be run: ${error.message}`));
      child.once('exit', (code, signal) => fail(`ended with ${code ?? signal}`));
    });
    this.facts = JSON.parse(line);
  }

  async #end() {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }
}

function binary() {
  const path = process.env.REALTIME_BIN;
  if (!path) throw new Error('name the server in REALTIME_BIN, or run `cargo xtask sdk`');
  return path;
}
