// Where the server is, which project, and who listens: what an application says before it subscribes.

import type { WebSocketConstructor } from './client/web-socket.js';
import { Credential } from './credential.js';
import { Endpoint } from './endpoint.js';
import { RealtimeError } from './error.js';
import { Realtime, type TokenProvider } from './realtime.js';
import { type Settings, usual } from './session/settings.js';
import type { Transport } from './state.js';

/** What few applications need to say. */
export interface Options {
  /** A constructor of WebSockets, where the environment has none or another one is wanted. */
  readonly WebSocket?: WebSocketConstructor;
  /** Ways to connect, the preferred one first; `['websocket', 'sse']` if nothing is said. */
  readonly transports?: readonly Transport[];
  /** No pause before connecting again is longer, in milliseconds; 30,000 if nothing is said. */
  readonly longestPause?: number;
  /** Names subscriptions in the URL from the beginning, for servers that are known to need it. Otherwise that is found out. */
  readonly subscriptionsInUrl?: boolean;
}

/**
 * One client of one project.
 *
 * ```ts
 * let sdk = new Appwrite();
 * sdk.setHostname('example.org').setProject('shop');
 * const stop = sdk.realtime.subscribe('documents', (response) => console.log(response.payload));
 * ```
 */
export class Appwrite {
  /** Events of the project. */
  readonly realtime: Realtime;
  #options: Options;
  #hostname = '';
  #version = 'v1';
  #secure = true;
  #endpoint: string | undefined;
  #project = '';

  constructor(options: Options = {}) {
    this.#options = options;
    this.realtime = new Realtime(() => this.#settings(), options.WebSocket);
  }

  /** The server's host, with a port if it is not the usual one: `example.org`, `localhost:8080`. */
  setHostname(hostname: string): this {
    if (!/^[^\s/?#@]+$/.test(hostname)) {
      const why = `${JSON.stringify(hostname)} is no hostname: say example.org or localhost:8080, or use setEndpoint`;
      throw new RealtimeError('settings', why);
    }
    return this.#set('hostname', hostname !== this.#hostname, () => {
      this.#hostname = hostname;
      this.#endpoint = undefined;
    });
  }

  /** The id of the project to listen to. */
  setProject(project: string): this {
    return this.#set('project', project !== this.#project, () => {
      this.#project = project;
    });
  }

  /** The version of the API, which is the beginning of its paths; `v1` if nothing is said. */
  setVersion(version: string): this {
    return this.#set('version', version !== this.#version, () => {
      this.#version = version;
    });
  }

  /** Whether the connection is encrypted; `true` if nothing is said. */
  setSecureProtocol(secure: boolean): this {
    return this.#set('protocol', secure !== this.#secure, () => {
      this.#secure = secure;
    });
  }

  /** Hostname, version and protocol in one, as in `https://example.org/v1`. */
  setEndpoint(endpoint: string): this {
    new Endpoint(endpoint);
    return this.#set('endpoint', endpoint !== this.#endpoint, () => {
      this.#endpoint = endpoint;
    });
  }

  /**
   * Who listens, by the token of an Appwrite session. At any time: a connection changes its user without being made anew.
   * Not needed where the browser has the session's cookie.
   */
  setSession(token: string): this {
    this.realtime.authenticate(Credential.session(token));
    return this;
  }

  /** Who listens, by a JSON Web Token: of Appwrite's `account.createJWT`, or of a backend with users of its own. */
  setJWT(token: string): this {
    this.realtime.authenticate(Credential.jwt(token));
    return this;
  }

  /**
   * A function that is asked for a token before connecting, again a minute before a JWT ends, and when the server no longer
   * accepts the last one. A string is a JWT.
   */
  setTokenProvider(provider: TokenProvider): this {
    this.realtime.provide(provider);
    return this;
  }

  /**
   * Nobody in particular listens from now on: a guest, unless the browser has a session's cookie. A token provider is not
   * asked until the next `setSession`, `setJWT` or `setTokenProvider`.
   */
  forgetUser(): this {
    this.realtime.authenticate(undefined);
    return this;
  }

  #set(what: string, changes: boolean, apply: () => void): this {
    if (changes && this.realtime.isOpen) {
      const why = `the ${what} is chosen before the first subscribe; close() the connection first, or make another client`;
      throw new RealtimeError('settings', why);
    }
    apply();
    return this;
  }

  #settings(): Settings {
    const missing = (what: string) =>
      new RealtimeError('settings', `say which ${what} before the first subscribe`);
    if (!this.#project) throw missing('project: setProject("shop")');
    if (!this.#endpoint && !this.#hostname) throw missing('server: setHostname("example.org")');
    const scheme = this.#secure ? 'https' : 'http';
    const endpoint = new Endpoint(this.#endpoint ?? `${scheme}://${this.#hostname}/${this.#version}`);
    const settings = usual(endpoint, this.#project);
    const { transports, longestPause, subscriptionsInUrl } = this.#options;
    return {
      ...settings,
      transports: transports?.length ? transports : settings.transports,
      longestPause: longestPause ?? settings.longestPause,
      inUrl: subscriptionsInUrl ?? settings.inUrl,
    };
  }
}
