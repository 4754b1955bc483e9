// A server that speaks only Appwrite's dialect of before 2026: channels in the URL, no `subscribe` message, no Close frame.

import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

import { type WebSocket, WebSocketServer } from 'ws';

export class OldServer {
  /** Where it is, as `host:port`. */
  host = '';
  /** URLs of the connections so far. */
  urls: string[] = [];
  #http: Server;
  #sockets = new Map<WebSocket, string[]>();
  #links = new Set<Socket>();

  private constructor() {
    this.#http = createServer((_, response) => response.writeHead(400).end('HTTP 400 Bad Request'));
    const server = new WebSocketServer({ server: this.#http });
    server.on('connection', (socket, request) => this.#connected(socket, request.url ?? ''));
    this.#http.on('connection', (link) => {
      this.#links.add(link);
      link.once('close', () => this.#links.delete(link));
    });
  }

  static async start(): Promise<OldServer> {
    const server = new OldServer();
    await new Promise<void>((resolve) => server.#http.listen(0, '127.0.0.1', resolve));
    server.host = `127.0.0.1:${(server.#http.address() as AddressInfo).port}`;
    return server;
  }

  /** To how many connections it went. */
  publish(channel: string, payload: object): number {
    const data = {
      events: [`${channel}.update`],
      channels: [channel],
      timestamp: '2026-01-01 00:00:00',
      payload,
    };
    const listening = [...this.#sockets].filter(([, channels]) => channels.includes(channel));
    for (const [socket] of listening) socket.send(JSON.stringify({ type: 'event', data }));
    return listening.length;
  }

  /** Ends every link without a word. */
  cut(): void {
    this.#sockets.clear();
    for (const link of this.#links) link.destroy();
  }

  stop(): void {
    this.cut();
    this.#http.close();
  }

  #connected(socket: WebSocket, url: string): void {
    this.urls.push(url);
    const channels = new URL(url, 'http://host').searchParams.getAll('channels[]');
    const refuse = (code: number, message: string) => {
      socket.send(JSON.stringify({ type: 'error', data: { code, message } }));
    };
    if (channels.length === 0) {
      refuse(1008, 'Missing channels');
      setTimeout(() => socket.terminate(), 5);
      return;
    }
    this.#sockets.set(socket, channels);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('message', (text) => {
      const { type } = JSON.parse(String(text));
      if (type === 'ping') socket.send('{"type":"pong"}');
      else refuse(1003, 'Message type is not valid.');
    });
    socket.send(JSON.stringify({ type: 'connected', data: { channels, user: null } }));
  }
}
