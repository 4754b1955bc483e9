// A transcript as text: conversations of `conformance/*.txt`, each a comment and steps.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** One line, with where it stands; `repeat` written out. */
export interface Step {
  readonly place: string;
  readonly text: string;
}

const folder = new URL('../../../../conformance/', import.meta.url);

/** Every conversation: each begins with a comment after a line of dashes, or at the top. */
export function conversations(): { title: string; steps: Step[] }[] {
  const files = readdirSync(fileURLToPath(folder)).filter((name) => name.endsWith('.txt'));
  return files.sort().flatMap((file) => {
    const parts = readFileSync(new URL(file, folder), 'utf8').split('\n');
    const scripts: { title: string; steps: Step[] }[] = [];
    let fresh = true;
    parts.forEach((line, index) => {
      const place = `${file}:${index + 1}`;
      const text = line.trimEnd();
      const steps = scripts.at(-1)?.steps ?? [];
      const last = steps.at(-1);
      if (text.startsWith('---')) fresh = true;
      else if (text.startsWith('#')) {
        if (fresh) scripts.push({ title: `${place} ${text.slice(1).trim()}`, steps: [] });
        fresh = false;
      } else if (text.startsWith(' ') && last) {
        steps[steps.length - 1] = { ...last, text: `${last.text}\n${text.trim()}` };
      } else if (text !== '' && !text.startsWith('covers ')) steps.push({ place, text });
    });
    return scripts.map(({ title, steps }) => ({ title, steps: steps.flatMap(writtenOut) }));
  });
}

function writtenOut({ place, text }: Step): Step[] {
  const [, first, last, repeated] = /^repeat (\d+)-(\d+) ([\s\S]*)$/.exec(text) ?? [];
  if (repeated === undefined) return [{ place, text }];
  const count = Number(last) - Number(first) + 1;
  return Array.from({ length: count }, (_, index) => {
    return { place, text: repeated.replaceAll('#', String(Number(first) + index)) };
  });
}

// biome-ignore lint/suspicious/noExplicitAny: a message of a transcript is any JSON
export type Json = any;

/** A message as a server might have said it that fits the pattern; names like `<minted>` stand for themselves. */
export function message(pattern: string): Json {
  const isMarker = (value: Json) =>
    typeof value === 'string' && (value === '...' || value === 'in any order' || value.endsWith(' in all'));
  const fit = (value: Json): Json => {
    if (Array.isArray(value)) return value.filter((item) => !isMarker(item)).map(fit);
    if (typeof value === 'object' && value !== null) {
      const fields = Object.entries(value).filter(([key]) => key !== '...');
      return Object.fromEntries(fields.map(([key, field]) => [key, fit(field)]));
    }
    return value === '*' ? 'anything' : value;
  };
  const read = fit(JSON.parse(pattern));
  if (read.type === 'event') {
    read.data ??= {};
    read.data.payload ??= {};
  }
  return read;
}
