// The plainest broadcast that the `ws` package makes: no compression, each text handed to every client as one buffer.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    for (const payload of JSON.parse(Buffer.concat(parts))) {
      const data = Buffer.from(JSON.stringify(payload));
      for (const client of sockets.clients) client.send(data, { binary: false });
    }
    response.end();
  });
});
const sockets = new WebSocketServer({ server, perMessageDeflate: false, clientTracking: true });
server.keepAliveTimeout = 3_600_000;
server.listen(Number(process.argv[2]), "127.0.0.1", 4096);
