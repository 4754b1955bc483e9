// Going on where a lost connection left off: everything that this asks of the wire is here.
//
// Each item of the `subscribe` message that follows a reconnect carries the `subscriptionId` it had before and, as
// `since`, the id of the last event that this subscription has seen; of one that has seen none the server remembers where
// it began. The `response` says for each subscription whether the server sends all that was missed (`recovered`), and if
// not, why (`reason`); what was missed comes next, before anything new. A server that cannot resume says nothing; then
// nobody vouches for the time in between.
//
// Server-sent events have one position for the whole connection: `since` stands in the URL, and `connected` answers.
//
// With `gaps=1` in its URL a connection is told in a message of type `gap` when the server itself may have missed events.

import type { Gap } from './event.js';

/**
 * How many ids a subscription remembers. A server repeats only what it had sent and the client may not have taken in, so
 * this many messages may have been on their way.
 */
const REMEMBERED = 512;

/** What asks a server in the URL to tell of gaps. */
export const TELL_GAPS = '&gaps=1';

/** What a subscription has seen: where to go on, and what to drop if it comes again. */
export class Seen {
  /** The id of the last new event. */
  last: string | undefined;
  /** In the order in which they came. */
  #ids = new Set<string>();

  /** Whether an event is new. One without an id always is. */
  isNew(id: string | undefined): boolean {
    if (id === undefined) return true;
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    this.last = id;
    if (this.#ids.size > REMEMBERED) {
      for (const oldest of this.#ids) {
        this.#ids.delete(oldest);
        break;
      }
    }
    return true;
  }

  /** How many ids are remembered. */
  get size(): number {
    return this.#ids.size;
  }
}

/**
 * Reads what the server says about a subscription that was there before: nothing if all that was missed comes, or the gap.
 * What is not there or not as it should be vouches for nothing.
 */
export function gapOf(item: unknown): Gap | undefined {
  const { recovered, reason } = (item ?? {}) as { recovered?: unknown; reason?: unknown };
  if (recovered === true) return undefined;
  if (recovered !== false) return { kind: 'unvouched' };
  return { kind: 'unrecovered', reason: typeof reason === 'string' ? reason : 'the server gives no reason' };
}
