// Something that happened in the backend.

/** Something that happened in the backend. `T` is what the application knows its payload to be. */
export interface RealtimeEvent<T = unknown> {
  /** The same for everybody who gets this event; servers before Realtime have none. */
  readonly id: string | undefined;
  /** Its most specific name, such as `databases.main.tables.todos.rows.42.update`; empty if it has none. */
  readonly event: string;
  /** All its names, with ids replaced by `*` in every combination. */
  readonly events: readonly string[];
  /** The channels it is published on: not only those that were subscribed to. */
  readonly channels: readonly string[];
  /** When it happened, as ISO 8601; empty if the server does not say. */
  readonly timestamp: string;
  /** What it happened to. */
  readonly payload: T;
  /** Before this event others may have been missed. */
  readonly gap: Gap | undefined;
}

/**
 * Why events may have been missed. Fetch the present state, then go on with the events.
 *
 * - `unvouched`: the connection was lost for a while and the server does not vouch for that time: it cannot resume.
 * - `unrecovered`: it can, but not this time, or it may have missed something itself; `reason` is the server's.
 * - `overrun`: the subscription was not read fast enough, and its buffer was full.
 */
export type Gap =
  | { readonly kind: 'unvouched' }
  | { readonly kind: 'unrecovered'; readonly reason: string }
  | { readonly kind: 'overrun' };
