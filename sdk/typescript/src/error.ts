// What an application is told when something cannot be done.

import type { Close } from './close.js';

/**
 * What sort of error it is:
 *
 * - `settings`: the hostname or the project is missing or cannot be one.
 * - `interest`: what should be listened to cannot be.
 * - `presence`: what others should know of the user cannot be said.
 * - `credential`: a token has characters that no token has.
 * - `transport`: there is no WebSocket in this environment and no other way to connect.
 * - `refused`: the server refuses this subscription, or the presence; others are not affected. `code` is that of its `error`
 *   message.
 * - `stopped`: the server closed the connection and coming back is of no use, or not before a new credential is given.
 *   `code` is the close code.
 * - `closed`: the application closed the client or stopped the subscription.
 * - `unauthenticated`: the server did not accept a credential that was given while connected.
 * - `provider`: the token provider had none.
 * - `unreadable`: the server said something that makes no sense; it is ignored.
 * - `callback`: a callback of the application threw; `cause` is what it threw.
 */
export type ErrorKind =
  | 'settings'
  | 'interest'
  | 'presence'
  | 'credential'
  | 'transport'
  | 'refused'
  | 'stopped'
  | 'closed'
  | 'unauthenticated'
  | 'provider'
  | 'unreadable'
  | 'callback';

/** Every error of this library. Its message says what to do. */
export class RealtimeError extends Error {
  override readonly name = 'RealtimeError';
  /** What sort of error it is. */
  readonly kind: ErrorKind;
  /** The code of the server's `error` message or Close frame, if the server is where it comes from. */
  readonly code: number | undefined;

  constructor(kind: ErrorKind, message: string, options: { code?: number; cause?: unknown } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.kind = kind;
    this.code = options.code;
  }
}

/** The server does not want to see this client again. */
export function stopped({ code, reason }: Close): RealtimeError {
  return new RealtimeError('stopped', `the server refuses: ${reason || 'it gives no reason'} (${code})`, {
    code,
  });
}
