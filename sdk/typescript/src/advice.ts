// What to do after a connection ended.

/**
 * What to do after a connection ended:
 *
 * - `retry`: connect again after the usual pause.
 * - `later`: connect again, but leave the server more time: it is crowded, in trouble, or refuses what may be allowed later.
 * - `reauthenticate`: get a fresh credential first: the one that was shown is wrong or ran out.
 * - `stop`: do not come back: the same request is refused again.
 *
 * The client follows it by itself.
 */
export type Advice = 'retry' | 'later' | 'reauthenticate' | 'stop';

/** What a close code advises. The codes are those of the server's page "Errors and closes". */
export function adviceOf(code: number): Advice {
  switch (code) {
    // RFC 6455 §7.4.1, a policy that a retry does not change. The only code after which Appwrite's SDKs stop.
    case 1008:
      return 'stop';
    // IANA's WebSocket close codes: Unauthorized.
    case 3000:
      return 'reauthenticate';
    // Our bytes were not understood (1002, 1003, 1007, 1009), the server is in trouble (1011) or crowded (1013), or
    // forbids (3003, IANA). All of these may pass, none of them soon.
    case 1002:
    case 1003:
    case 1007:
    case 1009:
    case 1011:
    case 1013:
    case 3003:
      return 'later';
    default:
      return 'retry';
  }
}

/** The shortest window, in milliseconds, from which the pause is drawn. */
export function windowOf(advice: Advice): number {
  return advice === 'later' ? 10_000 : 0;
}
