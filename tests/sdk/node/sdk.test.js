// Every supported major version of the official web SDK, unmodified: gets what it may read, and nothing else.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { account, document, file } from '../support/event.js';
import { Server } from '../support/server.js';
import { Tab } from '../support/tab.js';
import { until } from '../support/until.js';

/** What a version can do. Channels go in the URL up to 21, in messages from 27 on. */
const VERSIONS = [
  { major: 10, ways: ['client'], dialect: 'url' },
  { major: 13, ways: ['client'], dialect: 'url' },
  { major: 16, ways: ['client'], dialect: 'url', heartbeat: true },
  { major: 18, ways: ['client'], dialect: 'url', heartbeat: true },
  { major: 21, ways: ['client', 'service'], dialect: 'url', heartbeat: true },
  { major: 27, ways: ['client', 'service'], dialect: 'message', heartbeat: true },
  { major: 28, ways: ['client', 'service'], dialect: 'message', heartbeat: true },
];

const POST = 'databases.main.collections.posts.documents.p1';

for (const version of VERSIONS) {
  for (const way of version.ways) {
    describe(`appwrite ${version.major}, ${way === 'client' ? 'client.subscribe' : 'Realtime service'}`, () => {
      checks(version, way);
    });
  }
}

function checks({ major, dialect, heartbeat }, way) {
  /** @type {Server} */
  let server;
  const tabs = [];
  const open = () => {
    const tab = new Tab(major, server.facts);
    tabs.push(tab);
    return tab;
  };

  before(async () => {
    server = await Server.start();
  });
  afterEach(() => tabs.splice(0).forEach((tab) => tab.close()));
  after(() => server?.stop());

  /**
   * Publishes first what must not arrive, then what must: once the latter is there, the former would have been, since
   * events keep their order.
   */
  async function publishAndCompare(got, withheld, delivered) {
    const from = got.length;
    await server.publish(...withheld, ...delivered);
    await until(() => got.length >= from + delivered.length, `${delivered.length} events`);
    assert.deepEqual(
      got.slice(from).map(({ events, payload }) => ({ events, payload })),
      delivered.map(({ events, payload }) => ({ events, payload })),
    );
  }

  test('a guest gets what anybody may read, and nothing else', async () => {
    const { got } = await open().listen(way, ['documents']);
    await publishAndCompare(
      got,
      [document('p1', ['users']), document('p2', ['user:demo', 'team:staff'])],
      [document('p3', ['any'], { title: 'öffentlich' }), document('p4', ['guests'])],
    );
    const [event] = got;
    assert.deepEqual(event.channels, document('p3', []).channels);
    assert.equal(typeof event.timestamp, 'string');
  });

  test('a user who is logged in gets their own events on every channel, and nobody else\'s', async () => {
    const { user } = server.facts;
    const own = [`user:${user.id}`];
    const channels = ['documents', 'account', 'files', POST];
    const tab = open().login(user.session);
    const { got } = await tab.listen(way, channels);
    await tab.hear('response', 0, ({ to, success }) => to === 'authentication' && success);
    await publishAndCompare(
      got,
      [account('somebody-else'), document('p1', ['user:somebody-else']), file('f1', ['guests'])],
      [account(user.id, { name: 'Ada' }), file('f2', own), document('p1', own)],
    );
  });

  test('two users at once each get their own', async () => {
    const [bob, eve] = [await server.login('bob'), await server.login('eve')];
    const ofBob = await open().login(bob.session).listen(way, ['account']);
    const ofEve = await open().login(eve.session).listen(way, ['account']);
    await server.publish(account('bob', { n: 1 }), account('eve', { n: 2 }), account('bob', { n: 3 }));
    await until(() => ofBob.got.length >= 2 && ofEve.got.length >= 1, 'the events of both');
    // A last round: whatever went astray in the first has arrived by its end.
    await server.publish(account('bob', { n: 4 }), account('eve', { n: 5 }));
    await until(() => ofBob.got.length >= 3 && ofEve.got.length >= 2, 'the last events of both');
    assert.deepEqual(ofBob.got.map(({ payload }) => payload.n), [1, 3, 4]);
    assert.deepEqual(ofEve.got.map(({ payload }) => payload.n), [2, 5]);
  });

  test('a session that is not valid leaves a guest', async () => {
    const forged = Buffer.from(JSON.stringify({ id: server.facts.user.id, secret: 'guess' })).toString('base64');
    const tab = open().forge(forged);
    const { got } = await tab.listen(way, ['account', 'documents']);
    await tab.hear('error', 0, ({ code, message }) => code === 1003 && message === 'Session is not valid.');
    await publishAndCompare(got, [account(server.facts.user.id)], [document('p1', ['any'])]);
  });

  test('events derived from a system event reach who may read the document', async () => {
    const { user } = server.facts;
    const { got } = await open().login(user.session).listen(way, [POST]);
    const derived = (id, role) => ({
      event: `databases.main.collections.posts.documents.${id}.update`,
      payload: { $id: id, $collectionId: 'posts', $databaseId: 'main', $permissions: [`read("${role}")`] },
    });
    await server.publish(derived('p1', 'user:somebody-else'), derived('p2', 'any'), derived('p1', `user:${user.id}`));
    const [event] = await until(() => got.length && got, 'the event');
    assert.deepEqual(event.payload.$permissions, [`read("user:${user.id}")`]);
    assert.ok(event.channels.includes(POST) && event.channels.includes('documents'));
    assert.ok(event.events.includes('databases.*.collections.*.documents.*.update'));
    assert.equal(got.length, 1);
  });

  test('after unsubscribing, nothing comes for that subscription, and the others go on', async () => {
    const tab = open();
    const documents = await tab.listen(way, ['documents']);
    const files = await tab.listen(way, ['files']);
    const from = tab.heard.length;
    await documents.stop();
    if (dialect === 'url') {
      // These versions come back with a URL that names the channels left.
      await tab.hear('connected', from, ({ channels }) => channels.length === 1 && channels[0] === 'files');
    } else if (way === 'service') {
      await tab.hear('response', from, ({ to, subscriptions }) => to === 'unsubscribe' && subscriptions[0].removed);
    }
    await publishAndCompare(files.got, [document('p1', ['any'])], [file('f1', ['any'])]);
    assert.deepEqual(documents.got, []);
  });

  test('after the server restarts, the SDK connects again and gets events again', async () => {
    const { user } = server.facts;
    const tab = open().login(user.session);
    const { got } = await tab.listen(way, ['account']);
    const from = tab.heard.length;
    await server.restart();
    await tab.hear('connected', from);
    await tab.hear('response', from, ({ to, success }) => to === 'authentication' && success);
    if (dialect === 'message') await tab.hear('response', from, ({ to }) => to === 'subscribe');
    await publishAndCompare(got, [account('somebody-else')], [account(user.id, { again: true })]);
  });

  if (heartbeat) {
    test('the heartbeat is answered', async () => {
      const tab = open();
      await tab.listen(way, ['documents']);
      assert.equal(tab.beat(), 1);
      assert.deepEqual(await tab.hear('pong'), { type: 'pong' });
    });
  }

  if (dialect === 'message') {
    test('a JWT in the URL identifies the user before the first message', async () => {
      const { user } = server.facts;
      const tab = open();
      tab.client.setJWT(user.jwt);
      const { got } = await tab.listen(way, ['account']);
      const { data } = await tab.hear('connected');
      assert.equal(data.user.$id, user.id);
      await publishAndCompare(got, [account('somebody-else')], [account(user.id)]);
    });

    test('queries filter the payload', async () => {
      const tab = open();
      const { Query } = tab.sdk;
      const { got } = await tab.listen(way, ['documents'], [Query.equal('status', ['open', 'new'])]);
      await publishAndCompare(
        got,
        [document('p1', ['any'], { status: 'closed' }), document('p2', ['any'])],
        [document('p3', ['any'], { status: 'open' }), document('p4', ['any'], { status: 'new' })],
      );
    });
  }

  if (dialect === 'message' && way === 'service') {
    test('an update replaces channels and queries', async () => {
      const tab = open();
      const { Query } = tab.sdk;
      const subscription = await tab.listen(way, ['documents']);
      let from = tab.heard.length;
      await subscription.update({ channels: ['files'] });
      await tab.hear('response', from, ({ to }) => to === 'subscribe');
      await publishAndCompare(subscription.got, [document('p1', ['any'])], [file('f1', ['any'])]);
      from = tab.heard.length;
      await subscription.update({ queries: [Query.equal('$id', ['f2'])] });
      await tab.hear('response', from, ({ to }) => to === 'subscribe');
      await publishAndCompare(subscription.got, [file('f1', ['any'])], [file('f2', ['any'])]);
    });
  }
}
