// A chat room: every message reaches every page, also those that were offline for a moment.
//
//   npm install ../../sdk/typescript esbuild
//   npx esbuild chat.ts --bundle --format=esm --outfile=chat.js
//   node ../relay.js .

import { Appwrite } from '@realtime-server/client';

interface Message {
  name: string;
  text: string;
}

const element = <E extends HTMLElement>(id: string) => document.getElementById(id) as E;

const settings = await (await fetch('settings.json')).json();
const sdk = new Appwrite()
  .setHostname(settings.hostname)
  .setProject(settings.project)
  .setSecureProtocol(settings.secure);

const say = (text: string) => {
  element('state').textContent = text;
};
sdk.realtime.on('connected', () => say('connected'));
sdk.realtime.on('recovered', () => say('connected again, and nothing was missed'));
sdk.realtime.on('gap', () => say('connected again; some messages may be missing'));
sdk.realtime.on('disconnected', ({ reason, againIn }) => {
  say(againIn === undefined ? `refused: ${reason}` : 'offline, connecting again');
});
sdk.realtime.on('error', ({ error }) => say(error.message));

const subscription = sdk.realtime.subscribe<Message>('chat', ({ payload }) => {
  const item = document.createElement('li');
  item.textContent = `${payload.name}: ${payload.text}`;
  element('messages').append(item);
});
await subscription.ready;
say('ready');

element<HTMLFormElement>('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const text = element<HTMLInputElement>('text');
  const message: Message = { name: element<HTMLInputElement>('name').value, text: text.value };
  const sent = await fetch('chat', { method: 'POST', body: JSON.stringify(message) });
  if (sent.ok) text.value = '';
  else say('the message could not be sent; try again');
});
