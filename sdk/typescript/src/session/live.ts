// A connection that is open, and what is still to be said on it.

import { type Random, upTo } from '../random.js';
import type { Transport } from '../state.js';
import type { Subscription } from '../subscription.js';

/** What was asked, and how long the answer may take. */
export interface Asked {
  /** The type of the message, which the answer names. */
  readonly type: 'authentication' | 'subscribe' | 'unsubscribe' | 'presence';
  /** The subscriptions that it is about. */
  readonly ids: string[];
  readonly until: number;
}

/** A connection that is open. */
export class Live {
  readonly since: number;
  readonly transport: Transport;
  /** What was asked last and is not answered. */
  asked: Asked | undefined;
  /** The server has answered a `subscribe` message. */
  subscribed = false;
  /** The presence is to be told to the server. */
  announces = false;
  /** The server has been told of a presence, which ends with this connection. */
  announced = false;
  /** Subscriptions to be told to the server. */
  readonly waiting = new Set<string>();
  /** Those that are told together, apart from others: among them is one that the server refuses. */
  readonly batches: string[][] = [];
  /** Subscriptions that the server was told of. */
  readonly told = new Set<string>();
  /** Subscriptions that the server is to forget. */
  readonly removed = new Set<string>();
  /** Subscriptions from before this connection that the server has not confirmed yet. */
  readonly resuming = new Set<string>();
  /** Confirmed subscriptions of somebody who still has to say who it is. */
  readonly held = new Set<string>();
  /** The server's names of subscriptions that were made in the URL. */
  readonly names = new Map<string, string>();
  /** When to connect anew because the URL has changed. */
  remakeAt: number | undefined;
  /** When to hang up because nobody listens. */
  idleUntil: number | undefined;
  #pingAt: number;
  /** When an answer to a ping, or any other sign of life, is overdue. */
  #silentAt: number | undefined;

  /** Clients that connect at the same time ping at different times. */
  constructor(transport: Transport, now: number, pingEvery: number, random: Random) {
    this.transport = transport;
    this.since = now;
    this.#pingAt = now + pingEvery / 2 + upTo(random, pingEvery / 2);
  }

  /** When something of this is due. */
  deadline(): number {
    const others = [this.#silentAt, this.asked?.until, this.remakeAt, this.idleUntil];
    return Math.min(this.#pingAt, ...others.filter((at) => at !== undefined));
  }

  add(id: string): void {
    this.waiting.add(id);
    this.idleUntil = undefined;
  }

  remove(id: string): void {
    this.waiting.delete(id);
    this.resuming.delete(id);
    this.held.delete(id);
    if (this.told.delete(id)) this.removed.add(id);
  }

  /** The server said something. */
  heard(): void {
    this.#silentAt = undefined;
  }

  isSilent(now: number): boolean {
    return this.#silentAt !== undefined && this.#silentAt <= now;
  }

  isIdle(now: number): boolean {
    return this.idleUntil !== undefined && this.idleUntil <= now;
  }

  pingNow(now: number): void {
    this.#pingAt = now;
  }

  pingIfDue(now: number, every: number, patience: number): boolean {
    if (this.#pingAt > now) return false;
    this.#pingAt = now + every;
    this.#silentAt ??= now + patience;
    return true;
  }

  hasChanges(): boolean {
    return this.waiting.size > 0 || this.batches.length > 0 || this.removed.size > 0;
  }

  takeRemoved(most: number): string[] {
    const taken = [...this.removed].slice(0, most);
    for (const id of taken) this.removed.delete(id);
    return taken;
  }

  /** Subscriptions for the next message: at least one, and no more than fit. */
  takeBatch(subscriptions: Map<string, Subscription>, most: number, bytes: number): string[] {
    for (let batch = this.batches.shift(); batch !== undefined; batch = this.batches.shift()) {
      const left = batch.filter((id) => subscriptions.has(id) && !this.waiting.has(id));
      if (left.length > 0) return left;
    }
    let left = bytes;
    const taken: string[] = [];
    for (const id of this.waiting) {
      const size = subscriptions.get(id)?.interest.bytes ?? 0;
      if (taken.length >= most || (size > left && taken.length > 0)) break;
      left -= size;
      this.waiting.delete(id);
      this.told.add(id);
      taken.push(id);
    }
    return taken;
  }
}
