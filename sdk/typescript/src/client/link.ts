// One connection as a client's driver sees it, whatever it goes over.

import type { Close } from '../close.js';

/** The longest message that is taken in, in UTF-16 units: 16 Mi. */
export const MAX_MESSAGE = 16 * 1024 * 1024;
/** Characters of an answer that is not what was asked for, to tell what it is. */
export const EXCERPT = 60;

/** One end of a connection. */
export interface Link {
  /** What is sent on a connection that is over is lost. */
  send(text: string): void;
  /** Ends the connection, or the attempt at one, with a close code. Nothing more is heard of it. */
  end(code: number): void;
}

/** What comes from a link, until `failed` or `closed`, which come last. */
export interface Heard {
  opened(): void;
  /** There is no connection; `after` is how many milliseconds the server asks to leave it alone. */
  failed(why: string, after: number): void;
  text(text: string): void;
  /** A sign of life. */
  alive(): void;
  closed(close: Close): void;
}
