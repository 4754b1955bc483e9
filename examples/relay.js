// Serves the pages of an example, and publishes what they post: the part of a backend that keeps the API key.
//
//   realtime dev --json > dev.json &
//   export REALTIME_ENDPOINT=$(jq -r .endpoint dev.json) REALTIME_API_KEY=$(jq -r .apiKey dev.json)
//   node examples/relay.js examples/chat
//
// A real backend would know who posts, and check it.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';

const folder = process.argv[2] ?? '.';
const endpoint = process.env.REALTIME_ENDPOINT ?? 'http://127.0.0.1:8080/v1';
const project = process.env.REALTIME_PROJECT ?? 'demo';
const key = process.env.REALTIME_API_KEY;
const port = Number(process.env.PORT ?? 8000);

const CHANNELS = ['chat', 'cursors'];
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css' };
const LONGEST = 4096; // Bytes of what may be posted.

async function answer(request, response) {
  const { pathname } = new URL(request.url, 'http://here');
  if (request.method === 'POST') {
    const channel = pathname.slice(1);
    if (!CHANNELS.includes(channel)) return response.writeHead(404).end();
    const payload = JSON.parse(await bodyOf(request));
    const published = await fetch(`${endpoint}/realtime/events`, {
      method: 'POST',
      headers: { 'X-Appwrite-Project': project, 'X-Appwrite-Key': key },
      body: JSON.stringify({ channels: [channel], roles: ['any'], payload }),
    });
    return response.writeHead(published.ok ? 204 : 502).end();
  }
  if (pathname === '/settings.json') {
    const { host, protocol } = new URL(endpoint);
    response.setHeader('content-type', 'application/json');
    return response.end(JSON.stringify({ hostname: host, project, secure: protocol === 'https:' }));
  }
  const name = pathname === '/' ? 'index.html' : pathname.slice(1);
  if (!/^[\w.-]+$/.test(name) || !(extname(name) in TYPES)) return response.writeHead(404).end();
  response.setHeader('content-type', TYPES[extname(name)]);
  response.end(await readFile(join(folder, name)));
}

async function bodyOf(request) {
  let body = '';
  for await (const chunk of request) {
    body += chunk;
    if (body.length > LONGEST) throw new Error('too long');
  }
  return body;
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error.message);
    if (!response.headersSent) response.writeHead(400);
    response.end();
  });
});
server.listen(port, '127.0.0.1', () => console.log(`http://localhost:${server.address().port}/`));
