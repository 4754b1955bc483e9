// Replays `conformance/*.txt` from the client's side: what servers say there is understood, and means what it should.

import { readFileSync } from 'node:fs';

import { expect, test } from 'vitest';

import { adviceOf } from '../../src/advice.js';
import { readMessage } from '../../src/message.js';
import { Listener } from './listener.js';
import { conversations, message } from './script.js';

const split = (text: string): [string, string] => {
  const [, word, rest] = /^(\S+)\s?([\s\S]*)$/.exec(text) ?? [];
  return [word ?? '', rest ?? ''];
};

test('every message of a server is understood', () => {
  const understood = new Map<string, number>();
  for (const { place, text } of conversations().flatMap(({ steps }) => steps)) {
    const [clients, pattern] = split(text);
    if (!clients.endsWith('<')) continue;
    const said = message(pattern);
    const type = readMessage(JSON.stringify(said))?.type;
    expect(type, `${place}: ${pattern}`).toBe(said.type);
    understood.set(said.type, (understood.get(said.type) ?? 0) + 1);
  }
  expect([...understood.keys()].sort()).toEqual(['connected', 'error', 'event', 'gap', 'pong', 'response']);
});

test('sessions have the conversations of the transcripts', () => {
  let delivered = 0;
  let closed = 0;
  for (const { title, steps } of conversations()) {
    const listeners = new Map<string, Listener>();
    for (const { place, text } of steps) {
      const [word, rest] = split(text);
      if (word === 'open') {
        for (const name of (rest.split(' ')[0] ?? '').split(',')) listeners.set(name, new Listener());
        continue;
      }
      for (const name of word.replace(/[<>]$/, '').split(',')) {
        const listener = listeners.get(name);
        if (listener === undefined) continue;
        if (word.endsWith('>')) listener.say(rest);
        else if (word.endsWith('<')) delivered += listener.hear(message(rest), `${title}, ${place}`);
        else if (rest.startsWith('closed')) {
          closed += 1;
          listener.closed(rest.slice('closed'.length).trim(), `${title}, ${place}`);
        }
      }
    }
  }
  expect(delivered, 'deliveries were compared').toBeGreaterThan(100);
  expect(closed, 'closes were compared').toBeGreaterThan(20);
});

test('advice follows the page of close codes', () => {
  const page = readFileSync(new URL('../../../../docs/errors.md', import.meta.url), 'utf8');
  const table = page.split('\n## ').find((section) => section.startsWith('What to do after a close')) ?? '';
  const rows = table.split('\n').flatMap((line) => {
    const [, code, , advice] = line.split('|').map((cell) => cell.trim());
    return /^\d+$/.test(code ?? '') ? [[Number(code), advice] as const] : [];
  });
  expect(rows.length).toBeGreaterThanOrEqual(9);
  for (const [code, advice] of rows) {
    // Mending the client, sending less and trying later all take a while.
    const expected =
      advice === '**stop**'
        ? 'stop'
        : advice === 'connect again'
          ? 'retry'
          : advice?.includes('fresh token')
            ? 'reauthenticate'
            : 'later';
    expect(adviceOf(code), String(code)).toBe(expected);
  }
});
