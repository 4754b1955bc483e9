// A client of a transcript, played by a session. It says of the transcript's messages what it would say itself.

import { expect } from 'vitest';

import { type Interest, interest } from '../../src/interest.js';
import { Endpoint, Session, usual } from '../../src/session.js';
import { dice } from '../random.js';
import type { Json } from './script.js';

export class Listener {
  #now = 0;
  #session: Session;
  /** What the transcript calls a subscription. */
  #names = new Map<string, string>();
  /** Subscriptions of the last `subscribe` message, in its order. */
  #asked: string[] = [];
  #connected = false;
  #sent: Json[] = [];
  #delivered: string[] = [];

  /** Connects. A session names no channels in its URL, so those of the transcript are others' to it. */
  constructor() {
    // Time is not what this is about.
    const settings = { ...usual(new Endpoint('ws://host'), 'P'), patience: 1e9, pingEvery: 1e9 };
    this.#session = new Session(settings, dice(7), this.#now);
    this.#asked = [this.#session.subscribe(interest('its own'), this.#now)];
    this.#carryOut();
    this.#session.opened(this.#now);
  }

  /** The transcript's client says something: if it changes subscriptions, so does the session. */
  say(text: string): void {
    let said: Json;
    try {
      said = JSON.parse(text);
    } catch {
      return;
    }
    const items: Json[] = Array.isArray(said?.data) ? said.data : [];
    if (said?.type === 'subscribe' && items.length > 0) {
      const interests = items.map(interestIn).filter((one) => one !== undefined);
      if (interests.length === items.length) this.#subscribe(items, interests);
    } else if (said?.type === 'unsubscribe') {
      for (const item of items) {
        const id = this.#names.get(item?.subscriptionId);
        this.#names.delete(item?.subscriptionId);
        if (id !== undefined) this.#session.unsubscribe(id, this.#now);
      }
      this.#carryOut();
    }
  }

  #subscribe(items: Json[], interests: Interest[]): void {
    this.#sent = [];
    if (this.#session.stopped) return;
    this.#asked = items.map((item, index) => {
      const name = item.subscriptionId;
      const known = this.#names.get(name);
      const wanted = interests[index] as Interest;
      if (known !== undefined) this.#session.update(known, wanted, this.#now);
      const id = known ?? this.#session.subscribe(wanted, this.#now);
      if (typeof name === 'string') this.#names.set(name, id);
      return id;
    });
    this.#carryOut();
    const sent = this.#sent.at(-1);
    if (sent === undefined) return;
    const ids = new Set(this.#asked);
    expect(sent.data.length, 'all of it is said in one message').toBe(ids.size);
    if (ids.size !== items.length) return;
    for (const { channels, queries } of items) {
      const same = expect.objectContaining({ channels, ...(queries == null ? {} : { queries }) });
      expect(sent.data).toContainEqual(same);
    }
  }

  /** The server says something; how many deliveries were as they should be. */
  hear(message: Json, place: string): number {
    const first = message.type === 'connected' && !this.#connected;
    this.#connected ||= first;
    this.#rename(message);
    this.#delivered = [];
    this.#receive(message);
    if (first && this.#sent.pop()?.type === 'subscribe') {
      // What the transcript knows nothing of.
      this.#receive({ type: 'response', data: { to: 'subscribe', subscriptions: [] } });
    }
    const named: string[] = message.data?.subscriptions;
    if (message.type !== 'event' || !Array.isArray(named)) return 0;
    const ours = [...this.#names.values()].filter((id) => named.includes(id));
    expect(this.#delivered, `${place}: those that it is for get it`).toEqual(expect.arrayContaining(ours));
    expect(new Set(this.#delivered).size, `${place}: each once`).toBe(this.#delivered.length);
    return ours.length;
  }

  /** Writes the session's names of subscriptions in place of the transcript's. */
  #rename({ data }: Json): void {
    const items: Json = data?.subscriptions;
    if (!Array.isArray(items)) return;
    if (data.to === 'subscribe') {
      items.forEach((item, index) => {
        const id = this.#asked[index];
        const name = item?.subscriptionId ?? '';
        if (id !== undefined && !this.#names.has(name)) this.#names.set(name, id);
      });
    }
    items.forEach((item, index) => {
      if (typeof item === 'string') items[index] = this.#names.get(item) ?? item;
      else if (item) item.subscriptionId = this.#names.get(item.subscriptionId) ?? item.subscriptionId;
    });
  }

  /** The server closes: the session stops or comes back as the code advises. */
  closed(detail: string, place: string): void {
    const [, code, reason] = /^(\d+)(?: (.*))?$/.exec(detail) ?? [];
    expect(code, `${place}: it has a code`).toBeDefined();
    const before = this.#session.stopped !== undefined;
    this.#session.closed({ code: Number(code), reason: reason ?? '' }, this.#now);
    this.#carryOut();
    const stopped = this.#session.stopped !== undefined;
    expect([before, stopped], place).toEqual([false, code === '1008' || code === '3000']);
    expect(this.#session.pollTimeout() !== undefined, `${place}: it comes back unless it stops`).toBe(
      !stopped,
    );
  }

  #receive(message: Json): void {
    this.#session.received(JSON.stringify(message), this.#now);
    this.#carryOut();
  }

  #carryOut(): void {
    this.#now += 60_000;
    this.#session.handleTimeout(this.#now);
    for (let effect = this.#session.pollEffect(); effect; effect = this.#session.pollEffect()) {
      if (effect.do === 'send') this.#sent.push(JSON.parse(effect.text));
      if (effect.do === 'deliver') this.#delivered.push(effect.subscription);
    }
  }
}

/** What an item of a `subscribe` message asks for, unless it is one that no session would send. */
function interestIn(item: Json): Interest | undefined {
  const areTexts = (value: Json) => Array.isArray(value) && value.every((text) => typeof text === 'string');
  const { channels, queries } = item ?? {};
  if (!areTexts(channels) || channels.length === 0 || !(queries == null || areTexts(queries)))
    return undefined;
  try {
    return interest(channels, queries ?? []);
  } catch {
    return undefined;
  }
}
