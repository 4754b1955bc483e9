// A WebSocket without a network: the test is the server.

import { Appwrite, type Options } from '../../src/index.js';

type Handler = ((event: never) => void) | null;

export class Wire {
  /** Every socket that was made, the latest last. */
  static all: Wire[] = [];
  onopen: Handler = null;
  onmessage: Handler = null;
  onerror: Handler = null;
  onclose: Handler = null;
  sent: { type: string; data: { subscriptionId: string; channels: string[] }[] }[] = [];
  closed: number | undefined;

  constructor(readonly url: string) {
    Wire.all.push(this);
  }

  static get last(): Wire {
    return Wire.all.at(-1) as Wire;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(code: number): void {
    this.closed = code;
  }

  /** The handshake is done, and the server is there. */
  open(): void {
    this.onopen?.({} as never);
    this.say({ type: 'connected', data: { user: null } });
  }

  say(data: unknown): void {
    this.onmessage?.({ data: typeof data === 'object' ? JSON.stringify(data) : data } as never);
  }

  /** Confirms all that was asked for and not confirmed. */
  confirm(): void {
    for (const { type, data } of this.sent.splice(0)) {
      this.say({ type: 'response', data: { to: type, success: true, subscriptions: data } });
    }
  }

  event(id: string, payload: unknown, ...subscriptions: string[]): void {
    this.say({ type: 'event', data: { id, payload, subscriptions, events: ['e'], channels: ['documents'] } });
  }

  end(code: number, reason = ''): void {
    this.onclose?.({ code, reason } as never);
  }
}

export function client(options: Options = {}): Appwrite {
  Wire.all = [];
  const sdk = new Appwrite({ WebSocket: Wire, transports: ['websocket'], ...options });
  return sdk.setHostname('host').setProject('p');
}

/** Lets what was wished in this turn be carried out. */
export const turn = () => Promise.resolve().then(() => undefined);
