// How fast a session may talk.

/**
 * Messages that may be sent at once. With one more each {@link REFILL} and a ping each 20 s that is at most 30 in any
 * minute: Appwrite's server takes 32 from a connection, pings counted.
 */
const BURST = 12;
/** How many milliseconds it takes to earn one message more. */
const REFILL = 4_000;

/** A bucket of messages that may be sent. */
export class Pace {
  #left = BURST;
  #refilled: number;

  constructor(now: number) {
    this.#refilled = now;
  }

  /** Takes one message out, if there is one. */
  take(now: number): boolean {
    this.#refill(now);
    if (this.#left === 0) return false;
    this.#left -= 1;
    return true;
  }

  /** The server says that it was too much. */
  pause(until: number): void {
    this.#left = 0;
    this.#refilled = until;
  }

  /** When the next message may be sent. */
  next(): number {
    return this.#left > 0 ? this.#refilled : this.#refilled + REFILL;
  }

  #refill(now: number): void {
    const earned = Math.max(0, Math.floor((now - this.#refilled) / REFILL));
    if (this.#left + earned >= BURST) {
      this.#left = BURST;
      this.#refilled = Math.max(this.#refilled, now);
    } else {
      this.#left += earned;
      this.#refilled += REFILL * earned;
    }
  }
}
