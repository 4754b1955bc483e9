// A session, a clock, and a server that it talks to.

import { expect } from 'vitest';

import type { Effect } from '../../src/effect.js';
import type { RealtimeError } from '../../src/error.js';
import type { RealtimeEvent } from '../../src/event.js';
import { type Channels, interest } from '../../src/interest.js';
import type { Request } from '../../src/request.js';
import { Endpoint, Session, type Settings, usual } from '../../src/session.js';
import type { State, StateOf } from '../../src/state.js';
import { dice } from '../random.js';
import { type Kind, Server } from './server.js';

/** Of what JavaScript's timers may be late. */
export class Talk {
  session: Session;
  server: Server;
  now = 0;
  link: 'down' | 'dialling' | 'up' = 'down';
  requests: { at: number; request: Request }[] = [];
  states: State[] = [];
  ready: string[] = [];
  ended: { subscription: string; why: RealtimeError }[] = [];
  events: { subscription: string; event: RealtimeEvent }[] = [];
  provided = 0;
  /** The codes with which connections were ended. */
  leftWith: number[] = [];
  /** What one hears in place of the server, if it cannot be reached. */
  unreachable: string | undefined;
  /** WebSockets do not get through. */
  blocked = false;
  /** Nothing gets through any more, and nobody is told. */
  stalled = false;

  constructor(kind: Kind, adjust: Partial<Settings> = {}) {
    const settings = {
      ...usual(new Endpoint('http://host/v1'), 'p'),
      transports: ['websocket'] as const,
      ...adjust,
    };
    this.session = new Session(settings, dice(7), this.now);
    this.server = new Server(kind);
  }

  subscribe(channels: Channels, queries: string[] = []): string {
    const id = this.session.subscribe(interest(channels, queries), this.now);
    this.settle();
    return id;
  }

  unsubscribe(id: string): void {
    this.session.unsubscribe(id, this.now);
    this.settle();
  }

  publish(channel: string): void {
    this.server.publish(channel);
    this.settle();
  }

  /** The server says something out of order. */
  hear(text: string | object): void {
    this.session.received(typeof text === 'string' ? text : JSON.stringify(text), this.now);
    this.settle();
  }

  /** The connection ends; what was on its way is lost. */
  cut(code: number): void {
    this.server.hangUp();
    this.link = 'down';
    this.session.closed({ code, reason: '' }, this.now);
    this.settle();
  }

  /** Until nothing happens any more without time passing. */
  settle(): void {
    do this.carryOut();
    while (!this.stalled && this.deliverOne());
  }

  /** Hands one message of the server to the session. */
  deliverOne(): boolean {
    const said = this.server.wire.shift();
    if (said === undefined) return false;
    if ('text' in said) this.session.received(said.text, this.now);
    else {
      this.link = 'down';
      this.server.hangUp();
      this.session.closed(said, this.now);
    }
    return true;
  }

  carryOut(): void {
    let done = 0;
    for (let effect = this.session.pollEffect(); effect; effect = this.session.pollEffect()) {
      done += 1;
      if (done > 100_000) throw new Error('effects have no end');
      this.#carryOutOne(effect);
    }
  }

  #carryOutOne(effect: Effect): void {
    switch (effect.do) {
      case 'connect': {
        expect(this.link, 'one connection at a time').toBe('down');
        this.link = 'dialling';
        const { request } = effect;
        this.requests.push({ at: this.now, request });
        const why = this.blocked && request.transport === 'websocket' ? 'blocked' : this.unreachable;
        if (why !== undefined) {
          this.link = 'down';
          this.session.failed(why, 0, this.now);
        } else if (!this.stalled) {
          this.link = 'up';
          this.session.opened(this.now);
          this.server.open(request);
        }
        break;
      }
      case 'disconnect':
        expect(this.link, 'there is something to end').not.toBe('down');
        this.link = 'down';
        this.server.hangUp();
        this.leftWith.push(effect.code);
        break;
      case 'send':
        expect(this.link, `${effect.text} goes nowhere`).toBe('up');
        if (!this.stalled) this.server.hear(effect.text);
        break;
      case 'provide':
        this.provided += 1;
        break;
      case 'deliver':
        this.events.push(effect);
        break;
      case 'ready':
        this.ready.push(effect.subscription);
        break;
      case 'end':
        this.ended.push(effect);
        break;
      case 'tell':
        this.states.push(effect.state);
    }
  }

  /** Lets time pass, with a wake-up whenever the session wants one. */
  pass(time: number): void {
    this.settle();
    const end = this.now + time;
    let wakes = 0;
    for (;;) {
      const due = this.session.pollTimeout();
      if (due === undefined || due > end) break;
      wakes = due > this.now ? 0 : wakes + 1;
      expect(wakes, 'a busy loop').toBeLessThan(5);
      this.now = Math.max(this.now, due);
      this.session.handleTimeout(this.now);
      this.settle();
    }
    this.now = end;
  }

  seconds(seconds: number): void {
    this.pass(1000 * seconds);
  }

  /** The clock jumps: the machine has slept. */
  jump(time: number): void {
    this.now += time;
    for (let wakes = 0; wakes < 5; wakes += 1) {
      const due = this.session.pollTimeout();
      if (due === undefined || due > this.now) return;
      this.session.handleTimeout(this.now);
      this.settle();
    }
    throw new Error('a busy loop after a jump');
  }

  /** The numbers of the events that a subscription got, in order. */
  numbers(id: string): number[] {
    const of = this.events.filter(({ subscription }) => subscription === id);
    return of.map(({ event }) => (event.payload as { n: number }).n);
  }

  /** How many messages of a type the server heard. */
  heard(type: string): number {
    return this.server.heard.filter((message) => message.type === type).length;
  }

  /** The states of one type. */
  told<K extends State['type']>(type: K): StateOf<K>[] {
    return this.states.filter((state): state is StateOf<K> => state.type === type);
  }

  url(index = -1): string {
    return this.requests.at(index)?.request.url ?? '';
  }
}
