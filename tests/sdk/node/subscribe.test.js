// `client.subscribe`, which every version has: URL channels in old ones, messages in new ones.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { forgetSession, installBrowserGlobals, rememberSession } from "../support/browser-globals.js";
import { Inbox } from "../support/inbox.js";
import { notes, untilListening } from "../support/probe.js";
import { startServer } from "../support/server.js";

installBrowserGlobals();

const versions = [10, 13, 16, 18, 21, 27, 28];
const document = (note, permissions) => ({
  event: `databases.main.collections.posts.documents.${note}.create`,
  payload: { $id: note, note },
  permissions,
});

for (const version of versions) {
  describe(`appwrite ${version}, client.subscribe`, () => {
    let server;
    let sdk;
    before(async () => {
      sdk = await import(`appwrite-${version}`);
      server = await startServer();
    });
    after(() => server.stop());

    const connect = () => new sdk.Client().setEndpoint(server.endpoint).setProject(server.project);

    test("a guest receives what anybody may read and nothing else", async () => {
      forgetSession();
      const inbox = new Inbox();
      const stop = connect().subscribe(["documents"], inbox.push);
      await untilListening(server, inbox);
      await server.publish(document("alices", ['read("user:alice")']));
      await server.publish(document("users", ['read("users")']));
      await server.publish(document("everybodys", ['read("any")']));
      const event = await inbox.untilNote("everybodys");
      assert.deepEqual(notes(inbox), ["everybodys"]);
      assert.ok(event.events.includes("databases.main.collections.posts.documents.everybodys.create"));
      assert.ok(event.channels.includes("documents"));
      assert.equal(typeof event.timestamp, "string");
      stop();
    });

    test("a user receives what it may read and not what another user may", async () => {
      rememberSession(server.project, server.user.session);
      const inbox = new Inbox();
      const stop = connect().subscribe(["documents", "account", "files"], inbox.push);
      await untilListening(server, inbox, { role: "user:alice" });
      await server.publish(document("bobs", ['read("user:bob")']));
      await server.publish(document("alices", ['read("user:alice")']));
      await server.publish({
        event: "users.bob.update",
        payload: { $id: "bob", note: "bobs account" },
      });
      await server.publish({ event: "users.alice.update.name", payload: { $id: "alice", note: "account" } });
      await server.publish({
        event: "buckets.photos.files.f1.create",
        payload: { $id: "f1", bucketId: "photos", note: "file" },
        permissions: ['read("users")'],
      });
      await inbox.untilNote("file");
      assert.deepEqual(notes(inbox), ["alices", "account", "file"]);
      stop();
      forgetSession();
    });

    test("a single document's channel is deaf to other documents", async () => {
      forgetSession();
      const inbox = new Inbox();
      const channel = "databases.main.collections.posts.documents.one";
      const stop = connect().subscribe(channel, inbox.push);
      await untilListening(server, inbox, { channel });
      await server.publish(document("two", ['read("any")']));
      await server.publish(document("one", ['read("any")']));
      await inbox.untilNote("one");
      assert.deepEqual(notes(inbox), ["one"]);
      stop();
    });

    test("a subscription that was stopped receives nothing more while its sibling does", async () => {
      forgetSession();
      const client = connect();
      const [first, second] = [new Inbox(), new Inbox()];
      const stopFirst = client.subscribe("documents", first.push);
      const stopSecond = client.subscribe("files", second.push);
      await untilListening(server, first);
      await untilListening(server, second, { channel: "files" });
      stopFirst();
      first.messages.length = 0;
      // Old versions connect anew to change their channels and miss what is published meanwhile, so it is repeated.
      for (let attempt = 0; attempt < 100 && !notes(second).includes("fence"); attempt += 1) {
        await server.publish([
          document("late", ['read("any")']),
          { channels: ["files"], roles: ["any"], events: ["x.y"], payload: { note: "fence" } },
        ]);
        await second.until((message) => message.payload.note === "fence", "fence", 100).catch(() => {});
      }
      assert.ok(notes(second).includes("fence"));
      assert.deepEqual(notes(first), []);
      stopSecond();
    });
  });
}
