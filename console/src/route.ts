// Where in the console one is: the part of the URL behind `#`, so that the server serves one page.
import { useSyncExternalStore } from 'react';

export interface Route {
  page: string;
  rest: string;
  query: URLSearchParams;
}

export function link(page: string, rest = '', query: Record<string, string> = {}): string {
  const said = new URLSearchParams(query).toString();
  return `#/${page}${rest ? `/${encodeURIComponent(rest)}` : ''}${said ? `?${said}` : ''}`;
}

export function go(to: string) {
  location.hash = to;
}

function read(hash: string): Route {
  const [path = '', said = ''] = hash.replace(/^#\/?/, '').split('?');
  const [page = '', rest = ''] = path.split('/');
  return { page: page || 'overview', rest: decoded(rest), query: new URLSearchParams(said) };
}

/** What somebody has typed into the address may be no code at all; then it stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function useRoute(): Route {
  const hash = useSyncExternalStore(
    (changed) => {
      addEventListener('hashchange', changed);
      return () => removeEventListener('hashchange', changed);
    },
    () => location.hash,
  );
  return read(hash);
}
