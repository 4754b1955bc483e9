// The request that opens a connection.

import type { Credential } from './credential.js';
import { encoded } from './endpoint.js';
import type { Interest } from './interest.js';
import type { Transport } from './state.js';

/** The request that opens a connection. */
export interface Request {
  readonly transport: Transport;
  /** `ws:`, `wss:`, or for server-sent events `http:`, `https:`. */
  readonly url: string;
  /** What to show in a header with server-sent events; browsers send none with a WebSocket. */
  readonly credential: Credential | undefined;
}

/**
 * Names subscriptions in the URL, each in a slot of its own, for servers that take no `subscribe` messages. A slot's
 * queries stand with each of its channels, since the server keeps those that come first.
 */
export function slotsOf(interests: Iterable<Interest>): string {
  const everything = JSON.stringify({ method: 'select', values: ['*'] });
  const named = new Set<string>();
  let url = '';
  let slot = 0;
  for (const { channels, queries } of interests) {
    for (const channel of channels) {
      if (!named.has(channel)) {
        named.add(channel);
        url += `&channels[]=${encoded(channel)}`;
      }
      // Its slots would hide the project's id.
      if (channel === 'project') continue;
      for (const query of queries.length > 0 ? queries : [everything]) {
        url += `&${encoded(channel.replace(/\./g, '_'))}[${slot}][]=${encoded(query)}`;
      }
    }
    slot += 1;
  }
  return url;
}
