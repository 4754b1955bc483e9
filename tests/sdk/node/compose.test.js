// What Docker Compose makes of our files, by the rules it merges by (https://docs.docker.com/reference/compose-file/merge/);
// and that the server, started with that very environment, is healthy and delivers. Docker itself is not needed.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { parse } from 'yaml';

import { Container } from '../support/container.js';
import { freePort, Mariadb, Redis } from '../support/services.js';
import { Tab } from '../support/tab.js';
import { until } from '../support/until.js';

const text = (path) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const read = (name) => parse(text(`deploy/${name}`));
const credentials = JSON.parse(text('conformance/databases/credentials.json'));

/** The service as Appwrite's own compose file has it: the same network and labels from 1.5 to today. */
const STOCK = {
  image: 'appwrite/appwrite:1.8.1',
  entrypoint: 'realtime',
  container_name: 'appwrite-realtime',
  restart: 'unless-stopped',
  networks: ['appwrite'],
  depends_on: ['mariadb', 'redis'],
  labels: [
    'traefik.enable=true',
    'traefik.constraint-label-stack=appwrite',
    'traefik.docker.network=appwrite',
    'traefik.http.services.appwrite_realtime.loadbalancer.server.port=80',
    'traefik.http.routers.appwrite_realtime_ws.entrypoints=appwrite_web',
    'traefik.http.routers.appwrite_realtime_ws.rule=PathPrefix(`/v1/realtime`)',
    'traefik.http.routers.appwrite_realtime_ws.service=appwrite_realtime',
    'traefik.http.routers.appwrite_realtime_wss.entrypoints=appwrite_websecure',
    'traefik.http.routers.appwrite_realtime_wss.rule=PathPrefix(`/v1/realtime`)',
    'traefik.http.routers.appwrite_realtime_wss.service=appwrite_realtime',
    'traefik.http.routers.appwrite_realtime_wss.tls=true',
  ],
  environment: [
    '_APP_ENV', '_APP_WORKER_PER_CORE', '_APP_OPTIONS_ABUSE', '_APP_OPENSSL_KEY_V1', '_APP_REDIS_HOST', '_APP_REDIS_PORT',
    '_APP_REDIS_USER', '_APP_REDIS_PASS', '_APP_DB_HOST', '_APP_DB_PORT', '_APP_DB_SCHEMA', '_APP_DB_USER', '_APP_DB_PASS',
    '_APP_USAGE_STATS', '_APP_LOGGING_CONFIG',
  ],
};

/** Single values are replaced, lists of names and tables united. */
function merged(service, override) {
  const result = { ...service };
  for (const [key, value] of Object.entries(override)) {
    if (Array.isArray(value)) result[key] = [...new Set([...(service[key] ?? []), ...value])];
    else result[key] = typeof value === 'object' ? { ...service[key], ...value } : value;
  }
  return result;
}

/** What may stand in a service; a misspelled key would be an error of Compose's. */
const KEYS = new Set([
  'image', 'build', 'entrypoint', 'restart', 'ports', 'environment', 'volumes', 'healthcheck', 'stop_grace_period',
]);

function checkHealth({ healthcheck }) {
  assert.deepEqual(healthcheck.test, ['CMD', 'realtime', 'health']);
  for (const key of ['interval', 'timeout']) assert.match(healthcheck[key], /^\d+s$/);
}

test('the override replaces image and entry point of the stock service and keeps its labels, network and variables', () => {
  const { services, ...rest } = read('compose.override.yml');
  assert.deepEqual(rest, {});
  assert.deepEqual(Object.keys(services), ['appwrite-realtime']);
  const override = services['appwrite-realtime'];
  for (const key of Object.keys(override)) assert.ok(KEYS.has(key), key);
  const service = merged(STOCK, override);
  assert.match(service.image, /^\$\{REALTIME_IMAGE:-.+\}$/);
  assert.equal(service.entrypoint, 'realtime');
  for (const key of ['labels', 'networks', 'container_name', 'depends_on']) assert.deepEqual(service[key], STOCK[key], key);
  assert.deepEqual(service.environment.slice(0, STOCK.environment.length), STOCK.environment);
  assert.ok(service.environment.includes('_APP_DOMAIN'));
  checkHealth(service);
});

test('the standalone file has one service with its data in a volume', () => {
  const { services, volumes } = read('compose.standalone.yml');
  const { realtime } = services;
  for (const key of Object.keys(realtime)) assert.ok(KEYS.has(key), key);
  const [[volume, folder]] = realtime.volumes.map((mount) => mount.split(':'));
  assert.ok(volume in volumes);
  const image = text('deploy/Dockerfile');
  assert.match(image, new RegExp(`REALTIME_DATA_DIR=${folder}\\b`));
  assert.match(image, new RegExp(`PORT=${realtime.ports[0].split(':').at(-1)}\\b`));
  checkHealth(realtime);
});

