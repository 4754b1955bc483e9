// A service of a compose file, without Docker: our binary as a child, with the command and the environment that a container
// of the image would have. Two things differ, since there is no container around it: the port and the folder of the volume.

import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';

export class Container {
  /** All that the program finds in its environment. */
  environment;
  /** The folder in place of the volume. */
  volume;
  /** Where clients reach it. */
  endpoint;
  /** What it has written so far. */
  said = '';
  #child;

  /**
   * Starts a service of this image; `known` is what stands in `.env`, of which a service gets what it names. `places` are
   * further settings that say where something is, in place of the container's own.
   */
  static async start(dockerfile, service, known, { port, volume, places = {} }) {
    const container = new Container();
    container.volume = volume ?? (await mkdtemp(join(tmpdir(), 'realtime-container-')));
    container.environment = {
      ...environmentOf(dockerfile),
      ...chosen(service.environment ?? {}, known),
      PORT: String(port),
      REALTIME_DATA_DIR: container.volume,
      ...places,
    };
    for (const name of Object.keys(places)) if (!(name in (service.environment ?? {}))) throw new Error(`${name} is not set`);
    container.endpoint = `http://127.0.0.1:${port}/v1`;
    const [program, ...words] = commandOf(dockerfile, service);
    if (basename(program) !== 'realtime') throw new Error(`the container would start ${program}`);
    container.#child = spawn(binary(), words, { env: container.environment, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [container.#child.stdout, container.#child.stderr]) {
      stream.on('data', (text) => {
        container.said += text;
      });
    }
    return container;
  }

  /** Whether the health check of the service holds. */
  async isHealthy({ healthcheck }) {
    const [way, program, ...words] = healthcheck.test;
    if (way !== 'CMD' || program !== 'realtime') throw new Error(`the health check would run ${way} ${program}`);
    const check = promisify(execFile)(binary(), words, { env: this.environment });
    return check.then(() => true, () => false);
  }

  /** Stops it as Docker does; fails if it would be killed. */
  async stop({ stop_grace_period: grace }) {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    const patience = setTimeout(() => this.#child.kill('SIGKILL'), 1_000 * Number.parseInt(grace, 10));
    const code = await ended;
    clearTimeout(patience);
    if (code !== 0) throw new Error(`it ended with ${code}\n${this.said}`);
  }

  /** Ends it, whatever it does, and takes the volume away. */
  async remove() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    await rm(this.volume, { recursive: true, force: true });
  }
}

/** The `ENV` lines of the last stage, without the search path, which is of the image's files. */
function environmentOf(dockerfile) {
  const stage = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '));
  const pairs = [...stage.matchAll(/^ENV (.+)$/gm)].flatMap(([, line]) => line.split(' '));
  return Object.fromEntries(pairs.map((pair) => pair.split('=')).filter(([name]) => name !== 'PATH'));
}

/** What the image runs, or what the service says instead; an entry point of the service's own drops the image's command. */
function commandOf(dockerfile, { entrypoint }) {
  if (entrypoint) return [entrypoint].flat();
  const of = (word) => JSON.parse(new RegExp(`^${word} (\\[.*\\])$`, 'm').exec(dockerfile)[1]);
  return [...of('ENTRYPOINT'), ...of('CMD')];
}

/** A name alone hands on what `.env` has, or nothing; `${NAME:-else}` stands for that or else, `${NAME:?why}` has to be there. */
function chosen(environment, known) {
  if (Array.isArray(environment)) {
    return Object.fromEntries(environment.filter((name) => name in known).map((name) => [name, known[name]]));
  }
  const fill = (_, name, kind, otherwise) => {
    if (kind === '?' && !known[name]) throw new Error(`${name} is missing: ${otherwise}`);
    return known[name] || otherwise;
  };
  const filled = (value) => String(value).replace(/\$\{(\w+):([-?])(.*?)\}/g, fill);
  return Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, filled(value)]));
}

function binary() {
  const path = process.env.REALTIME_BIN;
  if (!path) throw new Error('name the server in REALTIME_BIN, or run `cargo xtask sdk`');
  return path;
}
