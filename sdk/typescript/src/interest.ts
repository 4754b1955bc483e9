// What a subscription listens to.

import type { Channel } from './channel.js';
import { RealtimeError } from './error.js';
import type { QueryText } from './query.js';

/** The longest subscription, spelled in bytes: Appwrite's server takes messages of 64,000 bytes, framing included. */
const MAX_BYTES = 60_000;

/** One channel, or any of several. */
export type Channels = string | Channel | readonly (string | Channel)[];

/** What a subscription listens to: any of the channels, and of their events those whose payload passes all queries. */
export interface Interest {
  readonly channels: readonly string[];
  readonly queries: readonly QueryText[];
  /** About how many bytes it takes in a message; never fewer than it really does. */
  readonly bytes: number;
}

/**
 * Reads what an application wants to listen to.
 *
 * @throws {RealtimeError} `interest` if there is no channel, or too much of everything.
 */
export function interest(channels: Channels, queries: readonly QueryText[] = []): Interest {
  const names = (Array.isArray(channels) ? channels : [channels]).map(String);
  if (names.length === 0) throw wrong('name at least one channel, such as documents');
  if (names.some((name) => name === '')) throw wrong('a channel has no name');
  const spelled = JSON.stringify([names, queries]);
  // A UTF-16 unit takes three bytes at most.
  const bytes = (/[^ -~]/.test(spelled) ? 3 * spelled.length : spelled.length) + 200;
  if (bytes > MAX_BYTES) throw wrong(`channels and queries together may have ${MAX_BYTES} bytes; split them`);
  return { channels: names, queries: queries.map(String), bytes };
}

function wrong(why: string): RealtimeError {
  return new RealtimeError('interest', `cannot subscribe: ${why}`);
}
