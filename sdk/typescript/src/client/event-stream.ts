// A link over server-sent events (WHATWG HTML §9.2), read with `fetch`: it sees status and headers, which EventSource hides.

import { lost } from '../close.js';
import { encoded } from '../endpoint.js';
import type { Request } from '../request.js';
import { EXCERPT, type Heard, type Link, MAX_MESSAGE } from './link.js';

/** Opens an event stream. Nothing can be said on it. */
export function openEventStream(request: Request, heard: Heard): Link {
  const abort = new AbortController();
  read(request, heard, abort).catch((error: unknown) => {
    if (!abort.signal.aborted) heard.failed(`no event stream could be opened: ${messageOf(error)}`, 0);
  });
  return { send() {}, end: () => abort.abort() };
}

async function read(request: Request, heard: Heard, abort: AbortController): Promise<void> {
  const { signal } = abort;
  const [url, options] = optionsOf(request);
  const response = await fetch(url, { ...options, signal });
  const type = response.headers.get('content-type') ?? 'an answer without a type';
  if (!response.ok || !type.startsWith('text/event-stream') || !response.body) {
    const body = await response.text();
    if (signal.aborted) return;
    const why = `the answer is ${response.status} with ${type}, not an event stream: ${JSON.stringify(body.slice(0, EXCERPT))}`;
    return heard.failed(why, 1000 * (Number(response.headers.get('retry-after')) || 0));
  }
  if (signal.aborted) return;
  heard.opened();
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const lines = new Lines();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (signal.aborted) return;
      if (done) return heard.closed(lost('the server went away'));
      heard.alive();
      for (const { event, data } of lines.take(decoder.decode(value, { stream: true }))) {
        if (event === 'close') {
          heard.closed(closeIn(data));
          return abort.abort();
        }
        heard.text(data);
        // What was heard may have ended this.
        if (signal.aborted) return;
      }
      if (lines.size > MAX_MESSAGE) {
        heard.closed({
          code: 1009,
          reason: `the server sent a message of ${lines.size} characters and more`,
        });
        return abort.abort();
      }
    }
  } catch (error) {
    if (!signal.aborted) heard.closed(lost(`the connection was lost: ${messageOf(error)}`));
  }
}

/** Cookies and headers, where they can be sent; a JWT is in the URL where they cannot. */
function optionsOf({ url, credential }: Request): [string, RequestInit] {
  const { location } = globalThis as { location?: { origin: string } };
  const headers: Record<string, string> = { Accept: 'text/event-stream' };
  // From another origin, a browser would ask first whether it may send this; the cookie serves there.
  const mayShow = location === undefined || new URL(url).origin === location.origin;
  const jwt = credential?.kind === 'jwt';
  if (credential && mayShow) headers[jwt ? 'X-Appwrite-JWT' : 'X-Appwrite-Session'] = credential.token();
  const whole = jwt && !mayShow ? `${url}&jwt=${encoded(credential.token())}` : url;
  return [
    whole,
    location === undefined ? { headers } : { headers, credentials: 'include', cache: 'no-store' },
  ];
}

function closeIn(data: string): { code: number; reason: string } {
  try {
    const { code, reason } = JSON.parse(data);
    if (typeof code === 'number') return { code, reason: String(reason ?? '') };
  } catch {
    // Falls through: it ends in any case.
  }
  return lost('the server ended the event stream');
}

function messageOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { message?: string } };
  return [message ?? String(error), cause?.message].filter(Boolean).join(': ');
}

/** Puts events together from pieces of a stream. */
export class Lines {
  #rest = '';
  #event = '';
  #data: string[] = [];

  /** How much waits for its end. */
  get size(): number {
    return this.#data.reduce((sum, { length }) => sum + length, this.#rest.length);
  }

  /** The events that are whole with this piece. */
  take(piece: string): { event: string; data: string }[] {
    const whole: { event: string; data: string }[] = [];
    const lines = (this.#rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0) whole.push({ event: this.#event, data: this.#data.join('\n') });
        this.#event = '';
        this.#data = [];
      }
      // The dot is for every character, U+2028 and U+2029 too.
      const [, field, value] = /^(event|data)(?:: ?(.*))?$/s.exec(line) ?? [];
      if (field === 'data') this.#data.push(value ?? '');
      else if (field === 'event') this.#event = value ?? '';
    }
    return whole;
  }
}
