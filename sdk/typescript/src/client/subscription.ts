// The application's end of a subscription.

import { RealtimeError } from '../error.js';
import type { Gap, RealtimeEvent } from '../event.js';
import type { Channels } from '../interest.js';
import type { QueryText } from '../query.js';

/** What is done with each event. What it throws, or a promise of it rejects with, is told as an `error` state. */
export type Callback<T> = (event: RealtimeEvent<T>) => unknown;

/** What can be said of a subscription besides its channels. */
export interface SubscribeOptions {
  /** Only events whose payload passes all of these; see `Query`. */
  readonly queries?: readonly QueryText[];
  /** How many events may wait for a loop that reads them; 4,096 if nothing is said. */
  readonly buffer?: number;
}

/**
 * A subscription: a function that ends it, also called `stop`. Events go to the callback, in the order of the server and
 * each once. Without a callback they wait for a loop:
 *
 * ```ts
 * for await (const event of sdk.realtime.subscribe('documents')) console.log(event.payload);
 * ```
 *
 * Leaving the loop ends the subscription. If it is not read fast enough, further events are left out, and the next one that
 * is not says so in its `gap`; other subscriptions are not affected. The loop throws what the subscription ended with.
 */
export interface Subscription<T = unknown> extends AsyncIterable<RealtimeEvent<T>> {
  /** Ends it: nothing more comes. Doing it twice does nothing more. */
  (): void;
  /** The same. */
  stop(): void;
  /** Its name, which stays the same over reconnects. */
  readonly id: string;
  /**
   * Resolves once the server has confirmed it: what is published afterwards is delivered. Rejects with the
   * {@link RealtimeError} if it ends before. Nothing happens if nobody awaits it.
   */
  readonly ready: Promise<void>;
  /** Why it has ended, if it has. */
  readonly error: RealtimeError | undefined;
  /** Listens to something else from now on, under the same id. */
  update(channels: Channels, options?: SubscribeOptions): void;
}

/** Events that wait for a loop, unless told otherwise. */
const BUFFER = 4_096;

type Waiter = {
  resolve(result: IteratorResult<RealtimeEvent<unknown>>): void;
  reject(error: RealtimeError): void;
};

/** What the driver holds of a subscription. */
export class Reader {
  readonly ready: Promise<void>;
  error: RealtimeError | undefined;
  #callback: Callback<unknown> | undefined;
  #buffer: RealtimeEvent[] = [];
  #capacity: number;
  /** Events were left out since the last that was kept. */
  #overrun = false;
  #waiters: Waiter[] = [];
  #becomeReady: () => void = () => {};
  #neverReady: (error: RealtimeError) => void = () => {};

  constructor(callback: Callback<unknown> | undefined, capacity: number | undefined) {
    this.#callback = callback;
    this.#capacity = Math.max(1, capacity ?? BUFFER);
    this.ready = new Promise((resolve, reject) => {
      this.#becomeReady = resolve;
      this.#neverReady = reject;
    });
    // Whoever does not wait for it is told by the driver.
    this.ready.catch(() => {});
  }

  /** Takes an event in; gives back the gap if it had to be left out and the last had not, or what the callback gives. */
  take(event: RealtimeEvent): Gap | undefined | unknown {
    if (this.#callback) return this.#callback(event);
    const whole = this.#overrun ? { ...event, gap: { kind: 'overrun' } as const } : event;
    const waiter = this.#waiters.shift();
    if (waiter) {
      waiter.resolve({ done: false, value: whole });
    } else if (this.#buffer.length < this.#capacity) {
      this.#buffer.push(whole);
    } else {
      const first = !this.#overrun;
      this.#overrun = true;
      return first ? OVERRUN : undefined;
    }
    this.#overrun = false;
    return undefined;
  }

  confirmed(): void {
    this.#becomeReady();
  }

  ended(why: RealtimeError): void {
    this.error ??= why;
    this.#neverReady(this.error);
    for (const waiter of this.#waiters.splice(0)) this.#finish(waiter);
  }

  next(): Promise<IteratorResult<RealtimeEvent<unknown>>> {
    return new Promise((resolve, reject) => {
      const event = this.#buffer.shift();
      if (event) resolve({ done: false, value: event });
      else if (this.error) this.#finish({ resolve, reject });
      else this.#waiters.push({ resolve, reject });
    });
  }

  /** The application's own wish is no failure. */
  #finish({ resolve, reject }: Waiter): void {
    if (this.error && this.error.kind !== 'closed') reject(this.error);
    else resolve({ done: true, value: undefined });
  }
}

/** Told once when a buffer is full. */
export const OVERRUN: Gap = { kind: 'overrun' };

/** Puts a subscription together, for the application. */
export function subscriptionOf<T>(
  id: string,
  reader: Reader,
  stop: () => void,
  update: Subscription<T>['update'],
): Subscription<T> {
  const iterate = () => ({
    next: () => reader.next() as Promise<IteratorResult<RealtimeEvent<T>>>,
    return: () => {
      stop();
      return Promise.resolve({ done: true as const, value: undefined });
    },
  });
  const handle = Object.assign(() => stop(), {
    id,
    ready: reader.ready,
    stop,
    update,
    [Symbol.asyncIterator]: iterate,
  });
  return Object.defineProperty(handle, 'error', { get: () => reader.error }) as Subscription<T>;
}

/** The error of a subscription that the application has stopped. */
export function stoppedByApplication(): RealtimeError {
  return new RealtimeError('closed', 'the subscription was stopped');
}
