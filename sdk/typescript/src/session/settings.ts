// What a session is told once.

import type { Endpoint } from '../endpoint.js';
import type { Transport } from '../state.js';

/** What a session is told once. Times are in milliseconds. */
export interface Settings {
  /** Where the server is. */
  readonly endpoint: Endpoint;
  /** The project to listen to. */
  readonly project: string;
  /** Whether `provide` can be carried out. */
  readonly providesCredentials: boolean;
  /** Ways to connect, the preferred one first. */
  readonly transports: readonly Transport[];
  /** Subscriptions are told in the URL from the beginning, instead of when the server turns out to need that. */
  readonly inUrl: boolean;
  /** A ping goes out this often. 20 s, as with Appwrite's SDKs. */
  readonly pingEvery: number;
  /** How long the server may take to answer. 15 s. */
  readonly patience: number;
  /** The first pause is no longer than this; each further one twice that. 500 ms. */
  readonly firstPause: number;
  /** No pause is longer than this, unless the server asks for it. 30 s. */
  readonly longestPause: number;
  /** A connection is kept this long when nobody listens any more. 5 s. */
  readonly linger: number;
}

/** The usual ones. */
export function usual(endpoint: Endpoint, project: string): Settings {
  return {
    endpoint,
    project,
    providesCredentials: false,
    transports: ['websocket', 'sse'],
    inUrl: false,
    pingEvery: 20_000,
    patience: 15_000,
    firstPause: 500,
    longestPause: 30_000,
    linger: 5_000,
  };
}
