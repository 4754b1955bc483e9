// What Docker Compose makes of our files, by the rules it merges by (https://docs.docker.com/reference/compose-file/merge/).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { parse } from 'yaml';

const read = (name) => parse(readFileSync(new URL(`../../../deploy/${name}`, import.meta.url), 'utf8'));

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

/** Single values are replaced, lists of names united. */
function merged(service, override) {
  const result = { ...service };
  for (const [key, value] of Object.entries(override)) {
    result[key] = Array.isArray(value) ? [...new Set([...(service[key] ?? []), ...value])] : value;
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
  const image = readFileSync(new URL('../../../deploy/Dockerfile', import.meta.url), 'utf8');
  assert.match(image, new RegExp(`REALTIME_DATA_DIR=${folder}\\b`));
  assert.match(image, new RegExp(`PORT=${realtime.ports[0].split(':').at(-1)}\\b`));
  checkHealth(realtime);
});
