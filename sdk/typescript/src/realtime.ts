// Drives a session: with the clock, a link, and the wishes of the application.

import { openEventStream } from './client/event-stream.js';
import type { Link } from './client/link.js';
import {
  type Callback,
  OVERRUN,
  Reader,
  type SubscribeOptions,
  type Subscription,
  stoppedByApplication,
  subscriptionOf,
} from './client/subscription.js';
import { openWebSocket, type WebSocketConstructor } from './client/web-socket.js';
import { Credential } from './credential.js';
import type { Effect } from './effect.js';
import { RealtimeError } from './error.js';
import { type Channels, interest } from './interest.js';
import type { Presence } from './presence.js';
import type { Request } from './request.js';
import type { Settings } from './session/settings.js';
import { Session } from './session.js';
import type { State, StateOf } from './state.js';

/** The longest that a timer of JavaScript waits, in milliseconds (WHATWG HTML §8.6: a signed 32-bit number). */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Asked for a token before connecting, again a minute before a JWT ends, and when the server no longer accepts the last. */
export type TokenProvider = () => Promise<string | Credential> | string | Credential;

/** In short how it stands: `idle` is without a connection because nobody listens or the server has sent the client away. */
export type Connection = 'idle' | 'connecting' | 'connected' | 'disconnected';

type Listener = (state: State) => void;

/** One connection to a project's events, made when something is subscribed to, shared by all subscriptions. */
export class Realtime {
  #settings: () => Settings;
  #WebSocket: WebSocketConstructor | undefined;
  #session: Session | undefined;
  #provider: TokenProvider | undefined;
  #credential: Credential | undefined;
  /** The application has said that it wants to be a guest. */
  #guest = false;
  /** Counts what the application says of credentials: an answer to a question of before is not used. */
  #wishes = 0;
  #link: Link | undefined;
  #readers = new Map<string, Reader>();
  #listeners = new Map<string, Set<Listener>>();
  #connection: Connection = 'idle';
  #running = false;
  #scheduled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due: number | undefined;
  #awake = false;

  /** @internal */
  constructor(settings: () => Settings, webSocket: WebSocketConstructor | undefined) {
    this.#settings = settings;
    this.#WebSocket = webSocket;
  }

  /**
   * Listens to one channel or several, and calls back with each event. `T` is what the application knows the payload to be.
   *
   * ```ts
   * const stop = sdk.realtime.subscribe<Todo>('documents', ({ payload }) => show(payload), {
   *   queries: [Query.equal('status', 'open')],
   * });
   * ```
   *
   * @throws {RealtimeError} `interest` if that cannot be listened to, `settings` if hostname or project are missing. Whatever
   * goes wrong later is told by `ready`, by `error`, and as a state.
   */
  subscribe<T = unknown>(
    channels: Channels,
    callback: Callback<T>,
    options?: SubscribeOptions,
  ): Subscription<T>;
  subscribe<T = unknown>(channels: Channels, options?: SubscribeOptions): Subscription<T>;
  subscribe<T>(
    channels: Channels,
    first?: Callback<T> | SubscribeOptions,
    second?: SubscribeOptions,
  ): Subscription<T> {
    const [callback, options] = typeof first === 'function' ? [first, second] : [undefined, first ?? second];
    const wanted = interest(channels, options?.queries);
    const session = this.#open();
    const reader = new Reader(callback as Callback<unknown> | undefined, options?.buffer);
    let id = '';
    try {
      id = session.subscribe(wanted, now());
      this.#readers.set(id, reader);
      this.#listenToEnvironment();
      this.#schedule();
    } catch (error) {
      reader.ended(error as RealtimeError);
      if (callback) this.#tell({ type: 'error', error: error as RealtimeError });
    }
    const stop = () => {
      reader.ended(stoppedByApplication());
      if (!this.#readers.delete(id)) return;
      session.unsubscribe(id, now());
      this.#schedule();
    };
    return subscriptionOf<T>(id, reader, stop, (channels, options) => {
      session.update(id, interest(channels, options?.queries), now());
      this.#schedule();
    });
  }

  /**
   * Calls back with each state of this type; gives back what ends that. Without a listener to `error`, errors that nobody
   * else is told of are written to the console.
   */
  on<K extends State['type']>(type: K, listener: (state: StateOf<K>) => void): () => void {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners);
    // The same function may listen twice.
    const own: Listener = (state) => listener(state as StateOf<K>);
    listeners.add(own);
    return () => void listeners.delete(own);
  }

