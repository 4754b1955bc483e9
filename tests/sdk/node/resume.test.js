// The official SDK, unmodified, on a link that is cut in mid-stream: the application gets every event.
//
// A short run by default; RESUME_CUTS and RESUME_EVENTS make it longer (200 and 20000: about 6 minutes, for the SDK waits a
// second or more before it connects again).

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Cutter } from '../support/cutter.js';
import { document } from '../support/event.js';
import { CUTS, publishAndCut } from '../support/rough-link.js';
import { Server } from '../support/server.js';
import { Tab } from '../support/tab.js';
import { until } from '../support/until.js';

// Older versions name their channels in the URL: they are known again by what they ask for, if the server is told to, and
// get all since they were first cut off, which the log has to hold.
const URLS = {
  args: ['--resume-url-window', '20s', '--resume-events', '100000', '--resume-bytes', '200000000'],
  login: true,
};

for (const [major, ways, { args = [], login = false }] of [
  [10, ['client'], URLS],
  [16, ['client'], URLS],
  // The service of 21 gives up when a first attempt to come back fails, whatever the server does.
  [21, ['client'], URLS],
  [27, ['client', 'service'], {}],
  [28, ['client', 'service'], {}],
]) {
  for (const way of ways) {
    test(`appwrite ${major}, ${way}: nothing is lost on a link that is cut ${CUTS} times`, async (t) => {
      const server = await Server.start(args);
      const cutter = await Cutter.start(server.facts.endpoint);
      const tab = new Tab(major, { ...server.facts, endpoint: cutter.endpoint });
      if (login) tab.login(server.facts.user.session);
      try {
        const { got } = await tab.listen(way, ['documents']);
        const published = await publishAndCut(server, cutter, (number) => document(`n${number}`, ['any']));
        const ids = () => new Set(got.map(({ payload }) => payload.$id));
        await until(() => ids().size >= published, () => `${ids().size} of ${published} events`);
        const expected = new Set(Array.from({ length: published }, (_, index) => `n${index}`));
        assert.deepEqual(ids(), expected);
        t.diagnostic(`${published} events, ${CUTS} cuts, ${cutter.links} links, ${got.length - published} events twice`);
      } finally {
        tab.close();
        cutter.stop();
        await server.stop();
      }
    });
  }
}
