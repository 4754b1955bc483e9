// A JSON Web Token in the URL, for clients that cannot set headers.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import WebSocket from 'ws';

import { Server } from '../support/server.js';

test('a JWT in the URL makes the connection its user\'s', async () => {
  const server = await Server.start();
  const { endpoint, project, user } = server.facts;
  const url = `${endpoint.replace('http', 'ws')}/realtime?project=${project}&jwt=${user.jwt}&channels[]=account`;
  const socket = new WebSocket(url);
  const connected = await new Promise((resolve, reject) => {
    socket.once('message', (text) => resolve(JSON.parse(text)));
    socket.once('error', reject);
  });
  assert.equal(connected.type, 'connected');
  assert.equal(connected.data.user.$id, user.id);
  assert.deepEqual(connected.data.channels, ['account', `account.${user.id}`]);
  socket.close();
  await server.stop();
});
