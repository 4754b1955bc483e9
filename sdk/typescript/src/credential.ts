// What a client shows to say who it is.

import { RealtimeError } from './error.js';

/** What a client shows to say who it is. It cannot be printed. */
export class Credential {
  /** Of an Appwrite session, or a JSON Web Token. */
  readonly kind: 'session' | 'jwt';
  readonly #token: string;

  private constructor(kind: 'session' | 'jwt', token: string) {
    this.kind = kind;
    this.#token = String(token).trim();
    if (!/^[!-~]+$/.test(this.#token)) {
      const why =
        'a token consists of visible ASCII characters; is it empty, or is there a line break in it?';
      throw new RealtimeError('credential', why);
    }
  }

  /** The token of an Appwrite session. */
  static session(token: string): Credential {
    return new Credential('session', token);
  }

  /** A JSON Web Token: from Appwrite's `account.createJWT`, or of a backend with users of its own. */
  static jwt(token: string): Credential {
    return new Credential('jwt', token);
  }

  /** The token itself. */
  token(): string {
    return this.#token;
  }

  /**
   * How many milliseconds longer it is good, if it says so (RFC 7519 §4.1.4); `unixNow` is in milliseconds. A clock that
   * goes wrong makes it no longer than the time that the issuer gave it.
   */
  lasts(unixNow: number): number | undefined {
    if (this.kind !== 'jwt') return undefined;
    const claims = claimsOf(this.#token);
    const { exp, iat } = claims;
    if (typeof exp !== 'number') return undefined;
    const left = exp - unixNow / 1000;
    const issuedFor = typeof iat === 'number' ? exp - iat : left;
    return Math.max(0, Math.min(left, issuedFor)) * 1000;
  }
}

function claimsOf(token: string): { exp?: unknown; iat?: unknown } {
  try {
    const claims = token.split('.')[1] ?? '';
    const read: unknown = JSON.parse(atob(claims.replace(/-/g, '+').replace(/_/g, '/').replace(/=+$/, '')));
    return typeof read === 'object' && read !== null ? read : {};
  } catch {
    return {};
  }
}
