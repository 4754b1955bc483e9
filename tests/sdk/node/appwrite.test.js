// The official SDKs beside the databases of Appwrite installations, with events from Redis as Appwrite publishes them.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { Server } from '../support/server.js';
import { Mariadb, Postgres, Redis } from '../support/services.js';
import { Tab } from '../support/tab.js';
import { until } from '../support/until.js';

const INSTALLATIONS = [
  { dump: 'appwrite-1.6.mariadb.sql', engine: Mariadb },
  { dump: 'appwrite-1.8.mariadb.sql', engine: Mariadb },
  { dump: 'appwrite-1.9.6.mariadb.sql', engine: Mariadb },
  { dump: 'appwrite-main.postgres.sql', engine: Postgres },
];
/** The newest SDK, and one that names its channels in the URL. */
const VERSIONS = [28, 13];
const PROJECT = 'alpha';

const read = (name) => JSON.parse(readFileSync(new URL(`../../../conformance/databases/${name}`, import.meta.url)));
const credentials = read('credentials.json');
const rolesOf = read('roles.json');

/** Who there is: the session they show, and the roles that Appwrite computes for them. */
const PEOPLE = [
  { who: 'a guest', roles: ['guests'] },
  { who: 'an unverified user', session: 'alpha/bob/main' },
  { who: 'a verified user with labels, owner of a team', session: 'alpha/alice/main' },
  { who: 'a user with a role in a team', session: 'alpha/dave/main' },
  { who: 'a user with a dot in the id', session: 'alpha/eve.dot/main' },
  { who: 'a session that ran out', session: 'alpha/dave/old', roles: ['guests'] },
  { who: 'a session of another project', session: 'Beta9/alice/main', roles: ['guests'] },
  { who: 'a session of the console', session: 'console/admin1/main', roles: ['guests'] },
];
const ROLES = [
  'guests', 'users', 'users/verified', 'users/unverified', 'user:alice', 'user:bob', 'user:dave', 'user:eve', 'user:eve.dot',
  'team:red', 'team:red/owner', 'team:red/dev', 'team:blue', 'label:vip', 'label:VIP', 'user:admin1', 'team:org1',
];

/** One event of each family for each role, as Appwrite's publisher makes them. */
function events() {
  const families = {
    documents: (id) => [`databases.D.collections.C.documents.${id}.create`, 'documents'],
    files: (id) => [`buckets.B.files.${id}.create`, 'files'],
    executions: (id) => [`functions.F.executions.${id}.update`, 'executions'],
    memberships: (id) => [`teams.red.memberships.${id}.create`, 'memberships'],
    account: (id) => [`users.${id}.update.prefs`, 'account'],
  };
  const made = [];
  for (const [family, name] of Object.entries(families)) {
    for (const role of ROLES) {
      const id = `${family}-${role}`;
      const [event, channel] = name(id);
      const channels = channel === 'account' ? ['account', `account.${role.replace('user:', '')}`] : [channel];
      made.push({ id, role, channels, event });
    }
  }
  return made;
}

function envelope({ id, role, channels, event }) {
  return {
    project: PROJECT, roles: [role], permissionsChanged: false, userId: null,
    data: { events: [event], channels, timestamp: '2026-08-21T10:15:30.123+00:00', payload: { $id: id } },
  };
}

/** What somebody with these roles hears of all the events. */
function audible(roles) {
  return events().filter(({ role }) => roles.includes(role)).map(({ id }) => id);
}

function jwt(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ typ: 'JWT', alg: 'HS256' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', credentials.encryptionKey).update(text).digest('base64url')}`;
}

for (const { dump, engine } of INSTALLATIONS) {
  describe(`beside ${dump}`, () => {
    let redis;
    let database;
    let server;
    before(async () => {
      [redis, database] = await Promise.all([Redis.start(), engine.start(dump)]);
      server = await Server.beside({
        _APP_ENV: 'development',
        _APP_OPENSSL_KEY_V1: credentials.encryptionKey,
        _APP_DB_ADAPTER: database.adapter,
        _APP_DB_HOST: '127.0.0.1',
        _APP_DB_PORT: String(database.port),
        _APP_DB_SCHEMA: database.schema,
        _APP_DB_USER: database.user,
        _APP_REDIS_HOST: '127.0.0.1',
        _APP_REDIS_PORT: String(redis.port),
        _APP_OPTIONS_ABUSE: 'disabled',
      });
    });
    after(async () => {
      await server?.stop();
      await Promise.all([redis?.stop(), database?.stop()]);
    });

    for (const major of VERSIONS) {
      test(`with SDK ${major}, everybody hears what their roles allow, and nothing else`, async () => {
        const channels = ['documents', 'files', 'executions', 'memberships', 'account'];
        const open = async (way, session) => {
          const tab = new Tab(major, { endpoint: server.facts.endpoint, project: PROJECT }, way(session));
          const token = session && credentials.sessions[session].token;
          if (token && way === fallback) tab.login(token);
          if (token && way === byJwt) {
            const [, user] = session.split('/');
            const { sessionId } = credentials.sessions[session];
            tab.client.setJWT(jwt({ userId: user, sessionId, exp: 4_000_000_000 }));
          }
          return { tab, ...(await tab.listen('client', channels)) };
        };
        const listeners = [];
        for (const person of PEOPLE) {
          const ways = person.session ? [cookie, header] : [cookie];
          if (person.session && !person.roles) ways.push(fallback);
          // Version 13 sends no JWT to realtime.
          if (person.session && !person.roles && major === 28) ways.push(byJwt);
          for (const way of ways) {
            const roles = person.roles ?? rolesOf[person.session.split('/').slice(0, 2).join('/')].roles;
            listeners.push({ what: `${person.who} by ${way.name}`, roles, ...(await open(way, person.session)) });
          }
        }
        for (const event of events()) await redis.publish(envelope(event));
        await redis.publish(envelope({ id: 'fence', role: 'any', channels: ['documents'], event: 'x.y' }));
        for (const { what, got, roles, tab } of listeners) {
          const ids = () => got.map(({ payload }) => payload.$id);
          await until(() => ids().includes('fence'), `the last event for ${what}`);
          assert.deepEqual(ids().slice(0, -1), audible(roles), what);
          tab.close();
        }
      });

      test(`with SDK ${major}, a blocked user is told so`, async () => {
        const { token } = credentials.sessions['alpha/carol/main'];
        const tab = new Tab(major, { endpoint: server.facts.endpoint, project: PROJECT }, { cookie: `a_session_alpha=${token}` });
        tab.listen('client', ['documents']).catch(() => {});
        const { code, message } = (await tab.hear('error')).data;
        assert.deepEqual({ code, message }, { code: 401, message: 'The current user has been blocked.' });
        tab.close();
      });
    }
  });
}

/** How a session is shown: headers that a browser or a server would send. */
function cookie(session) {
  return session ? { cookie: `a_session_${PROJECT}=${credentials.sessions[session].token}` } : {};
}
function header(session) {
  return { 'x-appwrite-session': credentials.sessions[session].token };
}
function fallback() {
  return {};
}
function byJwt() {
  return {};
}
