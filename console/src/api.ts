// The server's internal API: what it answers, and how it is asked.

export interface Stats {
  connections: number;
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

async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers: Record<string, string> = { 'X-Realtime-Console': '1' };
  if (adminKey.get()) headers.Authorization = `Bearer ${adminKey.get()}`;
  let response: Response;
  try {
    response = await fetch(`/console/api/${path}`, { ...init, headers });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
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
const post = (body: unknown): RequestInit => ({ method: 'POST', body: JSON.stringify(body) });
const away = (mayComeBack: boolean) => (mayComeBack ? '' : '?come_back=false');

export const api = {
  overview: () => ask<Overview>('overview'),
  history: () => ask<History>('history'),
  connections: (filter: { project?: string; user?: string; channel?: string; from?: string }) =>
    ask<{ connections: Connection[]; next: string | null }>(`connections${query(filter)}`),
  connection: (id: string) => ask<ConnectionDetail>(`connections/${part(id)}`),
  endConnection: (id: string, mayComeBack: boolean) =>
    ask<{ ended: number }>(`connections/${part(id)}${away(mayComeBack)}`, { method: 'DELETE' }),
  endUser: (project: string, user: string, mayComeBack: boolean) =>
    ask<{ ended: number }>(`projects/${part(project)}/users/${part(user)}${away(mayComeBack)}`, { method: 'DELETE' }),
  explain: (what: { connection: string; project: string; event?: string; body?: unknown }) =>
    ask<{ unpublished: string | null; events: Explained[] }>('explain', post(what)),
  event: (project: string, id: string) => ask<Event>(`projects/${part(project)}/events/${part(id)}`),
  publish: (project: string, body: unknown) =>
    ask<{ events: { id: string; published: boolean; reason?: string }[] }>(`projects/${part(project)}/events`, post(body)),
  projects: () => ask<{ embedded: boolean; projects: Project[] }>('projects'),
  project: (id: string) => ask<ProjectDetail>(`projects/${part(id)}`),
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
    const response = await request(`events${query(filter)}`, { signal });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Problem(0, 'The server ended the stream.');
      const lines = (rest + value).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) hear(JSON.parse(line));
    }
  },
};
