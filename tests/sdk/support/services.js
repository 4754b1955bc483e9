// The services of an Appwrite installation, each our own child on a free port with a folder of its own.

import { execFile, spawn } from 'node:child_process';
import { chown, mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { until } from './until.js';

const run = promisify(execFile);
const isRoot = process.getuid() === 0;
const databases = new URL('../../../conformance/databases/', import.meta.url).pathname;

/** Ports below those that Linux gives to connections (32768 and up), so that nobody is given one before it is used. */
const PORTS = { from: 20_000, to: 32_000 };

/** A port that nobody uses at the moment. */
export async function freePort() {
  for (;;) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from));
    const server = createServer().listen(port, '0.0.0.0');
    const isFree = await new Promise((resolve) => server.once('listening', () => resolve(true)).once('error', () => resolve(false)));
    await new Promise((resolve) => server.close(resolve));
    if (isFree) return port;
  }
}

/** What every service here is: a child with a folder, ended by pid. */
class Service {
  port;
  folder;
  child;

  async begin(program, args, options = {}) {
    this.child = spawn(program, args, { stdio: 'ignore', ...options });
    this.child.once('error', (error) => console.error(`${program}: ${error.message}`));
  }

  async stop(signal = 'SIGKILL') {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    if (this.child.exitCode === null && this.child.kill(signal)) await ended;
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function folder() {
  return mkdtemp(join(tmpdir(), 'realtime-services-'));
}

export class Redis extends Service {
  static async start() {
    const redis = new Redis();
    [redis.port, redis.folder] = [await freePort(), await folder()];
    const args = ['--bind', '127.0.0.1', '--port', redis.port, '--save', '', '--appendonly', 'no'];
    await redis.begin('redis-server', args, { cwd: redis.folder });
    await until(() => redis.#ask('PING').catch(() => false), 'redis-server to answer');
    return redis;
  }

  /** Publishes as Appwrite does. */
  publish(envelope) {
    return this.#ask('PUBLISH', 'realtime', JSON.stringify(envelope));
  }

  #ask(...words) {
    return new Promise((resolve, reject) => {
      const socket = connect(this.port, '127.0.0.1');
      socket.once('error', reject).once('data', (data) => {
        socket.destroy();
        resolve(String(data));
      });
      const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
      socket.write(`*${words.length}\r\n${parts.join('')}`);
    });
  }
}

export class Mariadb extends Service {
  adapter = 'mariadb';
  schema = 'fixture';
  user = 'reader';

  static async start(dump) {
    const mariadb = new Mariadb();
    [mariadb.port, mariadb.folder] = [await freePort(), await folder()];
    const at = (name) => join(mariadb.folder, name);
    // A server that starts removes all temporary tables where its own are to be, those of others too if it were a shared folder.
    const own = ['--no-defaults', `--tmpdir=${mariadb.folder}`, `--datadir=${at('data')}`, `--user=${isRoot ? 'root' : process.env.USER}`];
    await run('mariadb-install-db', [...own, '--auth-root-authentication-method=normal', '--skip-test-db']);
    await mariadb.begin('/usr/sbin/mariadbd', [
      ...own, `--port=${mariadb.port}`, `--socket=${at('socket')}`, '--bind-address=127.0.0.1',
      '--skip-name-resolve', '--innodb-buffer-pool-size=32M', '--innodb-flush-log-at-trx-commit=0',
    ]);
    const client = ['--no-defaults', '--user=root', `--socket=${at('socket')}`];
    const sql = (statement) => run('mariadb', [...client, '--execute', statement]);
    await until(() => sql('SELECT 1').then(() => true, () => false), 'mariadbd to answer');
    await sql(`CREATE DATABASE ${mariadb.schema}; CREATE USER reader@'%'; GRANT SELECT ON *.* TO reader@'%'`);
    await load('mariadb', [...client, mariadb.schema], dump);
    return mariadb;
  }
}

export class Postgres extends Service {
  adapter = 'postgresql';
  schema = 'fixture';
  user = 'postgres';

  static async start(dump) {
    const postgres = new Postgres();
    [postgres.port, postgres.folder] = [await freePort(), await folder()];
    if (isRoot) {
      // PostgreSQL refuses to run as root.
      const id = async (flag) => Number((await run('id', [flag, 'postgres'])).stdout);
      await chown(postgres.folder, await id('-u'), await id('-g'));
    }
    const versions = await readdir('/usr/lib/postgresql');
    const program = (name) => {
      const path = join('/usr/lib/postgresql', versions.sort().at(-1), 'bin', name);
      return isRoot ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', path]] : [path, []];
    };
    const data = join(postgres.folder, 'data');
    const [initdb, before] = program('initdb');
    await run(initdb, [...before, '--username=postgres', '--auth=trust', '--encoding=UTF8', '--no-sync', '-D', data]);
    const [server, ahead] = program('postgres');
    await postgres.begin(server, [...ahead, '-D', data, '-p', postgres.port, '-h', '127.0.0.1', '-k', postgres.folder, '-F']);
    const client = ['--no-psqlrc', '--set=ON_ERROR_STOP=1', '-h', '127.0.0.1', '-U', 'postgres', '-p', String(postgres.port)];
    const sql = (database, statement) => run('psql', [...client, '-d', database, '-c', statement]);
    await until(() => sql('postgres', 'SELECT 1').then(() => true, () => false), 'postgres to answer');
    await sql('postgres', `CREATE DATABASE ${postgres.schema}`);
    const collation = "(provider = icu, locale = 'und-u-ks-level1', deterministic = false)";
    await sql(postgres.schema, `CREATE COLLATION public.utf8_ci_ai ${collation}`);
    await load('psql', [...client, '--quiet', '-d', postgres.schema], dump);
    return postgres;
  }

  stop() {
    // Fast shutdown: its children end with it.
    return super.stop('SIGINT');
  }
}

/** Feeds a dump to a client of the database. */
async function load(program, args, dump) {
  const file = await open(join(databases, dump));
  const child = spawn(program, args, { stdio: [file.fd, 'ignore', 'inherit'] });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  await file.close();
  if (code !== 0) throw new Error(`${program} could not load ${dump}`);
}
