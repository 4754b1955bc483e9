// A server as a client sees it, with a memory of events and moods.

import type { Request } from '../../src/request.js';

/**
 * What kind of server it is:
 *
 * - `resuming`: takes `subscribe` messages and resumes.
 * - `forgetful`: takes `subscribe` messages, and knows nothing of the time before a connection.
 * - `urlOnly`: takes channels in the URL only, and refuses a connection without any.
 * - `urlMostly`: takes channels in the URL, allows connections without, and knows no `subscribe` message.
 * - `ancient`: like `urlOnly`, and does not say whom an event is for.
 */
export type Kind = 'resuming' | 'forgetful' | 'urlOnly' | 'urlMostly' | 'ancient';

export const KINDS: Kind[] = ['resuming', 'forgetful', 'urlOnly', 'urlMostly', 'ancient'];

export type Wire = { text: string } | { code: number; reason: string };

interface Item {
  subscriptionId: string;
  channels: string[];
  queries: string[];
  since?: string;
}

// biome-ignore lint/suspicious/noExplicitAny: what a client says is looked at as it comes
export type Said = any;

export class Server {
  kind: Kind;
  /** Channel of each event; its place is its id. */
  events = ['the beginning'];
  /** What is on its way to the client. */
  wire: Wire[] = [];
  /** A query that it refuses. */
  refuses = 'nope';
  user: unknown = null;
  /** It takes a session in an `authentication` message, and no JWT, as Appwrite's own server. */
  sessionsOnly = false;
  /** It forgets a connection that authenticates before it subscribes, as Appwrite's own server. */
  forgetsProject = false;
  #forgot = false;
  /** What the user of the connection lets others know. */
  presence: unknown;
  /** Messages that clients have sent. */
  heard: Said[] = [];
  /** Subscriptions of the connection, by id. */
  live = new Map<string, string[]>();
  /** Where subscriptions of former connections began. */
  #begun = new Map<string, number>();

  constructor(kind: Kind) {
    this.kind = kind;
  }

  open({ url, transport }: Request): void {
    this.hangUp();
    this.#forgot = false;
    const inUrl = slotsIn(url);
    if (['urlOnly', 'ancient'].includes(this.kind) && !url.includes('channels[]=')) {
      this.say({ type: 'error', data: { code: 1008, message: 'Missing channels' } });
      // As PHP does: no Close frame.
      this.wire.push({ code: 1006, reason: '' });
      return;
    }
    const subscriptions: Record<string, string> = {};
    for (const [slot, channels] of inUrl) {
      subscriptions[slot] = `slot-${slot}`;
      this.live.set(`slot-${slot}`, channels);
    }
    const since = new URL(url).searchParams.get('since');
    const resumes = transport === 'sse' && this.kind === 'resuming' && since !== null;
    const data = { channels: [], subscriptions, user: this.user, ...(resumes ? { recovered: true } : {}) };
    this.say({ type: 'connected', data });
    if (!resumes) return;
    for (let at = Number(since) + 1; at < this.events.length; at += 1)
      this.#sendEvent(at, this.#listening(at));
  }

  hangUp(): void {
    this.live.clear();
    this.presence = undefined;
    this.wire = [];
  }

  publish(channel: string): void {
    this.events.push(channel);
    this.#sendEvent(this.events.length - 1, this.#listening(this.events.length - 1));
  }