test('the service beside Appwrite, as merged, is healthy, and a user hears what the database and Redis say', async (t) => {
  const [redis, database] = await Promise.all([Redis.start(), Mariadb.start('appwrite-1.8.mariadb.sql')]);
  t.after(() => Promise.all([redis.stop(), database.stop()]));
  // What Appwrite's installer writes into `.env`, as far as it concerns this: far more than the service is told.
  const installation = {
    _APP_ENV: 'production', _APP_WORKER_PER_CORE: '6', _APP_OPTIONS_ABUSE: 'enabled', _APP_DOMAIN: 'localhost',
    _APP_CONSOLE_DOMAIN: 'localhost', _APP_OPENSSL_KEY_V1: credentials.encryptionKey, _APP_USAGE_STATS: 'enabled',
    _APP_REDIS_HOST: '127.0.0.1', _APP_REDIS_PORT: String(redis.port), _APP_REDIS_USER: '', _APP_REDIS_PASS: '',
    _APP_DB_HOST: '127.0.0.1', _APP_DB_PORT: String(database.port), _APP_DB_SCHEMA: database.schema,
    _APP_DB_USER: database.user, _APP_DB_PASS: '', _APP_LOGGING_CONFIG: '', _APP_SMTP_HOST: '', _APP_OPEN_RUNTIMES: 'x',
  };
  const service = merged(STOCK, read('compose.override.yml').services['appwrite-realtime']);
  const container = await Container.start(text('deploy/Dockerfile'), service, installation, { port: await freePort() });
  t.after(() => container.remove());
  assert.equal(container.environment._APP_SMTP_HOST, undefined);
  await until(() => container.isHealthy(service), () => container.said);
  await until(() => container.said.includes('found the Appwrite installation'), () => container.said);
  const tab = new Tab(28, { endpoint: container.endpoint, project: 'alpha' });
  tab.login(credentials.sessions['alpha/alice/main'].token);
  const { got } = await tab.listen('client', ['documents']);
  for (const [id, role] of [['hers', 'team:red/owner'], ['not-hers', 'team:blue'], ['last', 'any']]) {
    const data = { events: [`x.${id}.update`], channels: ['documents'], timestamp: '2026-08-21T10:15:30.123+00:00', payload: { $id: id } };
    await redis.publish({ project: 'alpha', roles: [role], permissionsChanged: false, userId: null, data });
  }
  await until(() => got.some(({ payload }) => payload.$id === 'last'), 'the last event');
  assert.deepEqual(got.map(({ payload }) => payload.$id), ['hers', 'last']);
  tab.close();
  await container.stop(service);
});

test('the service on its own is healthy, keeps a project in its volume over a restart, and delivers', async (t) => {
  const { realtime: service } = read('compose.standalone.yml').services;
  const image = text('deploy/Dockerfile');
  const port = await freePort();
  const first = await Container.start(image, service, {}, { port });
  t.after(() => first.remove());
  await until(() => first.isHealthy(service), () => first.said);
  const exec = (...words) => promisify(execFile)(process.env.REALTIME_BIN, words, { env: first.environment });
  await exec('project', 'create', '--id', 'shop', '--name', 'Shop');
  const key = JSON.parse((await exec('key', 'create', '--project', 'shop', '--name', 'backend', '--json')).stdout).secret;
  await first.stop(service);
  const second = await Container.start(image, service, {}, { port, volume: first.volume });
  t.after(() => second.remove());
  await until(() => second.isHealthy(service), () => second.said);
  const tab = new Tab(28, { endpoint: second.endpoint, project: 'shop' });
  const { got } = await tab.listen('client', ['documents']);
  const headers = { 'X-Appwrite-Project': 'shop', 'X-Appwrite-Key': key };
  const body = JSON.stringify({ channels: ['documents'], roles: ['any'], payload: { $id: 'x' } });
  const answer = await fetch(`${second.endpoint}/realtime/events`, { method: 'POST', headers, body });
  assert.equal(answer.status, 200, await answer.text());
  await until(() => got.length > 0, 'the event');
  tab.close();
  await second.stop(service);
});

test('the console and the metrics beside it are for this machine, and for whoever shows the key', async (t) => {
  const service = merged(read('compose.standalone.yml').services.realtime, read('compose.console.yml').services.realtime);
  for (const key of Object.keys(service)) assert.ok(KEYS.has(key), key);
  const [address, outside, inside] = service.ports.at(-1).split(':');
  assert.deepEqual([address, outside, service.environment.REALTIME_INTERNAL_LISTEN], ['127.0.0.1', inside, `0.0.0.0:${inside}`]);
  const image = text('deploy/Dockerfile');
  const [port, internal] = [await freePort(), await freePort()];
  await assert.rejects(Container.start(image, service, {}, { port }), /REALTIME_INTERNAL_KEY is missing/);
  const key = '0123456789abcdef';
  const places = { REALTIME_INTERNAL_LISTEN: `0.0.0.0:${internal}` };
  const container = await Container.start(image, service, { REALTIME_INTERNAL_KEY: key }, { port, places });
  t.after(() => container.remove());
  await until(() => container.isHealthy(service), () => container.said);
  const ask = async (path, headers = {}) => {
    const answer = await fetch(`http://127.0.0.1:${internal}${path}`, { headers: { 'X-Realtime-Console': '1', ...headers } });
    return [answer.status, await answer.text()];
  };
  assert.match((await ask('/console/'))[1], /<title>Realtime console/);
  for (const path of ['/metrics', '/console/api/overview']) {
    assert.equal((await ask(path))[0], 401, path);
    const [status, body] = await ask(path, { Authorization: `Bearer ${key}` });
    assert.equal(status, 200, path);
    assert.match(body, /connections/);
  }
  await container.stop(service);
});
