// How a connection ended, and what the code says about coming back.

/** What a client ends its connection with for good (RFC 6455 §7.4.1): the server forgets where its subscriptions stand. */
export const GOODBYE = 1000;
/** What a client ends a connection with that another follows (RFC 6455 §7.4.2, for private use): the server remembers. */
export const RETURNS = 4000;
/** RFC 6455 §7.4.1: the Close frame named no code. */
export const NO_CODE = 1005;
/** RFC 6455 §7.4.1: the connection ended without a Close frame. */
export const NO_FRAME = 1006;

/** How a connection ended. */
export interface Close {
  /** The code of the Close frame; 1005 if it had none, 1006 if there was no Close frame. */
  readonly code: number;
  /** In words: the server's, or what went wrong on the way. */
  readonly reason: string;
}

/** An end without a Close frame: the network, a proxy, or a server that just hung up. */
export function lost(reason: string): Close {
  return { code: NO_FRAME, reason };
}

/**
 * Whether the end itself says nothing, so that the server's last words have to do. Appwrite's own server never sends a
 * Close frame: it says what is wrong in an `error` message and hangs up.
 */
export function saysNothing({ code }: Close): boolean {
  return code === NO_CODE || code === NO_FRAME;
}

/** The close code that belongs to the code of an `error` message, for servers that hang up without a Close frame. */
export function closeCodeOf(error: number): number {
  switch (error) {
    case 401:
      return 3000;
    case 403:
      return 3003;
    case 503:
      return 1013;
    case 1008:
    case 1012:
    case 1013:
      return error;
    default:
      return 1011;
  }
}
