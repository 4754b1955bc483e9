// The server under test: our own binary as a child, on free ports, with a data folder of its own.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const PATIENCE = 30_000;

export class Server {
  /** What `realtime dev --json` prints: endpoint, project, apiKey, user, console. */
  facts;
  #child;
  #folder;

  static async start(...args) {
    const server = new Server();
    server.#folder = await mkdtemp(join(tmpdir(), 'realtime-console-'));
    const words = ['dev', '--data-dir', server.#folder, '--listen', '127.0.0.1:0', '--json', '--drain', '50ms'];
    const env = { ...process.env, REALTIME_LIMITS_ENABLED: 'false', REALTIME_LOG_LEVEL: 'warn' };
    server.#child = spawn(process.env.REALTIME_BIN, [...words, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const line = await new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error('the server said nothing')), PATIENCE).unref();
      createInterface({ input: server.#child.stdout }).once('line', resolve);
      server.#child.once('exit', (code) => reject(new Error(`the server ended with ${code}`)));
    });
    server.facts = JSON.parse(line);
    return server;
  }

  async stop() {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    await ended;
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** A client over server-sent events: what it heard, and a way to leave. */
  async listen(channels, headers = {}, query = '') {
    const { endpoint, project } = this.facts;
    const said = channels.map((channel) => `&channels[]=${encodeURIComponent(channel)}`).join('');
    const stop = new AbortController();
    const response = await fetch(`${endpoint}/realtime?project=${project}${said}${query}`, {
      headers: { Accept: 'text/event-stream', ...headers },
      signal: stop.signal,
    });
    const client = { heard: '', ended: false, leave: () => stop.abort() };
    (async () => {
      try {
        for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) client.heard += chunk;
      } catch {}
      client.ended = true;
    })();
    // What is published from here on is for it.
    while (!client.heard.includes('"connected"') && !client.ended) await new Promise((next) => setTimeout(next, 5));
    return client;
  }

  async publish(...events) {
    const { endpoint, project, apiKey } = this.facts;
    const response = await fetch(`${endpoint}/realtime/events`, {
      method: 'POST',
      headers: { 'X-Appwrite-Project': project, 'X-Appwrite-Key': apiKey },
      body: JSON.stringify(events),
    });
    if (!response.ok) throw new Error(`publishing failed: ${response.status} ${await response.text()}`);
    return (await response.json()).events;
  }

  async ask(path) {
    const response = await fetch(new URL(`api/${path}`, this.facts.console), { headers: { 'X-Realtime-Console': '1' } });
    return response.json();
  }

  /** The processor time that the server has used so far, in seconds; Linux counts hundredths. */
  async processorTime() {
    const stat = await readFile(`/proc/${this.#child.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(') ') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }
}
