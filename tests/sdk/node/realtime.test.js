// The `Realtime` service of newer versions: one connection, subscriptions by message, queries.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { forgetSession, installBrowserGlobals, rememberSession } from "../support/browser-globals.js";
import { Inbox } from "../support/inbox.js";
import { notes, untilListening } from "../support/probe.js";
import { startServer } from "../support/server.js";

installBrowserGlobals();

const event = (note, role = "any", more = {}) => ({
  channels: ["documents"],
  roles: [role],
  events: ["notes.note.create"],
  payload: { note, ...more },
});

for (const version of [21, 27, 28]) {
  describe(`appwrite ${version}, Realtime`, () => {
    let server;
    let sdk;
    before(async () => {
      sdk = await import(`appwrite-${version}`);
      server = await startServer();
    });
    after(() => server.stop());

    const connect = () => {
      const client = new sdk.Client().setEndpoint(server.endpoint).setProject(server.project);
      return new sdk.Realtime(client);
    };
    const leave = (subscription) => (subscription.unsubscribe ?? subscription.close).call(subscription);

    test("a user receives its own events in order and nobody else's", async () => {
      rememberSession(server.project, server.user.session);
      const inbox = new Inbox();
      const subscription = await connect().subscribe(["documents"], inbox.push);
      await untilListening(server, inbox, { role: "user:alice" });
      await server.publish([event("bobs", "user:bob"), event("1", "user:alice"), event("2"), event("3", "users")]);
      await inbox.untilNote("3");
      assert.deepEqual(notes(inbox), ["1", "2", "3"]);
      await leave(subscription);
      forgetSession();
    });

    test("a guest does not receive what users may read", async () => {
      forgetSession();
      const inbox = new Inbox();
      const subscription = await connect().subscribe("documents", inbox.push);
      await untilListening(server, inbox);
      await server.publish([event("users", "users"), event("all")]);
      await inbox.untilNote("all");
      assert.deepEqual(notes(inbox), ["all"]);
      await leave(subscription);
    });

    if (version >= 27) {
      test("queries decide what comes", async () => {
        forgetSession();
        const inbox = new Inbox();
        const queries = [sdk.Query.equal("color", ["red", "probe"])];
        const subscription = await connect().subscribe(["documents"], inbox.push, queries);
        for (let tries = 0; tries < 100 && inbox.messages.length === 0; tries += 1) {
          await server.publish(event(`probe-${tries}`, "any", { color: "probe" }));
          await inbox.until(() => true, "probe", 100).catch(() => {});
        }
        await server.publish([event("blue one", "any", { color: "blue" }), event("red one", "any", { color: "red" })]);
        await inbox.untilNote("red one");
        assert.deepEqual(notes(inbox), ["red one"]);
        await leave(subscription);
      });
    }

    // Version 21 gives up for good when its first attempt finds nobody.
    if (version >= 27) {
      test("it comes back by itself after the server was restarted", async () => {
        forgetSession();
        const inbox = new Inbox();
        const subscription = await connect().subscribe(["documents"], inbox.push);
        await untilListening(server, inbox);
        const listen = new URL(server.endpoint).host;
        await server.stop({ keep: true });
        server = await startServer({ dataDir: server.folder, listen });
        inbox.messages.length = 0;
        await untilListening(server, inbox);
        await server.publish(event("after"));
        await inbox.untilNote("after");
        assert.deepEqual(notes(inbox), ["after"]);
        await leave(subscription);
      });
    }
  });
}

describe("a JSON Web Token in the URL", () => {
  test("makes the connection its user's", async () => {
    const server = await startServer();
    const { default: WebSocket } = await import("ws");
    const base = server.endpoint.replace("http", "ws");
    const url = `${base}/realtime?project=${server.project}&jwt=${server.user.jwt}&channels[]=account`;
    const socket = new WebSocket(url);
    const connected = await new Promise((resolve, reject) => {
      socket.once("message", (text) => resolve(JSON.parse(text)));
      socket.once("error", reject);
    });
    assert.equal(connected.type, "connected");
    assert.equal(connected.data.user.$id, "alice");
    assert.deepEqual(connected.data.channels, ["account", "account.alice"]);
    socket.close();
    await server.stop();
  });
});
