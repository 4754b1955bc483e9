// The server's internal API: what it answers, and how it is asked.

export interface Stats {
  connections: number;
  subscriptions: number;
  opened: number;
  closed: number;
  refused: number;
  events: number;
  deliveries: number;
  slow: number;
  leftOut: number;
  recovered: number;
  unrecovered: number;
  gaps: number;
  replayBytes: number;
}

export interface Overview {
  version: string;
  uptimeSeconds: number;
  ready: boolean;
  trouble: string | null;
  bus: { name: string; connected: boolean };
  directory: { name: string; answers: boolean; milliseconds: number | null; trouble: string | null; embedded: boolean };
  memory: { bytes: number | null; ceiling: number | null };
  stats: Stats;
  shards: { connections: number; jobsWaiting: number }[];
  projectCount: number;
  projects: { id: string; connections: number }[];
}

export interface History {
  everyMilliseconds: number;
  samples: { at: number; stats: Stats }[];
}

export interface Connection {
  id: string;
  transport: string;
  phase: 'opening' | 'live' | 'closing';
  project: string | null;
  user: string | null;
  address: string | null;
  admin: boolean;
  impersonated: boolean;
  seconds: number;
  expiresInSeconds: number | null;
  rechecking: boolean;
  catchingUp: boolean;
  waitingMessages: number;
  waitingBytes: number;
  subscriptions: number;
}

export interface ConnectionDetail extends Connection {
  roles: string[];
  subscriptionList: { id: string; channels: string[]; queries: string[] }[];
}

export interface Event {
  type: 'event';
  id: string;
  project: string;
  name: string | null;
  names: string[];
  channels: string[];
  roles: string[];
  user: string | null;
  rolesChanged: string | null;
  timestamp: string | null;
  bytes: number;
  /** The payload is too large to come unasked. */
  large: boolean;
  payload: unknown;
}

export interface Beat {
  type: 'beat';
  leftOut: number;
}

export interface Explained {
  id: string;
  name: string | null;
  delivered: boolean;
  verdict: string;
  project: { event: string; connection: string; passes: boolean };
  channels: { event: string[]; passes: boolean };
  roles: { event: string[]; connection: string[]; passes: boolean };
  subscriptions: {
    id: string;
    channels: string[];
    hasChannel: boolean;
    queries: { query: string; actual: unknown; holds: boolean }[];
    queriesHold: boolean;
    inTime: boolean | null;
  }[];
}

/** An event beside many connections, in short. */
export interface ExplainedToMany {
  id: string;
  name: string | null;
  connections: { id: string; user: string | null; transport: string; delivered: boolean; verdict: string }[];
}

/** Which event: one that passed, or one as it would be published. */
export type Which = { event: string } | { body: unknown };

export interface Project {
  id: string;
  name: string | null;
  connections: number;
}

export interface ProjectDetail {
  id: string;
  keys: { id: string; name: string; scopes: string[]; expires: string | null }[];
  platforms: { id: string; name: string; kind: string; hostname: string; key: string }[];
}

/** Why the server did not do it, in its own words. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const KEY = 'realtime-console-key';

/** The admin key, for as long as the tab is open. */
export const adminKey = {
  get: () => sessionStorage.getItem(KEY) ?? '',
  set: (key: string) => sessionStorage.setItem(KEY, key),
  forget: () => sessionStorage.removeItem(KEY),
};

/** Called when the server wants an admin key that it has not been shown. */
let onUnauthorized = () => {};
export function whenUnauthorized(act: () => void) {
  onUnauthorized = act;
}

/** Milliseconds that a change may take. */
const PATIENCE = 30_000;

async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const signal = init.signal ?? AbortSignal.timeout(PATIENCE);
  const headers: Record<string, string> = { 'X-Realtime-Console': '1' };
  if (adminKey.get()) headers.Authorization = `Bearer ${adminKey.get()}`;
  let response: Response;
  try {
    response = await fetch(`/console/api/${path}`, { ...init, signal, headers });
  } catch {
    if (init.signal?.aborted) throw init.signal.reason;
    if (signal.aborted) throw new Problem(0, `The server has not answered for ${PATIENCE / 1_000} s. It may have done it all the same.`);
    throw new Problem(0, 'The server does not answer.');
  }
  if (response.ok) return response;
  if (response.status === 401) onUnauthorized();
  const body = await response.json().catch(() => null);
  throw new Problem(response.status, body?.detail ?? `The server answered ${response.status}.`);
}

