// What applications import.

export type { Advice } from './advice.js';
export { Appwrite, type Options } from './appwrite.js';
export { Channel } from './channel.js';
export type { Callback, SubscribeOptions, Subscription } from './client/subscription.js';
export type { WebSocketConstructor, WebSocketLike } from './client/web-socket.js';
export { Credential } from './credential.js';
export { type ErrorKind, RealtimeError } from './error.js';
export type { Gap, RealtimeEvent } from './event.js';
export type { Channels } from './interest.js';
export type { Presence } from './presence.js';
export { Query, type QueryText, type Value } from './query.js';
export type { Connection, Realtime, TokenProvider } from './realtime.js';
export type { State, StateOf, Transport } from './state.js';
