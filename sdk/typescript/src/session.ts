// A client's side of the conversation as a state machine: facts and wishes in, effects out.
//
// A session opens no socket, reads no clock and draws no random number by itself, so that it runs the same under an
// application and in a test in virtual time. Whoever drives it
//
// 1. calls the methods for what happened or is wished,
// 2. then carries out effects until `pollEffect` gives none,
// 3. and calls `handleTimeout` at the time that `pollTimeout` names.
//
// Times are in milliseconds on any clock that only goes forward; a `now` before an earlier one counts as that.

import { adviceOf, windowOf } from './advice.js';
import { Backoff } from './backoff.js';
import { type Close, closeCodeOf, GOODBYE, lost, RETURNS, saysNothing } from './close.js';
import type { Credential } from './credential.js';
import type { Effect } from './effect.js';
import { encoded } from './endpoint.js';
import { RealtimeError, stopped } from './error.js';
import type { Gap, RealtimeEvent } from './event.js';
import type { Interest } from './interest.js';
import * as message from './message.js';
import { Pace } from './pace.js';
import { Pass } from './pass.js';
import { type Presence, presenceMessage } from './presence.js';
import { hex, type Random, upTo } from './random.js';
import { slotsOf } from './request.js';
import { gapOf, TELL_GAPS } from './resume.js';
import { Live } from './session/live.js';
import type { Settings } from './session/settings.js';
import { disconnected, type State, type Transport } from './state.js';
import { Subscription } from './subscription.js';

export type { Effect } from './effect.js';
export { Endpoint } from './endpoint.js';
export { interest } from './interest.js';
export type { Settings } from './session/settings.js';
export { usual } from './session/settings.js';

/** A connection that lived this long was a success: the next pause is a short one again. */
const STABLE_AFTER = 10_000;
/** Changes made within this time share a new connection, where one is needed for them. */
const GATHER = 50;
/** No more than one such connection in this time. */
const REMAKE_AT_MOST_EVERY = 1_000;
/** The longest `subscribe` message, in bytes: Appwrite's server takes 64,000, framing included. */
const MAX_MESSAGE = 62_000;
/** The most items in one message. */
const MAX_ITEMS = 500;
/** A server that asks to be left alone for longer is tried again after this. */
const LONGEST_AWAY = 3_600_000;
/** Characters of a senseless message that are shown. */
const EXCERPT = 80;
/** Where WebSockets are blocked, a connection that is made so long after the last attempt at one tries it again. */
const BLOCKED_FOR = 300_000;
/** After so many attempts, WebSockets that have never worked are taken to be blocked. */
const BLOCKED_AFTER = 2;
/** Server-sent events without any sign of life for so many times the interval of pings are dead: three heartbeats of the server. */
const SILENT_AFTER = 4;

/** What a request has named in its URL. */
interface Slots {
  readonly ids: string[];
  /** The count of changes when it was made. */
  readonly asOf: number;
}

type Phase =
  /** Nobody listens. */
  | { is: 'idle' }
  /** Connects when the pause is over. */
  | { is: 'waiting'; until: number }
  /** Connects when there is a credential. */
  | { is: 'providing' }
  /** The handshake is under way; or, `opening`, it is done and `connected` has not come. */
  | { is: 'connecting' | 'opening'; until: number; slots: Slots }
  /** In conversation. */
  | { is: 'live'; live: Live }
  /** The server does not want to see this client again. */
  | { is: 'stopped'; close: Close };