async function ask<T>(path: string, init?: RequestInit): Promise<T> {
  return (await request(path, init)).json();
}

function query(values: Record<string, string | undefined>): string {
  const said = Object.entries(values).filter((pair): pair is [string, string] => Boolean(pair[1]));
  return said.length ? `?${new URLSearchParams(said)}` : '';
}

const part = encodeURIComponent;
/** The server says something every second; a stream that is silent for so many milliseconds is dead. */
const SILENT_AFTER = 10_000;
const post = (body: unknown): RequestInit => ({ method: 'POST', body: JSON.stringify(body) });
const away = (mayComeBack: boolean) => (mayComeBack ? '' : '?come_back=false');

export const api = {
  overview: (signal?: AbortSignal) => ask<Overview>('overview', { signal }),
  history: (signal?: AbortSignal) => ask<History>('history', { signal }),
  connections: (filter: { project?: string; user?: string; channel?: string; from?: string }, signal?: AbortSignal) =>
    ask<{ connections: Connection[]; next: string | null }>(`connections${query(filter)}`, { signal }),
  connection: (id: string, signal?: AbortSignal) => ask<ConnectionDetail>(`connections/${part(id)}`, { signal }),
  endConnection: (id: string, mayComeBack: boolean) =>
    ask<{ ended: number }>(`connections/${part(id)}${away(mayComeBack)}`, { method: 'DELETE' }),
  endUser: (project: string, user: string, mayComeBack: boolean) =>
    ask<{ ended: number }>(`projects/${part(project)}/users/${part(user)}${away(mayComeBack)}`, { method: 'DELETE' }),
  explain: (what: { connection: string; project: string } & Which) =>
    ask<{ unpublished: string | null; events: Explained[] }>('explain', post(what)),
  /** For all connections of the project, or of one of its users; some at a time. */
  explainToMany: (what: { project: string; user?: string; from?: string } & Which) =>
    ask<{ unpublished: string | null; events: ExplainedToMany[]; next?: string | null }>('explain', post(what)),
  event: (project: string, id: string, signal?: AbortSignal) =>
    ask<Event>(`projects/${part(project)}/events/${part(id)}`, { signal }),
  publish: (project: string, body: unknown) =>
    ask<{ events: { id: string; published: boolean; reason?: string }[] }>(`projects/${part(project)}/events`, post(body)),
  projects: (signal?: AbortSignal) => ask<{ embedded: boolean; projects: Project[] }>('projects', { signal }),
  project: (id: string, signal?: AbortSignal) => ask<ProjectDetail>(`projects/${part(id)}`, { signal }),
  createProject: (id: string, name: string) => ask<{ id: string }>('projects', post({ id, name })),
  removeProject: (id: string) => ask(`projects/${part(id)}`, { method: 'DELETE' }),
  createKey: (project: string, name: string, days: number | null) =>
    ask<{ id: string; secret: string }>(`projects/${part(project)}/keys`, post({ name, days })),
  removeKey: (project: string, id: string) => ask(`projects/${part(project)}/keys/${part(id)}`, { method: 'DELETE' }),
  createPlatform: (project: string, platform: { name: string; kind: string; hostname: string; key: string }) =>
    ask<{ id: string }>(`projects/${part(project)}/platforms`, post(platform)),
  removePlatform: (project: string, id: string) =>
    ask(`projects/${part(project)}/platforms/${part(id)}`, { method: 'DELETE' }),

  /** Events as they pass, until told to stop. */
  async watch(filter: Record<string, string>, hear: (said: Event | Beat) => void, signal: AbortSignal): Promise<void> {
    const silence = new AbortController();
    const either = AbortSignal.any([signal, silence.signal]);
    const dead = () => silence.abort(new Problem(0, `The server has been silent for ${SILENT_AFTER / 1_000} s.`));
    let timer = setTimeout(dead, SILENT_AFTER);
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(dead, SILENT_AFTER);
    };
    try {
      const response = await request(`events${query(filter)}`, { signal: either });
      await readLines(response, (line) => hear(JSON.parse(line)), heard);
    } finally {
      clearTimeout(timer);
    }
  },
};

/** Hands on each line as it comes; only an error ends it. */
async function readLines(response: Response, take: (line: string) => void, heard: () => void): Promise<never> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Problem(0, 'The server ended the stream.');
    heard();
    const lines = (rest + value).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(line);
  }
}
