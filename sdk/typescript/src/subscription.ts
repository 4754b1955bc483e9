// A subscription as a session keeps it.

import type { Gap } from './event.js';
import type { Interest } from './interest.js';
import { Seen } from './resume.js';

/** A subscription as a session keeps it. */
export class Subscription {
  interest: Interest;
  /** Whether the server has ever confirmed it: then a new connection resumes it. */
  established = false;
  readonly seen = new Seen();
  /** To be told with its next event. */
  gap: Gap | undefined;

  constructor(interest: Interest) {
    this.interest = interest;
  }

  /** Its item in a `subscribe` message. */
  item(id: string, resumes: boolean): object {
    const { channels, queries } = this.interest;
    const since = resumes ? this.seen.last : undefined;
    return { subscriptionId: id, channels, queries, ...(since === undefined ? {} : { since }) };
  }
}