/** One client of one project. */
export class Session {
  #settings: Settings;
  #random: Random;
  #now: number;
  #phase: Phase = { is: 'idle' };
  /** Subscriptions are told in the URL, for servers before 2026; each change needs a new connection. */
  #inUrl: boolean;
  /** The server has answered a `subscribe` message. */
  #proven = false;
  /** The server takes a JWT in the URL only, as Appwrite's own. */
  #jwtInUrl = false;
  /** The server forgets a connection that authenticates before it subscribes, as Appwrite's own of 2026 does. */
  #subscribesFirst = false;
  #transport: Transport;
  /** WebSockets that came to nothing, as long as none has worked; and when the last of them did. */
  #blocked = 0;
  #blockedAt = 0;
  /** The server's last words, if they were a complaint. */
  #complaint: Close | undefined;
  #pass: Pass;
  /** The generation of the credential that this connection has shown, unless it has to be shown again. */
  #shown: number | undefined;
  /** The generation of which it was told that it could not be shown. */
  #unshown: number | undefined;
  #backoff: Backoff;
  #pace: Pace;
  /** When a change of what is subscribed to last made a new connection. */
  #remadeAt = -Infinity;
  /** What sets this client's subscriptions apart from others of the same user. */
  #client: string;
  #subscriptions = new Map<string, Subscription>();
  #made = 0;
  /** The message that says what others may know of the user. */
  #presence: string | undefined;
  /** Counts changes of what is subscribed to. */
  #changes = 0;
  /** The id of the last event: where a connection goes on that has one position for all of its subscriptions. */
  #last: string | undefined;
  #effects: Effect[] = [];

  /** A session that connects once something is subscribed to. */
  constructor(settings: Settings, random: Random, now: number) {
    this.#settings = settings;
    this.#random = random;
    this.#now = now;
    this.#inUrl = settings.inUrl;
    this.#transport = settings.transports[0] ?? 'websocket';
    this.#pass = new Pass(settings.providesCredentials);
    this.#backoff = new Backoff(settings.firstPause, settings.longestPause, random);
    this.#pace = new Pace(now);
    this.#client = hex(random, 16);
  }

