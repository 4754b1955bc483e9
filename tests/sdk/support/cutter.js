// A proxy in front of the server that cuts connections: bytes that it has taken and not passed on are lost.

import { connect, createServer } from 'node:net';

export class Cutter {
  /** Where clients find the server through it. */
  endpoint;
  /** Connections that were made through it. */
  links = 0;
  #open = new Set();
  #server;

  static async start(endpoint) {
    const cutter = new Cutter();
    const { hostname, port } = new URL(endpoint);
    cutter.#server = createServer((client) => {
      cutter.links += 1;
      const server = connect(Number(port), hostname);
      for (const [from, to] of [[client, server], [server, client]]) {
        cutter.#open.add(from);
        from.on('error', () => {});
        from.once('close', () => {
          cutter.#open.delete(from);
          to.destroy();
        });
        from.pipe(to);
      }
    });
    await new Promise((resolve) => cutter.#server.listen(0, '127.0.0.1', resolve));
    cutter.endpoint = `http://127.0.0.1:${cutter.#server.address().port}/v1`;
    return cutter;
  }

  /** How many links there are at the moment. */
  get open() {
    return this.#open.size / 2;
  }

  /** Ends every link at once, with what is on its way. */
  cut() {
    for (const link of this.#open) link.destroy();
  }

  stop() {
    this.cut();
    this.#server.close();
  }
}