  hear(text: string): void {
    const message: Said = JSON.parse(text);
    if (text.length >= 64_000) throw new Error(`${text.length} bytes are too many`);
    const items: Item[] = Array.isArray(message.data) ? message.data : [];
    this.heard.push(message);
    const refuse = (code: number, why: string) => this.say({ type: 'error', data: { code, message: why } });
    if (this.#forgot && message.type !== 'ping') {
      refuse(1008, 'Error: Server Error');
      this.wire.push({ code: 1006, reason: '' });
      return;
    }
    switch (message.type) {
      case 'ping':
        return this.say({ type: 'pong' });
      case 'subscribe':
        if (this.kind === 'urlMostly') return refuse(1003, 'Message type is not valid.');
        if (items.some(({ queries }) => queries.some((query) => query.includes(this.refuses)))) {
          return refuse(1003, 'Invalid query: Invalid query method: nope');
        }
        return this.#subscribe(items);
      case 'unsubscribe': {
        const removed = items.filter(({ subscriptionId }) => this.live.delete(subscriptionId));
        return this.#answer('unsubscribe', { subscriptions: removed.map(() => ({ removed: true })) });
      }
      case 'authentication':
        if (this.sessionsOnly && message.data.session === undefined) {
          return refuse(1003, 'Error: Server Error');
        }
        this.#forgot = this.forgetsProject && this.live.size === 0;
        this.user = { $id: 'alice' };
        return this.#answer('authentication', { user: this.user });
      case 'presence':
        if (!['resuming', 'forgetful'].includes(this.kind)) return refuse(1003, 'Message type is not valid.');
        if (this.user === null) return refuse(401, 'User must be authorized');
        if (message.data.status === '') return refuse(1003, 'Payload is not valid. Status is required');
        this.presence = message.data;
        return this.#answer('presence', { presence: { $id: 'p', ...message.data } });
      default:
        throw new Error(`no client says ${message.type}`);
    }
  }

  say(message: object): void {
    this.wire.push({ text: JSON.stringify(message) });
  }

  #subscribe(items: Item[]): void {
    const answers: object[] = [];
    const replays: [number, string][] = [];
    for (const { subscriptionId: id, channels, since } of items) {
      const answer: Record<string, unknown> = { subscriptionId: id, channels, queries: [] };
      if (this.kind === 'resuming') {
        const stood = since === undefined ? this.#begun.get(id) : Number(since);
        if (stood !== undefined && !this.live.has(id)) {
          answer.recovered = true;
          for (let at = stood + 1; at < this.events.length; at += 1) {
            if (channels.includes(this.events[at] ?? '')) replays.push([at, id]);
          }
        } else if (stood !== undefined) answer.recovered = true;
        if (!this.#begun.has(id)) this.#begun.set(id, this.events.length - 1);
      }
      this.live.set(id, channels);
      answers.push(answer);
    }
    this.#answer('subscribe', { subscriptions: answers });
    for (const [at, id] of replays.sort(([one], [other]) => one - other)) this.#sendEvent(at, [id]);
  }

  #sendEvent(at: number, ids: string[]): void {
    if (ids.length === 0) return;
    const channel = this.events[at];
    const data: Record<string, unknown> = {
      events: [`${channel}.happened`],
      channels: [channel],
      timestamp: '2026-01-01T00:00:00.000+00:00',
      payload: { n: at },
    };
    if (this.kind !== 'ancient') data.subscriptions = ids;
    if (this.kind === 'resuming' || this.kind === 'forgetful') data.id = String(at);
    this.say({ type: 'event', data });
  }

  #listening(at: number): string[] {
    const channel = this.events[at] ?? '';
    return [...this.live].filter(([, channels]) => channels.includes(channel)).map(([id]) => id);
  }

  #answer(to: string, more: object): void {
    this.say({ type: 'response', data: { to, success: true, ...more } });
  }
}

/** Channels by slot, as `a_b[0][]=query` says them. */
function slotsIn(url: string): Map<number, string[]> {
  const slots = new Map<number, string[]>();
  const pairs = [...new URL(url).searchParams];
  for (const [, channel] of pairs.filter(([name]) => name === 'channels[]')) {
    for (const [name] of pairs) {
      const [, of, slot] = /^(.*)\[(\d+)\]\[\]$/.exec(name) ?? [];
      if (of !== channel.replaceAll('.', '_') || slot === undefined) continue;
      const channels = slots.get(Number(slot)) ?? [];
      if (!channels.includes(channel)) channels.push(channel);
      slots.set(Number(slot), channels);
    }
  }
  return slots;
}