  /**
   * Listens, under the id that is given back. `ready` follows when the server has confirmed it, or `end` if it refuses.
   *
   * @throws {RealtimeError} `stopped` if the server does not want to see this client again.
   */
  subscribe(interest: Interest, now: number): string {
    this.#passTime(now);
    if (this.#phase.is === 'stopped') throw stopped(this.#phase.close);
    // What passed while nobody listened is for nobody.
    if (this.#subscriptions.size === 0) this.#last = undefined;
    this.#made += 1;
    const id = `${this.#client}-${this.#made}`;
    this.#subscriptions.set(id, new Subscription(interest));
    this.#changed(id);
    return id;
  }

  /** Listens to something else under the same id, from now on. */
  update(id: string, interest: Interest, now: number): void {
    this.#passTime(now);
    const subscription = this.#subscriptions.get(id);
    if (subscription === undefined) return;
    subscription.interest = interest;
    this.#changed(id);
  }

  /** Listens no longer. Doing it twice does nothing more. */
  unsubscribe(id: string, now: number): void {
    this.#passTime(now);
    if (!this.#subscriptions.delete(id)) return;
    this.#changes += 1;
    const phase = this.#phase;
    if (phase.is === 'live') {
      phase.live.remove(id);
      this.#planRemake();
      this.#linger();
    } else this.#waitNoLonger();
  }

  /**
   * Lets others know this of the user, now and on each connection after this one, or nothing any more. A connection is kept
   * for it as for a subscription. `present` is told when the server has taken it.
   *
   * @throws {RealtimeError} `presence` if it cannot be said, `stopped` if the server does not want to see this client again.
   */
  present(presence: Presence | undefined, now: number): void {
    this.#passTime(now);
    const phase = this.#phase;
    if (presence && phase.is === 'stopped') throw stopped(phase.close);
    this.#presence = presence && presenceMessage(presence);
    if (phase.is !== 'live') {
      if (presence && phase.is === 'idle') this.#connect();
      else this.#waitNoLonger();
    } else if (!presence && phase.live.announced) {
      // No message takes a presence back: it ends with its connection.
      this.#remake();
    } else {
      this.#announce(phase.live);
      this.#linger();
    }
  }

  /**
   * Shows this credential from now on, or none: then nobody is asked for one either. `lasts` is how long it is good, as far as anybody knows. Also the answer
   * to `provide`, and what lets a session go on whose last credential was refused for good.
   */
  authenticate(credential: Credential | undefined, lasts: number | undefined, now: number): void {
    this.#passTime(now);
    this.#pass.hold(credential, lasts, this.#now);
    if (this.#phase.is === 'providing') this.#connectWithWhatThereIs();
    else if (this.#phase.is === 'stopped') this.#phase = { is: 'idle' };
  }

  /** Somebody can be asked for credentials from now on. */
  providesCredentials(now: number): void {
    this.#passTime(now);
    this.#pass.isProvided();
    if (this.#phase.is === 'live' && this.#pass.isNeeded(this.#now)) this.#provide();
  }

  /** Nobody could provide a credential; it is asked for again later. */
  notProvided(why: string, now: number): void {
    this.#passTime(now);
    if (!this.#pass.isAwaited()) return;
    this.#pass.failed(this.#now);
    this.#trouble(new RealtimeError('provider', `the token provider gave no token: ${why}`));
    if (this.#phase.is === 'providing') this.#pause(lost(`there is no credential: ${why}`), 0);
  }

  /**
   * Connects now instead of after the pause, or finds out at once whether the connection is alive: the network is back, the
   * machine has woken up, or the application wants to try again after a final refusal.
   */
  hurry(now: number): void {
    this.#passTime(now);
    const phase = this.#phase;
    if (phase.is === 'waiting') {
      phase.until = this.#now;
      // Another network may let WebSockets through.
      this.#prefer();
    } else if (phase.is === 'live') phase.live.pingNow(this.#now);
    else if (phase.is === 'stopped') this.#phase = { is: 'idle' };
  }

  /** Ends every subscription and the connection. */
  close(now: number): void {
    this.#passTime(now);
    this.#endAll(new RealtimeError('closed', 'the client is closed'));
    this.#hangUp(GOODBYE);
    this.#pass.abandon();
    if (this.#phase.is !== 'idle') this.#tell(disconnected({ code: GOODBYE, reason: 'closed' }, 'retry'));
    this.#phase = { is: 'idle' };
  }

  /** The handshake is done. */
  opened(now: number): void {
    this.#passTime(now);
    if (this.#phase.is === 'connecting') {
      this.#phase = { is: 'opening', until: this.#now + this.#settings.patience, slots: this.#phase.slots };
    }
  }

  /**
   * There is no connection to be had: nobody answers, or not as a server of this kind does. `after` is how many
   * milliseconds the server asks to leave it alone (`Retry-After`), of which an hour counts at most.
   */
  failed(why: string, after: number, now: number): void {
    this.#passTime(now);
    if (this.#phase.is === 'connecting') this.#lost(lost(why), Math.min(Math.max(0, after), LONGEST_AWAY));
  }

  /** The server sent a text message. */
  received(text: string, now: number): void {
    this.#passTime(now);
    if (this.#phase.is === 'live') this.#phase.live.heard();
    else if (this.#phase.is !== 'opening') return;
    const said = message.readMessage(text);
    if (said?.type !== 'error') this.#complaint = undefined;
    switch (said?.type) {
      case 'connected':
        return this.#connected(said.user, said.slots, said.data);
      case 'event':
        return this.#deliver(said.event, said.subscriptions);
      case 'response':
        return this.#answered(said);
      case 'error':
        return this.#complained(said.code, said.message);
      case 'gap':
        return this.#missed({ kind: 'unrecovered', reason: said.reason });
      case undefined: {
        const why = `the server said something that is no message: ${JSON.stringify(text.slice(0, EXCERPT))}`;
        return this.#trouble(new RealtimeError('unreadable', why));
      }
    }
  }

  /** The server is there: a heartbeat, or a message that is no text. */
  heard(now: number): void {
    this.#passTime(now);
    if (this.#phase.is === 'live') this.#phase.live.heard();
  }

  /** The connection has ended, with or without a Close frame. */
  closed(close: Close, now: number): void {
    this.#passTime(now);
    if (this.#isConnected()) this.#lost(close, 0);
  }

  /** It is that late. */
  handleTimeout(now: number): void {
    this.#passTime(now);
    if (this.#pass.isOverdue(this.#now)) this.notProvided('none came in time', now);
    const phase = this.#phase;
    if (phase.is === 'live') this.#lookAfterConnection(phase.live);
    else if (phase.is === 'waiting' && phase.until <= this.#now) this.#connect();
    else if ((phase.is === 'connecting' || phase.is === 'opening') && phase.until <= this.#now) {
      this.#giveUp('the server does not answer');
    }
  }

  /** The next thing to do. */
  pollEffect(): Effect | undefined {
    if (this.#effects.length === 0) this.#speak();
    return this.#effects.shift();
  }

  /** When to call `handleTimeout`, if nothing happens before. Ask when there are no effects left. */
  pollTimeout(): number | undefined {
    const phase = this.#phase;
    switch (phase.is) {
      case 'waiting':
      case 'connecting':
      case 'opening':
        return phase.until;
      case 'live': {
        const speaks = phase.live.asked === undefined && this.#hasSomethingToSay(phase.live);
        const renew = this.#pass.deadline(true) ?? Infinity;
        return Math.min(phase.live.deadline(), speaks ? this.#pace.next() : Infinity, renew);
      }
      default:
        return this.#pass.deadline(false);
    }
  }

  /** Whether the server has sent this client away for good, and how. */
  get stopped(): Close | undefined {
    return this.#phase.is === 'stopped' ? this.#phase.close : undefined;
  }

  /** Whether a connection is wanted, be there one or not. */
  get isWanted(): boolean {
    // Servers that are told channels in the URL know no presence, and refuse a connection without channels.
    return this.#subscriptions.size > 0 || (this.#presence !== undefined && !this.#inUrl);
  }

  /** How many subscriptions there are. */
  get size(): number {
    return this.#subscriptions.size;
  }

  #passTime(now: number): void {
    this.#now = Math.max(this.#now, now);
  }

  /** Connects by what is preferred, next time. */
  #prefer(): void {
    this.#transport = this.#settings.transports[0] ?? 'websocket';
  }

  #isConnected(): boolean {
    return ['connecting', 'opening', 'live'].includes(this.#phase.is);
  }

  #do(effect: Effect): void {
    this.#effects.push(effect);
  }

  #tell(state: State): void {
    this.#do({ do: 'tell', state });
  }

  #trouble(error: RealtimeError): void {
    this.#tell({ type: 'error', error });
  }

  /** There is something new to listen to. */
  #changed(id: string): void {
    this.#changes += 1;
    if (this.#phase.is === 'idle') this.#connect();
    else if (this.#phase.is === 'live') {
      this.#phase.live.add(id);
      this.#planRemake();
    }
  }

  /** Whether subscriptions stand in the URL, be it for the server or for the transport. */
  #namesInUrl(): boolean {
    return this.#inUrl || this.#transport === 'sse';
  }

  /** A server that takes subscriptions in the URL only is told of changes by a new connection. */
  #planRemake(): void {
    if (this.#phase.is === 'live' && this.#namesInUrl() && this.#subscriptions.size > 0) {
      this.#phase.live.remakeAt ??= this.#mayRemake(GATHER);
    }
  }

  #mayRemake(after: number): number {
    return Math.max(this.#now + after, this.#remadeAt + REMAKE_AT_MOST_EVERY);
  }

  /** A connection that nobody listens on is kept for a while. */
  #linger(): void {
    if (this.#phase.is === 'live') {
      this.#phase.live.idleUntil = this.isWanted ? undefined : this.#now + this.#settings.linger;
    }
  }

  #connect(): void {
    if (!this.isWanted) this.#rest();
    else if (this.#pass.isNeeded(this.#now)) {
      this.#phase = { is: 'providing' };
      this.#provide();
    } else this.#connectWithWhatThereIs();
  }

  /** Nobody wants the connection any more that was to be made. */
  #waitNoLonger(): void {
    const { is } = this.#phase;
    if ((is === 'waiting' || is === 'providing') && !this.isWanted) this.#rest();
  }

  /** There is no connection, and none is needed. */
  #rest(): void {
    this.#phase = { is: 'idle' };
    this.#tell(disconnected({ code: GOODBYE, reason: 'nothing is listened to' }, 'retry'));
  }

  #provide(): void {
    if (this.#pass.isAwaited()) return;
    this.#pass.awaitUntil(this.#now + this.#settings.patience);
    this.#do({ do: 'provide' });
  }

  #connectWithWhatThereIs(): void {
    const { endpoint, project, patience, transports } = this.#settings;
    // What was blocked may be so no more: the network is another one, or its owner has mended it. A connection that is there
    // is not given up for that.
    const fellBack = this.#transport === 'sse' && transports[0] === 'websocket' && !this.#isConnected();
    if (fellBack && this.#now >= this.#blockedAt + BLOCKED_FOR) this.#prefer();
    const transport = this.#transport;
    const credential = this.#pass.credential;
    let url = endpoint.realtime(project, transport) + TELL_GAPS;
    const slots: Slots = { ids: [], asOf: this.#changes };
    if (this.#namesInUrl()) {
      url += slotsOf([...this.#subscriptions.values()].map(({ interest }) => interest));
      slots.ids.push(...this.#subscriptions.keys());
      if (this.#last !== undefined) url += `&since=${encoded(this.#last)}`;
    }
    const jwtInUrl = transport === 'websocket' && credential?.kind === 'jwt' && this.#jwtInUrl;
    if (jwtInUrl) url += `&jwt=${encoded(credential.token())}`;
    this.#complaint = undefined;
    // A browser's WebSocket sends no header, so it says who it is in a message.
    const shows = credential === undefined || jwtInUrl || transport === 'sse';
    this.#shown = shows ? this.#pass.generation : undefined;
    this.#phase = { is: 'connecting', until: this.#now + patience, slots };
    this.#tell({ type: 'connecting', failures: this.#backoff.failures, transport });
    this.#do({
      do: 'connect',
      request: { transport, url, credential: transport === 'sse' ? credential : undefined },
    });
  }

  /** Whether this credential is shown by the request, so that a new one needs a new connection. */
  #showsInRequest(credential: Credential | undefined): boolean {
    if (credential === undefined) return true;
    return this.#transport === 'sse' || (this.#jwtInUrl && credential.kind === 'jwt');
  }

  #connected(user: string | undefined, given: [number, string][], data: unknown): void {
    if (this.#phase.is !== 'opening') return;
    const { slots } = this.#phase;
    const transport = this.#transport;
    if (transport === 'websocket') this.#blocked = -Infinity;
    const live = new Live(transport, this.#now, this.#settings.pingEvery, this.#random);
    for (const [id, { established }] of this.#subscriptions) if (established) live.resuming.add(id);
    this.#tell({ type: 'connected', user, transport });
    if (transport === 'sse' && user === undefined) this.#notShown();
    if (this.#namesInUrl()) {
      for (const [slot, name] of given) {
        const id = slots.ids[slot];
        if (id !== undefined) live.names.set(name, id);
      }
      if (slots.asOf !== this.#changes) live.remakeAt = this.#mayRemake(0);
    } else for (const id of this.#subscriptions.keys()) live.waiting.add(id);
    // Servers count the messages of a connection.
    this.#pace = new Pace(this.#now);
    this.#phase = { is: 'live', live };
    for (const id of slots.ids) this.#confirm(id, data);
    this.#announce(live);
    this.#linger();
  }

  /** The presence is told again on each connection, and to whoever the user is now. */
  #announce(live: Live): void {
    const sends = live.transport === 'websocket';
    live.announces = sends && this.#presence !== undefined;
    if (sends || this.#presence === undefined) return;
    this.#trouble(
      new RealtimeError('transport', 'server-sent events carry no presence: it takes a WebSocket'),
    );
  }

  /** A browser sends no session with an event stream of another origin: who relies on one is told, once for each. */
  #notShown(): void {
    const { credential, generation } = this.#pass;
    if (credential?.kind !== 'session' || this.#unshown === generation) return;
    this.#unshown = generation;
    const why =
      'server-sent events from another origin take no session, so a guest listens: use setJWT() or setTokenProvider()';
    this.#trouble(new RealtimeError('unauthenticated', why));
  }

  /** The server listens for this subscription, and says what became of the time in between if there was one. */
  #confirm(id: string, item: unknown): void {
    const subscription = this.#subscriptions.get(id);
    if (this.#phase.is !== 'live' || subscription === undefined) return;
    const { live } = this.#phase;
    subscription.established = true;
    if (this.#shown === this.#pass.generation) this.#do({ do: 'ready', subscription: id });
    else live.held.add(id);
    if (!live.resuming.delete(id)) return;
    const gap = gapOf(item);
    subscription.gap = gap ?? subscription.gap;
    this.#tell(gap ? { type: 'gap', subscription: id, gap } : { type: 'recovered', subscription: id });
  }

  /** The server itself may have missed something; each subscription is told. */
  #missed(gap: Gap): void {
    if (this.#phase.is !== 'live') return;
    for (const [id, subscription] of this.#subscriptions) {
      subscription.gap = gap;
      this.#tell({ type: 'gap', subscription: id, gap });
    }
  }

  /** Hands an event to the subscriptions that it is for, unless they have it already. */
  #deliver(event: RealtimeEvent, named: string[]): void {
    if (this.#phase.is !== 'live') return;
    const { names } = this.#phase.live;
    const ids = named.length > 0 ? named.map((name) => names.get(name) ?? name) : this.#listeningTo(event);
    this.#last = event.id ?? this.#last;
    for (const id of new Set(ids)) {
      const subscription = this.#subscriptions.get(id);
      if (subscription?.seen.isNew(event.id)) {
        this.#do({ do: 'deliver', subscription: id, event: { ...event, gap: subscription.gap } });
        subscription.gap = undefined;
      }
    }
  }

  /** Servers before 2025 do not say whom an event is for: its channels do, and they name all that it is published on. */
  #listeningTo(event: RealtimeEvent): string[] {
    const published = new Set(event.channels);
    const listens = ({ interest }: Subscription) =>
      interest.channels.some((channel) => published.has(channel));
    return [...this.#subscriptions].filter(([, one]) => listens(one)).map(([id]) => id);
  }

  #answered({ to, user, presence, subscriptions }: message.Message & { type: 'response' }): void {
    if (this.#phase.is !== 'live') return;
    const { live } = this.#phase;
    const { asked } = live;
    if (asked?.type !== to) return;
    live.asked = undefined;
    if (to === 'authentication') {
      this.#pass.accepted();
      this.#tell({ type: 'authenticated', user });
      this.#release(live);
      this.#announce(live);
    } else if (to === 'presence') {
      this.#tell({ type: 'present', presence });
    } else if (to === 'subscribe') {
      this.#inUrl = false;
      this.#proven = true;
      live.subscribed = true;
      const answers = new Map(
        subscriptions.map((item) => [(item as { subscriptionId?: unknown } | null)?.subscriptionId, item]),
      );
      for (const id of asked.ids) this.#confirm(id, answers.get(id));
    }
  }

  /** It is known who listens: what was confirmed before is ready now. */
  #release(live: Live): void {
    if (this.#shown !== this.#pass.generation) return;
    for (const subscription of live.held) this.#do({ do: 'ready', subscription });
    live.held.clear();
  }

  #complained(code: number, text: string): void {
    const complaint = { code: closeCodeOf(code), reason: text };
    if (this.#phase.is !== 'live') {
      this.#complaint = complaint;
      return;
    }
    const { live } = this.#phase;
    const refuses = [0, 400, 404, 409, 1003].includes(code);
    const passes = (code >= 500 && code < 600) || code === 1013;
    const ofUser = live.asked?.type === 'authentication' || live.asked?.type === 'presence';
    const asked = refuses || passes || (ofUser && code === 401) ? live.asked : undefined;
    if (asked === undefined || passes) this.#complaint = complaint;
    if (asked === undefined) return;
    live.asked = undefined;
    if (passes) this.#askAgainLater(live, asked.type, asked.ids);
    else if (asked.type === 'subscribe') this.#notSubscribed(live, asked.ids, code, text);
    else if (asked.type === 'authentication') this.#notAuthenticated(live, code, text);
    else if (asked.type === 'presence') {
      const why = `the server refuses the presence: ${text} (${code})`;
      this.#trouble(new RealtimeError('refused', why, { code }));
    }
  }

  #askAgainLater(live: Live, type: string, ids: string[]): void {
    if (type === 'authentication') this.#shown = undefined;
    else if (type === 'presence') this.#announce(live);
    else if (type === 'unsubscribe') for (const id of ids) live.removed.add(id);
    else for (const id of ids) if (this.#subscriptions.has(id)) live.waiting.add(id);
    this.#pace.pause(this.#now + this.#settings.firstPause + upTo(this.#random, this.#settings.patience));
  }

  #notAuthenticated(live: Live, code: number, text: string): void {
    // Appwrite's own server takes sessions in a message, and nothing else.
    if (code === 1003 && this.#pass.credential?.kind === 'jwt' && !this.#jwtInUrl) {
      this.#jwtInUrl = true;
      this.#remake();
      return;
    }
    this.#pass.refused(this.#shown, this.#now);
    const why = `the server does not accept the credential; who one was before still holds: ${text} (${code})`;
    this.#trouble(new RealtimeError('unauthenticated', why, { code }));
    this.#release(live);
  }

  /** Nothing of such a message was applied. */
  #notSubscribed(live: Live, ids: string[], code: number, text: string): void {
    // Servers before 2026 know no such message.
    if (!this.#inUrl && !this.#proven && text.includes('Message type is not valid')) {
      this.#inUrl = true;
      this.#remake();
      return;
    }
    const [id] = ids;
    if (ids.length > 1) {
      // Which one of them it is, is found out by halves.
      const middle = Math.floor(ids.length / 2);
      live.batches.push(ids.slice(0, middle), ids.slice(middle));
    } else if (id !== undefined && !live.waiting.has(id) && this.#subscriptions.delete(id)) {
      const why = new RealtimeError('refused', `the server refuses the subscription: ${text} (${code})`, {
        code,
      });
      this.#do({ do: 'end', subscription: id, why });
      this.#linger();
    }
  }

  /** Connects anew, at once: not because of a failure, but for a URL to change. */
  #remake(): void {
    this.#hangUp(RETURNS);
    this.#connect();
  }

  #hangUp(code: number): void {
    if (this.#isConnected()) this.#do({ do: 'disconnect', code });
  }

  #giveUp(why: string): void {
    this.#do({ do: 'disconnect', code: RETURNS });
    this.#lost(lost(why), 0);
  }

  /** The connection is gone. What now? */
  #lost(end: Close, atLeast: number): void {
    const phase = this.#phase;
    const complaint = saysNothing(end) ? this.#complaint : undefined;
    const close = complaint ?? end;
    this.#complaint = undefined;
    this.#phase = { is: 'idle' };
    if (phase.is === 'live' && this.#now - phase.live.since >= STABLE_AFTER) this.#backoff.reset();
    if (this.#triesAnotherDialect(phase, close, complaint !== undefined)) return this.#connect();
    if (phase.is !== 'live' && saysNothing(close)) this.#triesAnotherTransport();
    const advice = adviceOf(close.code);
    if (advice === 'stop' || (advice === 'reauthenticate' && !this.#pass.canBeBetterThan(this.#shown))) {
      return this.#stop(close);
    }
    if (advice === 'reauthenticate') this.#pass.refused(this.#shown, this.#now);
    this.#pause(close, atLeast);
  }

  /** Whether the server speaks, but in another way than thought. Each way is found out once. */
  #triesAnotherDialect(phase: Phase, close: Close, onlyComplained: boolean): boolean {
    if (close.code !== 1008 || this.#inUrl) return false;
    // Servers before 2026 refuse a connection that names no channels in its URL.
    if (close.reason.includes('Missing channels') && !this.#proven) {
      this.#inUrl = true;
      return true;
    }
    // Appwrite's server of 2026 knows no project any more after it has authenticated a connection without
    // subscriptions. In production it hides that behind another text, and it never sends a Close frame.
    const asked = phase.is === 'live' && !phase.live.subscribed ? phase.live.asked?.type : undefined;
    const first = asked === 'subscribe' || asked === 'presence';
    const authenticated = this.#pass.credential !== undefined && this.#shown === this.#pass.generation;
    if (onlyComplained && first && authenticated && !this.#subscribesFirst) {
      this.#subscribesFirst = true;
      return true;
    }
    return false;
  }

  /** A connection came to nothing: something on the way may let only one kind through. */
  #triesAnotherTransport(): void {
    const { transports } = this.#settings;
    if (transports.length < 2) return;
    if (this.#transport === 'websocket') {
      this.#blocked += 1;
      this.#blockedAt = this.#now;
    }
    const blocked = this.#transport === 'websocket' && this.#blocked >= BLOCKED_AFTER;
    this.#transport = blocked ? 'sse' : 'websocket';
  }

  #pause(close: Close, atLeast: number): void {
    const advice = adviceOf(close.code);
    if (!this.isWanted) {
      this.#phase = { is: 'idle' };
      return this.#tell(disconnected(close, advice));
    }
    const pause = this.#backoff.next(windowOf(advice)) + atLeast;
    this.#phase = { is: 'waiting', until: this.#now + pause };
    this.#tell(disconnected(close, advice, pause));
  }

  #stop(close: Close): void {
    this.#tell(disconnected(close, adviceOf(close.code)));
    this.#endAll(stopped(close));
    this.#phase = { is: 'stopped', close };
  }

  #endAll(why: RealtimeError): void {
    for (const subscription of this.#subscriptions.keys()) this.#do({ do: 'end', subscription, why });
    this.#subscriptions.clear();
    this.#presence = undefined;
  }

  #lookAfterConnection(live: Live): void {
    const { pingEvery, patience } = this.#settings;
    if (live.isIdle(this.#now)) {
      this.#do({ do: 'disconnect', code: GOODBYE });
      this.#rest();
    } else if (live.isSilent(this.#now)) this.#giveUp('the server has gone silent');
    else if (live.asked !== undefined && live.asked.until <= this.#now) {
      this.#giveUp('the server does not answer');
    } else if (live.remakeAt !== undefined && live.remakeAt <= this.#now) {
      this.#remadeAt = this.#now;
      this.#remake();
    } else {
      // Server-sent events have heartbeats of the server in place of pings.
      const streams = live.transport === 'sse';
      const pings = live.pingIfDue(this.#now, pingEvery, streams ? SILENT_AFTER * pingEvery : patience);
      if (pings && !streams) this.#do({ do: 'send', text: message.PING });
      if (this.#pass.isDue(this.#now)) this.#provide();
    }
  }

  /** Whether the credential is to be shown next. */
  #wantsToAuthenticate(live: Live): boolean {
    return this.#shown !== this.#pass.generation && !this.#mustSubscribeBefore(live);
  }

  /** Whether something has to be subscribed to before it is shown who is there. */
  #mustSubscribeBefore(live: Live): boolean {
    const first = this.#subscribesFirst && !this.#namesInUrl() && live.told.size === 0;
    return first && this.#pass.credential !== undefined;
  }

  #hasSomethingToSay(live: Live): boolean {
    const announces = live.announces && !this.#mustSubscribeBefore(live);
    return this.#wantsToAuthenticate(live) || announces || (!this.#namesInUrl() && live.hasChanges());
  }

  /**
   * Says the next thing that is to be said, if the last was answered: one after another, so that an error is known to be
   * about this one, also with servers that handle messages side by side.
   */
  #speak(): void {
    if (this.#phase.is !== 'live') return;
    const { live } = this.#phase;
    if (live.asked !== undefined || !this.#hasSomethingToSay(live)) return;
    if (this.#wantsToAuthenticate(live) && this.#showsInRequest(this.#pass.credential)) return this.#remake();
    if (!this.#pace.take(this.#now)) return;
    const said = this.#nextMessage(live);
    if (said === undefined) return;
    const [type, ids, text] = said;
    live.asked = { type, ids, until: this.#now + this.#settings.patience };
    this.#do({ do: 'send', text });
  }

  #nextMessage(live: Live): [NonNullable<Live['asked']>['type'], string[], string] | undefined {
    const { credential, generation } = this.#pass;
    if (this.#wantsToAuthenticate(live) && credential !== undefined) {
      this.#shown = generation;
      return ['authentication', [], message.authentication(credential)];
    }
    if (!this.#namesInUrl()) {
      const removed = live.takeRemoved(MAX_ITEMS);
      if (removed.length > 0) return ['unsubscribe', removed, message.unsubscribe(removed)];
      const ids = live.takeBatch(this.#subscriptions, MAX_ITEMS, MAX_MESSAGE);
      const items = ids.flatMap((id) => this.#subscriptions.get(id)?.item(id, live.resuming.has(id)) ?? []);
      if (items.length > 0) return ['subscribe', ids, message.subscribe(items)];
    }
    if (!live.announces || this.#presence === undefined || this.#mustSubscribeBefore(live)) return undefined;
    live.announces = false;
    live.announced = true;
    return ['presence', [], this.#presence];
  }
}
