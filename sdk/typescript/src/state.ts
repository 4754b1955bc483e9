// What a client tells about its connection, events aside.

import type { Advice } from './advice.js';
import type { Close } from './close.js';
import type { RealtimeError } from './error.js';
import type { Gap } from './event.js';

/** What a client tells about its connection, events aside. */
export type State =
  /** It connects; before this it failed so many times in a row. */
  | { readonly type: 'connecting'; readonly failures: number; readonly transport: Transport }
  /** It is connected, as this user; `undefined` is a guest, or somebody whose credential is still to be looked at. */
  | { readonly type: 'connected'; readonly user: string | undefined; readonly transport: Transport }
  /** The server has accepted the credential. */
  | { readonly type: 'authenticated'; readonly user: string | undefined }
  /** Others may know of the user now, by this presence as the server keeps it. Said again after each reconnect. */
  | { readonly type: 'present'; readonly presence: unknown }
  /** After a reconnect, a subscription got or will get all that it missed. */
  | { readonly type: 'recovered'; readonly subscription: string }
  /** A subscription may have missed events. */
  | { readonly type: 'gap'; readonly subscription: string; readonly gap: Gap }
  /** The connection ended. It is made again after so many milliseconds; `undefined` is never. */
  | {
      readonly type: 'disconnected';
      readonly code: number;
      readonly reason: string;
      readonly advice: Advice;
      readonly againIn: number | undefined;
    }
  /** Something went wrong that has not ended the connection; `subscription` is the one it is about, if it is about one. */
  | { readonly type: 'error'; readonly error: RealtimeError; readonly subscription?: string };

/** How a client is connected: by WebSocket, or by server-sent events where WebSockets are blocked. */
export type Transport = 'websocket' | 'sse';

/** The state of this type. */
export type StateOf<K extends State['type']> = Extract<State, { type: K }>;

/** The `disconnected` state of a close. */
export function disconnected({ code, reason }: Close, advice: Advice, againIn?: number): State {
  return { type: 'disconnected', code, reason, advice, againIn };
}
