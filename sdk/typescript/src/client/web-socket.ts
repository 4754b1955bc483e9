// A link over a WebSocket.

import { type Close, lost, RETURNS } from '../close.js';
import { RealtimeError } from '../error.js';
import { type Heard, type Link, MAX_MESSAGE } from './link.js';

/** What of the WebSocket interface (WHATWG) is used; the package `ws` has it, too. */
export interface WebSocketLike {
  /** It is open. */
  onopen: ((event: never) => void) | null;
  /** A message has come. */
  onmessage: ((event: never) => void) | null;
  /** Something is wrong; a close follows. */
  onerror: ((event: never) => void) | null;
  /** It has ended. */
  onclose: ((event: never) => void) | null;
  /** Sends a text message. */
  send(text: string): void;
  /** Begins to close. */
  close(code?: number): void;
}

/** A constructor of WebSockets: the environment's, that of the package `ws`, or another. */
export type WebSocketConstructor = new (url: string) => WebSocketLike;

/** Opens a WebSocket. `given` is preferred to what the environment has. */
export function openWebSocket(
  url: string,
  given: WebSocketConstructor | undefined,
  heard: Heard,
  trouble: (error: RealtimeError) => void,
): Link {
  const known = given ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  let socket: WebSocketLike | undefined;
  let ended = false;
  const dial = (Socket: WebSocketConstructor) => {
    if (ended) return;
    try {
      socket = new Socket(url);
    } catch (error) {
      return heard.failed(String((error as Error)?.message ?? error), 0);
    }
    listen(socket, heard);
  };
  if (known) {
    // Never from within: the driver has to know the link before it hears of it.
    dial(known);
  } else {
    fromPackage().then(dial, (error: RealtimeError) => {
      if (ended) return;
      trouble(error);
      heard.failed(error.message, 0);
    });
  }
  return {
    send(text) {
      try {
        socket?.send(text);
      } catch {
        // It is over, which it says by itself; what was to be said on it is said again on the next.
      }
    },
    end(code) {
      ended = true;
      if (socket === undefined) return;
      socket.onopen = socket.onmessage = socket.onclose = null;
      // `ws` complains of a handshake that is broken off, and nobody listening to that would end the process.
      socket.onerror = () => {};
      socket.close(code);
    },
  };
}

function listen(socket: WebSocketLike, heard: Heard): void {
  let opened = false;
  let why = 'the connection was lost';
  const end = (close: Close) => {
    socket.onopen = socket.onmessage = socket.onclose = null;
    if (opened) heard.closed(close);
    else heard.failed(close.reason || why, 0);
  };
  socket.onopen = () => {
    opened = true;
    heard.opened();
  };
  socket.onmessage = ({ data }: { data: unknown }) => {
    if (typeof data !== 'string') return heard.alive();
    if (data.length <= MAX_MESSAGE) return heard.text(data);
    end({ code: 1009, reason: `the server sent a message of ${data.length} characters` });
    socket.close(RETURNS);
  };
  // A close always follows, which browsers say nothing in, and others say here what went wrong.
  socket.onerror = (event: { message?: unknown }) => {
    const said = typeof event?.message === 'string' ? `: ${event.message}` : '';
    why = opened
      ? `the connection was lost${said}`
      : `no WebSocket could be opened${said}; check the hostname and what is in between`;
  };
  socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
    const silent = code === 1006 || code === undefined;
    end(silent ? lost(reason || why) : { code, reason: reason ?? '' });
  };
}

/** Node.js before 22 has no WebSocket. */
async function fromPackage(): Promise<WebSocketConstructor> {
  // Not a literal, so that bundlers for browsers do not look for it.
  const name = 'ws';
  try {
    const { default: found } = (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as {
      default: WebSocketConstructor;
    };
    return found;
  } catch (cause) {
    const why =
      'this environment has no WebSocket: install the package ws (npm install ws), or give one: new Appwrite({ WebSocket })';
    throw new RealtimeError('transport', why, { cause });
  }
}
