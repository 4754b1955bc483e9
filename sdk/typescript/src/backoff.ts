// How long to wait before connecting again.

import { type Random, upTo } from './random.js';

/**
 * Pauses in milliseconds whose upper bound doubles each time, drawn evenly from zero up to it ("full jitter"): clients
 * that lost the same server come back spread out.
 */
export class Backoff {
  /** How often it has failed in a row. */
  failures = 0;
  #first: number;
  #longest: number;
  #random: Random;

  constructor(first: number, longest: number, random: Random) {
    this.#first = first;
    this.#longest = longest;
    this.#random = random;
  }

  /** The next pause, drawn from a window no shorter than `atLeast`. */
  next(atLeast: number): number {
    const doubled = this.#first * 2 ** Math.min(this.failures, 30);
    this.failures += 1;
    return upTo(this.#random, Math.min(Math.max(doubled, atLeast), Math.max(this.#longest, atLeast)));
  }

  /** Connecting has succeeded for a while. */
  reset(): void {
    this.failures = 0;
  }
}
