// What a session wants done.

import type { RealtimeError } from './error.js';
import type { RealtimeEvent } from './event.js';
import type { Request } from './request.js';
import type { State } from './state.js';

/** What a session wants done, in this order. */
export type Effect =
  /** Open a connection; then say `opened`, or `failed`. There is none at the moment. */
  | { readonly do: 'connect'; readonly request: Request }
  /** End the connection or the attempt at one with `GOODBYE` or `RETURNS`, and report nothing more of it. */
  | { readonly do: 'disconnect'; readonly code: number }
  /** Send a text message. */
  | { readonly do: 'send'; readonly text: string }
  /** Get a fresh credential; then say `authenticate`, or `notProvided`. */
  | { readonly do: 'provide' }
  /** Hand an event to a subscription. */
  | { readonly do: 'deliver'; readonly subscription: string; readonly event: RealtimeEvent }
  /** The server has confirmed a subscription, on this connection. */
  | { readonly do: 'ready'; readonly subscription: string }
  /** A subscription is over; nothing more comes for it. */
  | { readonly do: 'end'; readonly subscription: string; readonly why: RealtimeError }
  /** Tell the application. */
  | { readonly do: 'tell'; readonly state: State };
