// Drops in mid-stream on a real link: each event once, in order.
//
// A short run by default; RESUME_CUTS and RESUME_EVENTS make it longer: 200 and 20000 are what is promised.

import { setTimeout as pause } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { Cutter, client, document, Server, until } from './place.js';

const CUTS = Number(process.env.RESUME_CUTS ?? 8);
const EVENTS = Number(process.env.RESUME_EVENTS ?? 2_000);
const AT_ONCE = 10;

test.each(['websocket', 'sse'] as const)(
  `${EVENTS} events and ${CUTS} cuts: each event once, in order, by %s`,
  async (transport) => {
    const server = await Server.start();
    const cutter = await Cutter.start(server.facts.endpoint);
    const sdk = client(
      { ...server.facts, endpoint: cutter.endpoint },
      { transports: [transport], longestPause: 200 },
    );
    const got: number[] = [];
    const gaps: unknown[] = [];
    let recovered = 0;
    sdk.realtime.on('gap', (state) => gaps.push(state));
    sdk.realtime.on('recovered', () => {
      recovered += 1;
    });
    await sdk.realtime.subscribe<{ n: number }>('documents', ({ payload }) => got.push(payload.n)).ready;
    let published = 0;
    const started = Date.now();
    for (let cuts = 0; cuts < CUTS; cuts += 1) {
      while (published < ((cuts + 1) * EVENTS) / CUTS) {
        const ids = Array.from({ length: AT_ONCE }, (_, index) => published + index);
        await server.publish(...ids.map((n) => document(`n${n}`, ['any'], { n })));
        published += AT_ONCE;
        // In the midst of what is on its way; what comes next is published while the client is away.
        if (published === Math.ceil(((cuts + 0.5) * EVENTS) / CUTS / AT_ONCE) * AT_ONCE) cutter.cut();
        await pause(1);
      }
      await until(
        () => recovered > cuts,
        () => `coming back from cut ${cuts}`,
      );
    }
    await until(
      () => got.length >= published,
      () => `${got.length} of ${published} events`,
    );
    const seconds = (Date.now() - started) / 1_000;
    console.log(
      `${transport}: ${published} events, ${CUTS} cuts, ${cutter.links} links, ${recovered} recoveries, ${seconds.toFixed(1)} s`,
    );
    sdk.realtime.close();
    cutter.stop();
    await server.stop();
    expect(got.find((number, index) => number !== index)).toBeUndefined();
    expect(got.length).toBe(published);
    expect(gaps).toEqual([]);
    expect(cutter.links).toBeGreaterThan(CUTS);
  },
  600_000,
);
