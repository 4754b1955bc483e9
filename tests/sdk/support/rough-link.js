// Events in a steady stream while the link of who listens is cut again and again.

import { setTimeout as pause } from 'node:timers/promises';

import { until } from './until.js';

export const CUTS = Number(process.env.RESUME_CUTS ?? 4);
export const EVENTS = Number(process.env.RESUME_EVENTS ?? 2_000);

const AT_ONCE = 10;
const PER_SECOND = 500;

/**
 * Publishes 500 events a second, at least EVENTS of them, until the link was cut CUTS times; gives their number.
 * The last half of the cuts waits until the client has come back, so that the stream does not end before that.
 *
 * @param {import('./server.js').Server} server
 * @param {import('./cutter.js').Cutter} cutter what the client connects through
 * @param {(number: number) => object} event the event of this number
 */
export async function publishAndCut(server, cutter, event) {
  let published = 0;
  let cuts = 0;
  const started = Date.now();
  while (published < EVENTS || cuts < CUTS) {
    await server.publish(...Array.from({ length: AT_ONCE }, (_, index) => event(published + index)));
    published += AT_ONCE;
    // A cut each time that the client is back, and has been for a moment.
    if (cuts < CUTS && cutter.open > 0 && published % 50 === 0) {
      cutter.cut();
      cuts += 1;
      const due = cutter.links + 1;
      if (cuts >= CUTS / 2) await until(() => cutter.links >= due, 'the client comes back');
    }
    await pause(Math.max(0, started + (published / PER_SECOND) * 1_000 - Date.now()));
  }
  return published;
}