  /**
   * Lets others know this of the user for as long as it is connected, or nothing any more. It is said again after each reconnect,
   * and keeps the connection even if nothing is subscribed to. Others hear of it on the channel `presences`.
   *
   * ```ts
   * sdk.realtime.setPresence({ status: 'online', metadata: { page: '/' }, permissions: ['read("any")'] });
   * ```
   *
   * @throws {RealtimeError} `presence` if it cannot be said, `stopped` if the server has sent this client away for good,
   * `settings` if hostname or project are missing. What the server does not like of it is told as an `error` state.
   */
  setPresence(presence: Presence | undefined): void {
    const session = presence ? this.#open() : this.#session;
    session?.present(presence, now());
    if (presence) this.#listenToEnvironment();
    this.#schedule();
  }

  /** How it stands at the moment. */
  get connection(): Connection {
    return this.#connection;
  }

  /**
   * Connects now instead of after the pause, or finds out at once whether the connection is alive. After a final refusal,
   * whose cause is mended, what is subscribed to after this is tried again; the subscriptions of before have ended. Browsers do so by themselves when the network is back or the page is visible
   * again.
   */
  hurry(): void {
    this.#session?.hurry(now());
    this.#schedule();
  }

  /** Ends every subscription and the connection. What is subscribed to afterwards makes a new one. */
  close(): void {
    this.#session?.close(now());
    this.#run();
    this.#session = undefined;
  }

  /** @internal Whether there is a session, so that its settings are fixed. */
  get isOpen(): boolean {
    return this.#session !== undefined;
  }

  /** @internal */
  authenticate(credential: Credential | undefined): void {
    this.#credential = credential;
    this.#guest = credential === undefined;
    this.#wishes += 1;
    this.#show(credential);
  }

  /** @internal */
  provide(provider: TokenProvider): void {
    this.#provider = provider;
    this.#guest = false;
    this.#session?.providesCredentials(now());
    this.#schedule();
  }

