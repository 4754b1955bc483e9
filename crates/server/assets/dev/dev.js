// The page of `realtime dev`: listens on its own origin, shows what comes, and publishes on request.

const KEPT = 500; // Events on the page; older ones go.
const PING = 20_000; // The official SDKs' heartbeat, in milliseconds.
const SLOWEST_RETRY = 10_000;
const REFUSED = 1008; // The one close code after which trying again is useless.

const $ = (id) => document.getElementById(id);

/** What the server tells this page: endpoint, project, and the demo's credentials. */
let facts;

/** The connection and what is wanted of it. */
const link = { socket: undefined, attempt: 0, loggedIn: false, heartbeat: undefined };

const shown = { paused: false, held: [], count: 0 };

start();

async function start() {
  try {
    facts = await (await fetch('/dev.json')).json();
  } catch {
    state('refused', 'Server unreachable');
    return;
  }
  $('project').textContent = facts.project;
  $('log-in').disabled = !facts.user;
  $('listen').addEventListener('submit', onSubscribe);
  $('publish').addEventListener('submit', onPublish);
  $('publish').addEventListener('input', showCurl);
  $('log-in').addEventListener('click', logIn);
  $('log-out').addEventListener('click', logOut);
  $('pause').addEventListener('click', onPause);
  $('clear').addEventListener('click', onClear);
  for (const button of document.querySelectorAll('[data-copy]')) {
    button.addEventListener('click', () => copy(button));
  }
  showSnippets();
  showCurl();
  connect();
}

// The connection.

