// Where a server is.

import { RealtimeError } from './error.js';

/** Where a server is: the address of its API, such as `https://example.org/v1`. */
export class Endpoint {
  /** With `http` or `https`, without a slash at the end. */
  readonly address: string;

  /** Reads `http(s)://` or `ws(s)://`, a host, and a path if there is one. */
  constructor(text: string) {
    const refused = (why: string) =>
      new RealtimeError('settings', `${JSON.stringify(text)} is no place of a server: ${why}`);
    const [, scheme, rest] = /^\s*([a-z]+):\/\/(.*?)\/*\s*$/i.exec(text) ?? [];
    if (scheme === undefined || rest === undefined) {
      throw refused('it begins with http:// or https://, as in https://example.org/v1');
    }
    if (!/^(http|ws)s?$/i.test(scheme)) throw refused('its scheme is http, https, ws or wss');
    if (/[?#@]/.test(rest))
      throw refused('it is a host and a path, without a query, a fragment or a password');
    // React Native's URL does not check anything, so this has to.
    if (!/^(\[[0-9a-f:.]+\]|[^\s/:[\]\\]+)(:\d{1,5})?(\/[^\s\\]*)?$/i.test(rest))
      throw refused('it is not a URL');
    this.address = `${scheme.toLowerCase().replace('ws', 'http')}://${rest}`;
  }

  /** The URL of a project's events: by WebSocket, or as server-sent events. */
  realtime(project: string, transport: 'websocket' | 'sse'): string {
    const address = transport === 'sse' ? this.address : this.address.replace('http', 'ws');
    return `${address}/realtime?project=${encoded(project)}`;
  }
}

/** Percent-encodes all but the unreserved characters of RFC 3986 §2.3, also where text is no well-formed UTF-16. */
export function encoded(text: string): string {
  // In unicode mode only lone surrogates match.
  const whole = text.replace(/[\uD800-\uDFFF]/gu, '\uFFFD');
  return encodeURIComponent(whole).replace(
    /[!'()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