  #show(credential: Credential | undefined): void {
    this.#session?.authenticate(credential, credential?.lasts(Date.now()), now());
    this.#schedule();
  }

  #open(): Session {
    if (this.#session === undefined) {
      const settings = { ...this.#settings(), providesCredentials: this.#provider !== undefined };
      this.#session = new Session(settings, Math.random, now());
      if (this.#credential || this.#guest) this.#show(this.#credential);
    }
    return this.#session;
  }

  /** What is wished at the same time is told to the server in one message. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#run();
    });
  }

  /** Carries out what is to be done. A callback may call back into this; then whoever runs already goes on. */
  #run(): void {
    const session = this.#session;
    if (this.#running || session === undefined) return;
    this.#running = true;
    try {
      for (let effect = session.pollEffect(); effect; effect = session.pollEffect())
        this.#carryOut(effect, session);
    } finally {
      this.#running = false;
    }
    this.#setTimer(session);
    if (!session.isWanted) this.#stopListeningToEnvironment();
  }

  #carryOut(effect: Effect, session: Session): void {
    switch (effect.do) {
      case 'connect':
        this.#link = this.#dial(effect.request, session);
        break;
      case 'disconnect':
        this.#link?.end(effect.code);
        this.#link = undefined;
        break;
      case 'send':
        this.#link?.send(effect.text);
        break;
      case 'provide':
        this.#ask(session);
        break;
      case 'deliver':
        this.#deliver(effect.subscription, effect.event);
        break;
      case 'ready':
        this.#readers.get(effect.subscription)?.confirmed();
        break;
      case 'end': {
        const { subscription, why } = effect;
        const reader = this.#readers.get(subscription);
        this.#readers.delete(subscription);
        reader?.ended(why);
        if (reader && why.kind !== 'closed') this.#tell({ type: 'error', error: why, subscription });
        break;
      }
      case 'tell':
        this.#tell(effect.state);
    }
  }

  #dial(request: Request, session: Session): Link {
    let current = true;
    const hears = (fact: () => void) => {
      if (!current || session !== this.#session) return;
      fact();
      this.#run();
    };
    const heard = {
      opened: () => hears(() => session.opened(now())),
      failed: (why: string, after: number) =>
        hears(() => {
          current = false;
          session.failed(why, after, now());
        }),
      text: (text: string) => hears(() => session.received(text, now())),
      alive: () => hears(() => session.heard(now())),
      closed: (close: { code: number; reason: string }) =>
        hears(() => {
          current = false;
          session.closed(close, now());
        }),
    };
    const trouble = (error: RealtimeError) => this.#tell({ type: 'error', error });
    const link =
      request.transport === 'sse'
        ? openEventStream(request, heard)
        : openWebSocket(request.url, this.#WebSocket, heard, trouble);
    return {
      send: link.send,
      end(code) {
        current = false;
        link.end(code);
      },
    };
  }

  #ask(session: Session): void {
    const wishes = this.#wishes;
    const given = (token: string | Credential) => {
      if (wishes !== this.#wishes) return;
      const credential = token instanceof Credential ? token : Credential.jwt(token);
      session.authenticate(credential, credential.lasts(Date.now()), now());
    };
    Promise.resolve()
      .then(() => this.#provider?.() ?? Promise.reject(new Error('there is no provider')))
      .then(given)
      .catch((error: unknown) => {
        if (wishes === this.#wishes) session.notProvided(textOf(error), now());
      })
      .then(() => this.#run());
  }

  #deliver(subscription: string, event: Parameters<Reader['take']>[0]): void {
    const failed = (cause: unknown) => {
      const why = `the callback of ${subscription} threw: ${textOf(cause)}`;
      this.#tell({ type: 'error', error: new RealtimeError('callback', why, { cause }), subscription });
    };
    try {
      const result = this.#readers.get(subscription)?.take(event);
      if (result === OVERRUN) this.#tell({ type: 'gap', subscription, gap: OVERRUN });
      else if (typeof (result as Promise<unknown> | undefined)?.then === 'function') {
        (result as Promise<unknown>).then(undefined, failed);
      }
    } catch (cause) {
      failed(cause);
    }
  }

  #tell(state: State): void {
    if (state.type === 'connecting' || state.type === 'connected') this.#connection = state.type;
    if (state.type === 'disconnected') {
      this.#connection = state.againIn === undefined ? 'idle' : 'disconnected';
    }
    const listeners = [...(this.#listeners.get(state.type) ?? [])];
    if (state.type === 'error' && listeners.length === 0) console.error(state.error);
    for (const listener of listeners) {
      try {
        listener(state);
      } catch (error) {
        console.error(error);
      }
    }
  }

  #setTimer(session: Session): void {
    const due = session === this.#session ? session.pollTimeout() : undefined;
    if (due === this.#due && this.#timer !== undefined) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = undefined;
    if (due === undefined) return;
    const wait = Math.min(Math.max(0, Math.ceil(due - now())), LONGEST_TIMER);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      session.handleTimeout(now());
      this.#run();
    }, wait);
  }

  #wake = (): void => {
    if ((globalThis as { document?: Document }).document?.visibilityState !== 'hidden') this.hurry();
  };

  #listenToEnvironment(): void {
    if (this.#awake) return;
    this.#awake = true;
    globalThis.addEventListener?.('online', this.#wake);
    globalThis.document?.addEventListener?.('visibilitychange', this.#wake);
  }

  #stopListeningToEnvironment(): void {
    this.#awake = false;
    globalThis.removeEventListener?.('online', this.#wake);
    globalThis.document?.removeEventListener?.('visibilitychange', this.#wake);
  }
}

/** What was thrown, in words; it may be anything, also what cannot be made a text. */
function textOf(cause: unknown): string {
  try {
    return String((cause as Error)?.message ?? cause);
  } catch {
    return 'something that is no text';
  }
}

/** A clock that only goes forward, in milliseconds; where there is none, one that may jump, which a session bears. */
function now(): number {
  return globalThis.performance?.now?.() ?? Date.now();
}
