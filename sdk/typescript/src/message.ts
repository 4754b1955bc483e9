// The messages of the wire: what a client says, and what it understands of a server.

import type { Credential } from './credential.js';
import type { RealtimeEvent } from './event.js';

/** What a server says. */
export type Message =
  /** The connection is open: the id of its user, slots and ids of the subscriptions in the URL, and `data` itself. */
  | { type: 'connected'; user: string | undefined; slots: [number, string][]; data: unknown }
  /** Something happened; ids of this connection's subscriptions that it is for, which servers before 2025 do not say. */
  | { type: 'event'; event: RealtimeEvent; subscriptions: string[] }
  /** A request is answered: its type, the user or the presence if it was about one, an item for each of its subscriptions. */
  | { type: 'response'; to: string; user: string | undefined; presence: unknown; subscriptions: unknown[] }
  /** The server may have missed events. */
  | { type: 'gap'; reason: string }
  | { type: 'pong' }
  /** Something is wrong. */
  | { type: 'error'; code: number; message: string }
  /** A message of a type that this client does not know; it is newer. */
  | { type: 'unknown' };

/** Reads a text message; nothing if it is none. */
export function readMessage(text: string): Message | undefined {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(read) || Array.isArray(read) || typeof read.type !== 'string') return undefined;
  const data = isObject(read.data) ? read.data : {};
  switch (read.type) {
    case 'connected':
      return { type: 'connected', user: userOf(data), slots: slotsIn(data.subscriptions), data };
    case 'event':
      return readEvent(data);
    case 'response':
      return {
        type: 'response',
        to: textOr(data.to),
        user: userOf(data),
        presence: data.presence,
        subscriptions: list(data.subscriptions),
      };
    case 'gap':
      return { type: 'gap', reason: textOr(data.reason) };
    case 'pong':
      return { type: 'pong' };
    case 'error':
      return {
        type: 'error',
        code: typeof data.code === 'number' ? data.code : 0,
        message: textOr(data.message),
      };
    default:
      return { type: 'unknown' };
  }
}

function readEvent(data: Record<string, unknown>): Message | undefined {
  if (Array.isArray(data) || !('payload' in data)) return undefined;
  const events = texts(data.events);
  const event = {
    id: typeof data.id === 'string' ? data.id : undefined,
    event: textOr(data.event) || (events[0] ?? ''),
    events,
    channels: texts(data.channels),
    timestamp: textOr(data.timestamp),
    payload: data.payload,
    gap: undefined,
  };
  return { type: 'event', event, subscriptions: texts(data.subscriptions) };
}

/** `{"0":"id"}`, or a list when the slots happen to be 0, 1, 2, … */
function slotsIn(subscriptions: unknown): [number, string][] {
  if (!isObject(subscriptions)) return [];
  const named = Object.entries(subscriptions).filter(
    ([slot, id]) => /^\d+$/.test(slot) && typeof id === 'string',
  );
  return named.map(([slot, id]) => [Number(slot), id as string]);
}

function userOf(data: Record<string, unknown>): string | undefined {
  const id = isObject(data.user) ? data.user.$id : undefined;
  return typeof id === 'string' ? id : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function textOr(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function texts(value: unknown): string[] {
  return list(value).filter((item): item is string => typeof item === 'string');
}

/** `{"type":"ping"}` */
export const PING = '{"type":"ping"}';

/** `{"type":"subscribe","data":[…]}` */
export function subscribe(items: object[]): string {
  return JSON.stringify({ type: 'subscribe', data: items });
}

/** `{"type":"unsubscribe","data":[{"subscriptionId":…}]}` */
export function unsubscribe(ids: string[]): string {
  return JSON.stringify({ type: 'unsubscribe', data: ids.map((subscriptionId) => ({ subscriptionId })) });
}

/** `{"type":"authentication","data":{"session":…}}`; Appwrite's own server knows no `jwt` there. */
export function authentication(credential: Credential): string {
  return JSON.stringify({ type: 'authentication', data: { [credential.kind]: credential.token() } });
}
