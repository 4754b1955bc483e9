// Socket.IO with WebSocket alone and no compression; a room, as its documentation broadcasts.
import { createServer } from "node:http";
import { Server } from "socket.io";

const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    for (const payload of JSON.parse(Buffer.concat(parts))) io.to("bench").emit("event", payload);
    response.end();
  });
});
const io = new Server(server, {
  transports: ["websocket"],
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
});
io.on("connection", (socket) => socket.join("bench"));
server.keepAliveTimeout = 3_600_000;
server.listen(Number(process.argv[2]), "127.0.0.1", 4096);
