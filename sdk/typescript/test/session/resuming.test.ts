// Going on after a drop.

import { expect, test } from 'vitest';

import type { State } from '../../src/state.js';
import { below, dice } from '../random.js';
import { Talk } from './talk.js';

test('two hundred drops among twenty thousand events lose none and repeat none', () => {
  const talk = new Talk('resuming');
  const random = dice(0x9e3779b9);
  const documents = talk.subscribe('documents');
  const both = talk.subscribe(['documents', 'files']);
  const quiet = talk.subscribe('quiet');
  const expected: Record<string, number[]> = { [documents]: [], [both]: [], [quiet]: [] };
  for (let number = 1; number <= 20_000; number += 1) {
    const drawn = below(random, 100);
    const channel = drawn === 0 ? 'quiet' : drawn < 50 ? 'documents' : 'files';
    if (channel === 'quiet') expected[quiet]?.push(number);
    else expected[both]?.push(number);
    if (channel === 'documents') expected[documents]?.push(number);
    talk.server.publish(channel);
    // Some events are on their way when the line is cut.
    if (below(random, 8) === 0) talk.settle();
    if (number % 100 === 0) {
      if (talk.link === 'up') talk.cut([1006, 1001, 1012, 1013][below(random, 4)] ?? 0);
      talk.pass(below(random, 20_000));
    }
  }
  talk.seconds(60);
  expect(talk.requests.length).toBeGreaterThan(150);
  for (const [id, numbers] of Object.entries(expected)) {
    const got = talk.numbers(id);
    // The first that differs: all of them would take minutes to show.
    expect(got.find((number, index) => number !== numbers[index])).toBeUndefined();
    expect(got.length).toBe(numbers.length);
  }
  expect(talk.told('gap')).toEqual([]);
});

test('a subscription keeps its id and says where it was', () => {
  const talk = new Talk('resuming');
  const id = talk.subscribe('documents');
  talk.publish('documents');
  talk.publish('documents');
  talk.cut(1006);
  talk.seconds(5);
  const said = talk.server.heard.findLast(({ type }) => type === 'subscribe');
  expect(said.data).toEqual([{ subscriptionId: id, channels: ['documents'], queries: [], since: '2' }]);
  expect(talk.told('recovered')).toEqual([{ type: 'recovered', subscription: id }]);
});

test.each(['forgetful', 'urlOnly', 'urlMostly', 'ancient'] as const)(
  'a server that cannot resume leaves a gap that is told with the next event too: %s',
  (kind) => {
    const talk = new Talk(kind);
    const id = talk.subscribe('documents');
    talk.publish('documents');
    talk.cut(1006);
    talk.seconds(5);
    talk.publish('documents');
    talk.publish('documents');
    const gap = { kind: 'unvouched' };
    expect(talk.told('gap')).toEqual([{ type: 'gap', subscription: id, gap }]);
    expect(talk.events.map(({ event }) => event.gap)).toEqual([undefined, gap, undefined]);
  },
);

/** A resuming server that is caught lying: `says` is its item for the subscription, `then` are ids that it sends. */
function lie(says: unknown, then: string[]): { ids: unknown[]; states: State[] } {
  const talk = new Talk('resuming');
  const id = talk.subscribe('documents');
  talk.publish('documents');
  talk.publish('documents');
  talk.cut(1006);
  talk.states = [];
  talk.stalled = true;
  talk.seconds(5);
  talk.session.opened(talk.now);
  talk.link = 'up';
  talk.hear({ type: 'connected', data: {} });
  const item = typeof says === 'object' && says !== null ? { subscriptionId: id, ...says } : says;
  talk.hear({ type: 'response', data: { to: 'subscribe', subscriptions: [item] } });
  talk.events = [];
  for (const event of then)
    talk.hear({ type: 'event', data: { id: event, payload: {}, subscriptions: [id] } });
  return { ids: talk.events.map(({ event }) => event.id), states: talk.states };
}

test('a server that repeats what was seen is not believed', () => {
  expect(lie({ recovered: true }, ['1', '2', '3', '2', '3', '4']).ids).toEqual(['3', '4']);
});

test.each([
  [{ recovered: true }, undefined],
  [
    { recovered: false, reason: 'too long ago' },
    { kind: 'unrecovered', reason: 'too long ago' },
  ],
  [
    { recovered: false, reason: 7 },
    { kind: 'unrecovered', reason: 'the server gives no reason' },
  ],
  [{ recovered: 'yes' }, { kind: 'unvouched' }],
  [{ recovered: true, subscriptionId: 'another' }, { kind: 'unvouched' }],
  [{ recovered: true, subscriptionId: 7 }, { kind: 'unvouched' }],
  [{}, { kind: 'unvouched' }],
  [null, { kind: 'unvouched' }],
  ['recovered', { kind: 'unvouched' }],
])('only a clear yes for this subscription counts as recovered: %j', (says, gap) => {
  const { states } = lie(says, []);
  const told = states.filter(({ type }) => type === 'gap' || type === 'recovered');
  expect(told).toMatchObject([gap === undefined ? { type: 'recovered' } : { type: 'gap', gap }]);
});

test('what a server vouches for unasked means nothing', () => {
  const talk = new Talk('resuming');
  talk.subscribe('documents');
  talk.publish('documents');
  talk.hear({ type: 'response', data: { to: 'subscribe', subscriptions: [{ recovered: false }] } });
  expect([...talk.told('gap'), ...talk.told('recovered')]).toEqual([]);
});

test('a gap of the server itself is told to every subscription', () => {
  const talk = new Talk('resuming');
  const ids = [talk.subscribe('documents'), talk.subscribe('files')];
  talk.hear({ type: 'gap', data: { reason: 'gap' } });
  const gap = { kind: 'unrecovered', reason: 'gap' };
  expect(talk.told('gap')).toEqual(ids.map((subscription) => ({ type: 'gap', subscription, gap })));
  talk.publish('documents');
  talk.publish('documents');
  expect(talk.events.map(({ event }) => event.gap)).toEqual([gap, undefined]);
});
