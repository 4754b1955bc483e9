// The credential that a session shows, and when it needs a fresh one.

import type { Credential } from './credential.js';

/** A token is renewed this many milliseconds before its end, or in the last quarter of a short life. */
const MARGIN = 60_000;
/** A provider is not asked more often than this, also if its tokens have ended before they are given. */
const RENEW_AT_MOST_EVERY = 5_000;
/** After refusals in a row a provider is asked more and more slowly, up to this. */
const RENEW_AT_LEAST_EVERY = 60_000;

/** The credential that a session shows. */
export class Pass {
  credential: Credential | undefined;
  /** Counts credentials, so that a connection knows whether it has shown the latest. */
  generation = 0;
  /** Whether somebody can be asked for a fresh one. */
  #provided: boolean;
  #ends: number | undefined;
  #renewAt: number | undefined;
  /** The server did not accept it. */
  #refused = false;
  /** So many in a row. */
  #refusals = 0;
  /** The application wants nobody to be shown, and nobody to be asked. */
  #guest = false;
  /** A fresh one has been asked for and is awaited until then. */
  #awaitedUntil: number | undefined;

  constructor(provided: boolean) {
    this.#provided = provided;
  }

  /** Somebody can be asked from now on. */
  isProvided(): void {
    this.#provided = true;
    this.#guest = false;
  }

  /** A new credential, or none any more. */
  hold(credential: Credential | undefined, lasts: number | undefined, now: number): void {
    this.credential = credential;
    this.generation += 1;
    this.#refused = false;
    this.#guest = credential === undefined;
    this.#awaitedUntil = undefined;
    this.#ends = lasts === undefined ? undefined : now + lasts;
    const renewIn = lasts === undefined ? undefined : lasts - Math.min(MARGIN, lasts / 4);
    this.#renewAt =
      renewIn === undefined || !this.#provided ? undefined : now + Math.max(renewIn, RENEW_AT_MOST_EVERY);
  }

  /** The provider had none. */
  failed(now: number): void {
    this.#awaitedUntil = undefined;
    this.#renewAt = this.#provided ? now + RENEW_AT_MOST_EVERY : undefined;
  }

  /** The server refused what was shown in this generation. */
  refused(generation: number | undefined, now: number): void {
    if (generation !== this.generation) return;
    this.#refused = true;
    const wait = Math.min(RENEW_AT_MOST_EVERY * 2 ** this.#refusals, RENEW_AT_LEAST_EVERY);
    this.#refusals = Math.min(this.#refusals + 1, 9);
    this.#renewAt = this.#provided && !this.#guest ? now + wait : undefined;
  }

  /** The server accepted what was shown. */
  accepted(): void {
    this.#refusals = 0;
  }

  /** Nobody waits for a fresh one any more. */
  abandon(): void {
    this.#awaitedUntil = undefined;
  }

  /** Whether to connect only after a fresh one has come. */
  isNeeded(now: number): boolean {
    const ended = this.#ends !== undefined && this.#ends <= now;
    return this.#provided && !this.#guest && (this.credential === undefined || this.#refused || ended);
  }

  /** Whether a fresh one can be had after a refusal of what was shown in this generation. */
  canBeBetterThan(generation: number | undefined): boolean {
    return (
      (this.#provided && !this.#guest) || (this.generation !== generation && this.credential !== undefined)
    );
  }

  /** Whether it is time to ask for a fresh one. */
  isDue(now: number): boolean {
    return this.#awaitedUntil === undefined && this.#renewAt !== undefined && this.#renewAt <= now;
  }

  /** A fresh one has been asked for. */
  awaitUntil(until: number): void {
    this.#awaitedUntil = until;
  }

  /** Whether a fresh one has been asked for and has not come in time. */
  isOverdue(now: number): boolean {
    return this.#awaitedUntil !== undefined && this.#awaitedUntil <= now;
  }

  isAwaited(): boolean {
    return this.#awaitedUntil !== undefined;
  }

  /** When something of this is due, on a connection or (`live` is false) without one. */
  deadline(live: boolean): number | undefined {
    return this.#awaitedUntil ?? (live ? this.#renewAt : undefined);
  }
}
