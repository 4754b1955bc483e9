// In whatever runtime this is: listens as a user, tells what happens line by line, and ends by itself after the last event.

import process from 'node:process';

import { Appwrite, Query } from '@realtime-server/client';

const [endpoint, project, jwt, transport] = process.argv.slice(2);
const sdk = new Appwrite({ transports: [transport], longestPause: 200 })
  .setEndpoint(endpoint)
  .setProject(project);
sdk.setTokenProvider(async () => jwt);

for (const state of ['connected', 'recovered', 'gap', 'error']) {
  sdk.realtime.on(state, ({ error }) => console.log(error ? `error ${error.message}` : state));
}
const events = sdk.realtime.subscribe('documents', { queries: [Query.equal('kind', ['wanted'])] });
await events.ready;
console.log('ready');
for await (const { payload } of events) {
  console.log(`event ${payload.$id}`);
  if (payload.$id === 'last') break;
}
sdk.realtime.close();
