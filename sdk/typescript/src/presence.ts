// What a user lets others know of itself, for as long as it is connected.

import { RealtimeError } from './error.js';

/** The longest presence, spelled in characters: servers take messages of 64,000 bytes. */
const MAX_LENGTH = 20_000;

/**
 * What a user lets others know of itself. Whoever may read it hears of it on the channel `presences`.
 *
 * A user has one, which keeps its first id, whichever tab or device writes it last.
 */
export interface Presence {
  /** 1 to 255 characters, such as `online`. */
  readonly status: string;
  /** Anything that JSON can say; `{}` if nothing is said. */
  readonly metadata?: unknown;
  /** Who may do what with it, as in `['read("any")']`: roles that the user holds, and `any`. The user alone if nothing is said. */
  readonly permissions?: readonly string[];
  /** The id that it is to have; the server draws one if nothing is said. */
  readonly presenceId?: string;
}

/**
 * The message that says it.
 *
 * @throws {RealtimeError} `presence` if it is too large or cannot be said in JSON.
 */
export function presenceMessage(presence: Presence): string {
  let text = '';
  try {
    text = JSON.stringify({ type: 'presence', data: presence });
  } catch (cause) {
    throw new RealtimeError('presence', 'the presence cannot be said in JSON', { cause });
  }
  if (text.length > MAX_LENGTH) {
    throw new RealtimeError(
      'presence',
      `a presence may have ${MAX_LENGTH} characters; this has ${text.length}`,
    );
  }
  return text;
}