function connect() {
  state('connecting', link.attempt ? 'Reconnecting' : 'Connecting');
  const url = new URL('/v1/realtime', location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  url.searchParams.set('project', facts.project);
  const socket = new WebSocket(url);
  link.socket = socket;
  socket.addEventListener('message', ({ data }) => {
    if (socket === link.socket) receive(JSON.parse(data));
  });
  socket.addEventListener('close', ({ code, reason }) => {
    if (socket === link.socket) onClosed(code, reason);
  });
}

function onClosed(code, reason) {
  clearInterval(link.heartbeat);
  if (code === REFUSED) {
    state('refused', reason || 'Refused');
    return;
  }
  state('connecting', 'Reconnecting');
  link.attempt += 1;
  const wait = Math.min(SLOWEST_RETRY, 250 * 2 ** link.attempt);
  setTimeout(connect, wait * (0.5 + Math.random() / 2));
}

function send(type, data) {
  if (link.socket?.readyState === WebSocket.OPEN) link.socket.send(JSON.stringify({ type, data }));
}

function receive({ type, data }) {
  switch (type) {
    case 'connected':
      link.attempt = 0;
      state('connected', 'Connected');
      link.heartbeat = setInterval(() => send('ping'), PING);
      if (link.loggedIn) send('authentication', { session: facts.user.session });
      subscribe();
      break;
    case 'response':
      if (data.to === 'authentication') showIdentity(data.user);
      if (data.to === 'subscribe') showSubscribed(data.subscriptions.flatMap(({ channels }) => channels));
      break;
    case 'event':
      if (shown.paused) hold(data);
      else show(data);
      break;
    case 'error':
      say('subscribed', data.message, 'bad');
      break;
  }
}

// Listening.

function onSubscribe(event) {
  event.preventDefault();
  subscribe();
}

/** One subscription under one id: sending it again replaces its channels. */
function subscribe() {
  const channels = names($('channels').value);
  if (channels.length) send('subscribe', [{ subscriptionId: 'page', channels, queries: [] }]);
}

function showSubscribed(channels) {
  say('subscribed', `Listening to ${channels.join(', ')}`);
}

function logIn() {
  link.loggedIn = true;
  send('authentication', { session: facts.user.session });
  // `account` of a guest names nobody; once logged in, the same word means the user's own channel.
  subscribe();
}

/** A connection never becomes a guest again: a new one does. */
function logOut() {
  link.loggedIn = false;
  showIdentity(null);
  link.socket.close(1000);
}

function showIdentity(user) {
  $('identity').textContent = user ? user.name || user.email || user.$id : 'Guest';
  $('log-in').hidden = Boolean(user);
  $('log-out').hidden = !user;
}

// Events.

function show(data) {
  const item = $('event').content.cloneNode(true);
  const time = item.querySelector('time');
  const at = new Date(data.timestamp ?? Date.now());
  time.dateTime = at.toISOString();
  time.textContent = at.toLocaleTimeString([], { hour12: false }) + '.' + String(at.getMilliseconds()).padStart(3, '0');
  item.querySelector('.event-name').textContent = data.event ?? data.events?.[0] ?? 'event';
  const channels = (data.channels ?? []).map((name) => {
    const channel = document.createElement('li');
    channel.textContent = name;
    return channel;
  });
  item.querySelector('.event-channels').replaceChildren(...channels);
  item.querySelector('.event-payload').textContent = JSON.stringify(data.payload, null, 2);
  const list = $('events');
  list.prepend(item);
  while (list.children.length > KEPT) list.lastElementChild.remove();
  shown.count += 1;
  showCount();
}

function hold(data) {
  shown.held.push(data);
  if (shown.held.length > KEPT) shown.held.shift();
  showCount();
}

function onPause() {
  shown.paused = !shown.paused;
  $('pause').setAttribute('aria-pressed', String(shown.paused));
  $('pause').textContent = shown.paused ? 'Resume' : 'Pause';
  if (!shown.paused) shown.held.splice(0).forEach(show);
  showCount();
}

function onClear() {
  $('events').replaceChildren();
  shown.held.length = 0;
  shown.count = 0;
  showCount();
}

function showCount() {
  const held = shown.held.length ? ` + ${shown.held.length} held` : '';
  $('count').textContent = `${shown.count}${held}`;
  $('empty').hidden = $('events').children.length > 0;
}

// Publishing.

async function onPublish(event) {
  event.preventDefault();
  let body;
  try {
    body = publication();
  } catch (error) {
    say('outcome', error.message, 'bad');
    return;
  }
  try {
    const response = await fetch('/v1/realtime/events', {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'X-Appwrite-Project': facts.project,
        'X-Appwrite-Key': facts.apiKey,
      },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (response.ok) say('outcome', `Published as ${answer.events[0].id}`, 'good');
    else say('outcome', answer.detail ?? answer.title, 'bad');
  } catch {
    say('outcome', 'The server did not answer', 'bad');
  }
}

/** The form as the body of a request. Throws if the payload is not a JSON object. */
function publication() {
  let payload;
  try {
    payload = JSON.parse($('payload').value);
  } catch {
    throw new Error('The payload is not valid JSON');
  }
  if (payload === null || typeof payload !== 'object' || Array.isArray(payload)) {
    throw new Error('The payload must be a JSON object');
  }
  const role = $('role').value === 'self' ? `user:${facts.user?.id}` : $('role').value;
  return { channels: names($('to').value), roles: [role], events: [$('name').value.trim()], payload };
}

function showCurl() {
  let body;
  try {
    body = publication();
  } catch {
    return; // Publishing says what is wrong; the last good command stays.
  }
  const quoted = JSON.stringify(body).replaceAll("'", `'\\''`);
  $('curl').textContent = [
    `curl ${facts.endpoint}/realtime/events \\`,
    `  -H 'X-Appwrite-Project: ${facts.project}' \\`,
    `  -H 'X-Appwrite-Key: ${facts.apiKey}' \\`,
    `  -d '${quoted}'`,
  ].join('\n');
}

// How to connect.

function showSnippets() {
  const { endpoint, project } = facts;
  $('sdk').textContent = [
    `import { Client, Realtime } from 'appwrite';`,
    ``,
    `const client = new Client()`,
    `  .setEndpoint('${endpoint}')`,
    `  .setProject('${project}');`,
    ``,
    `await new Realtime(client).subscribe('documents', (event) => {`,
    `  console.log(event.events[0], event.payload);`,
    `});`,
  ].join('\n');
  const socket = endpoint.replace(/^http/, 'ws');
  $('socket').textContent = [
    `const url = '${socket}/realtime?project=${project}&channels[]=documents';`,
    `new WebSocket(url).onmessage = ({ data }) => console.log(data);`,
  ].join('\n');
  $('stream').textContent = [
    `curl -N -g -H 'Accept: text/event-stream' \\`,
    `  '${endpoint}/realtime?project=${project}&channels[]=documents'`,
  ].join('\n');
}

async function copy(button) {
  const text = $(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch {
    // Without permission the reader copies by hand: the text is selected.
    getSelection().selectAllChildren($(button.dataset.copy));
    button.textContent = 'Selected';
  }
  setTimeout(() => (button.textContent = 'Copy'), 1500);
}

// Small things.

function names(text) {
  return text.split(',').map((name) => name.trim()).filter(Boolean);
}

function state(name, text) {
  $('state').dataset.state = name;
  $('state').textContent = text;
}

function say(id, text, tone = '') {
  $(id).dataset.tone = tone;
  $(id).textContent = text;
}
