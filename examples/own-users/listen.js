// Users of a system of your own: it signs a JSON Web Token for each, and Realtime believes the signature.
//
//   export REALTIME_JWT_HS256_SECRET=$(openssl rand -hex 32)
//   realtime dev --json > dev.json &
//   export REALTIME_ENDPOINT=$(jq -r .endpoint dev.json) REALTIME_API_KEY=$(jq -r .apiKey dev.json)
//   npm install ../../sdk/typescript ws && node listen.js
//
// Prints what carol hears, who owns the team red, and then ends.

import { createHmac } from 'node:crypto';

import { Appwrite } from '@realtime-server/client';

const endpoint = process.env.REALTIME_ENDPOINT ?? 'http://127.0.0.1:8080/v1';
const project = process.env.REALTIME_PROJECT ?? 'demo';
const secret = process.env.REALTIME_JWT_HS256_SECRET;

/** What your backend does when a user who has logged in asks for a token. The secret never leaves it. */
function tokenFor(user) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: user.id, name: user.name, teams: user.teams, iat: now, exp: now + 15 * 60 };
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** What your backend does when something happens. */
async function publish(role, payload) {
  const response = await fetch(`${endpoint}/realtime/events`, {
    method: 'POST',
    headers: { 'X-Appwrite-Project': project, 'X-Appwrite-Key': process.env.REALTIME_API_KEY },
    body: JSON.stringify({ channels: ['orders'], roles: [role], payload }),
  });
  if (!response.ok) throw new Error(`publishing failed: ${await response.text()}`);
}

const carol = { id: 'carol', name: 'Carol', teams: { red: ['owner'] } };
const sdk = new Appwrite()
  .setEndpoint(endpoint)
  .setProject(project)
  // A web page would fetch it from your backend. It is asked again a minute before the token ends.
  .setTokenProvider(async () => tokenFor(carol));

const orders = sdk.realtime.subscribe('orders');
await orders.ready;
await publish('user:dave', { for: 'dave alone' });
await publish('user:carol', { for: 'carol alone' });
await publish('team:red/owner', { for: 'the owners of red' });

let heard = 0;
for await (const { payload } of orders) {
  console.log(`carol hears what is for ${payload.for}`);
  heard += 1;
  if (heard === 2) break;
}
sdk.realtime.close();
