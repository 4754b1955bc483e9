// A browser tab as far as an SDK can tell: a `window` of its own with a local storage, timers and WebSockets.
//
// The SDK's code is read from node_modules and run as it is. Each tab is a world of its own, so that two users can be
// logged in at once, as they are in two browsers.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import vm from 'node:vm';

import WebSocket from 'ws';

import { until } from './until.js';

const require = createRequire(import.meta.url);

export class Tab {
  /** What the SDK exports. */
  sdk;
  /** The SDK's client. */
  client;
  /** Every message from the server, in order. */
  heard = [];
  #beats = new Set();
  #headers;
  #loggedIn = false;
  #open = new Set();
  #project;
  #service;
  #storage = new Storage();

  /** A tab with one major version of the SDK, for one project. The headers are what a browser would add. */
  constructor(major, { endpoint, project }, headers = {}) {
    this.#headers = headers;
    this.sdk = load(`appwrite-${major}`, this.#world());
    this.#project = project;
    this.client = new this.sdk.Client().setEndpoint(endpoint).setProject(project);
  }

  /** Logs in as the SDK would find it after a reload: the session is in the local storage. */
  login(session) {
    this.#loggedIn = true;
    return this.forge(session);
  }

  /** The same with a session that the server will not accept. */
  forge(session) {
    this.#storage.setItem('cookieFallback', JSON.stringify({ [`a_session_${this.#project}`]: session }));
    return this;
  }

  /**
   * Subscribes and waits until the server has agreed. `way` is 'client' (`client.subscribe`) or 'service'
   * (`new Realtime(client).subscribe`). Gives the events as they come, and what can be done with the subscription.
   */
  async listen(way, channels, queries) {
    const from = this.heard.length;
    const got = [];
    const callback = (event) => got.push(JSON.parse(JSON.stringify(event)));
    const args = queries ? [channels, callback, queries] : [channels, callback];
    if (way === 'client') {
      const stop = this.client.subscribe(...args);
      await this.#agreed(channels, from);
      return { got, stop };
    }
    this.#service ??= new this.sdk.Realtime(this.client);
    const subscription = await this.#service.subscribe(...args);
    await this.#agreed(channels, from);
    return {
      got,
      stop: () => (subscription.unsubscribe ?? subscription.close)(),
      update: (changes) => subscription.update(changes),
    };
  }

  /** Waits for a message of a type, said after the first `from` ones. */
  hear(type, from = 0, where = () => true) {
    const found = () => this.heard.slice(from).find((message) => message.type === type && where(message.data));
    return until(found, `a message '${type}'`);
  }

  /** Lets the SDK's heartbeat, which beats every 20 seconds, beat now. Gives how many hearts there are. */
  beat() {
    this.#beats.forEach((beat) => beat());
    return this.#beats.size;
  }

  /** Closes the tab: its connections are gone without a word. */
  close() {
    this.#beats.clear();
    this.#open.forEach((socket) => socket.terminate());
  }

  /** Old SDKs name channels in the URL, and are heard once connected; new ones send a message, which is answered. */
  async #agreed(channels, from) {
    const names = (list) => channels.every((channel) => list?.includes(channel));
    const isAgreed = (said) => {
      const connected = said.findLast(({ type }) => type === 'connected');
      if (connected && names(connected.data.channels)) {
        const known = connected.data.user || !this.#loggedIn;
        return known || said.slice(said.indexOf(connected)).some(({ data }) => data?.to === 'authentication');
      }
      return said.some(({ data }) => data?.to === 'subscribe' && data.subscriptions.some((one) => names(one.channels)));
    };
    await until(() => isAgreed(this.heard.slice(from)), `agreement on ${channels}`);
  }

  #world() {
    const tab = this;
    class Socket extends WebSocket {
      constructor(url) {
        super(url, { headers: tab.#headers });
        tab.#open.add(this);
        this.addEventListener('message', ({ data }) => tab.heard.push(JSON.parse(data)));
        this.addEventListener('close', () => tab.#open.delete(this));
        // A browser does not fail for an error that nobody listens to.
        this.on('error', () => {});
      }
    }
    const quiet = { log() {}, warn() {}, error() {}, info() {} };
    const world = {
      WebSocket: Socket,
      localStorage: this.#storage,
      setTimeout,
      clearTimeout,
      // The SDKs' only intervals are heartbeats.
      setInterval: (beat) => {
        tab.#beats.add(beat);
        return beat;
      },
      clearInterval: (beat) => tab.#beats.delete(beat),
      console: quiet,
      URL,
      URLSearchParams,
      fetch,
      Headers,
      FormData,
      File,
      Blob,
    };
    return { ...world, window: world };
  }
}

/** The part of a local storage that SDKs use. */
class Storage {
  #items = new Map();

  getItem(key) {
    return this.#items.get(key) ?? null;
  }

  setItem(key, value) {
    this.#items.set(key, String(value));
  }

  removeItem(key) {
    this.#items.delete(key);
  }
}

/** Runs the CommonJS build of a package in a world of its own. */
function load(name, world) {
  const path = require.resolve(name);
  const exports = {};
  const context = vm.createContext({ ...world, exports, module: { exports }, require: createRequire(path) });
  vm.runInContext(readFileSync(path, 'utf8'), context, { filename: path });
  return exports;
}
