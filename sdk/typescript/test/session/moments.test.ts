// The server closes at every moment of a conversation.

import { expect, test } from 'vitest';

import { interest } from '../../src/interest.js';
import { KINDS, type Kind } from './server.js';
import { Talk } from './talk.js';

/** Steps of a conversation, one message of the server each; more than there are. */
const MOMENTS = 12;

/** Has a conversation whose connection ends with `code` after `moment` messages of the server. */
function conversation(kind: Kind, moment: number, code: number): { talk: Talk; ids: string[] } {
  const talk = new Talk(kind);
  const one = talk.session.subscribe(interest('documents'), talk.now);
  talk.carryOut();
  let other: string | undefined;
  for (let step = 0; step < moment; step += 1) {
    talk.deliverOne();
    talk.carryOut();
    if (step === 2) talk.server.publish('documents');
    if (step === 4) other = talk.session.subscribe(interest('files'), talk.now);
    if (step === 6) talk.server.publish('files');
    talk.carryOut();
  }
  if (talk.link === 'up') talk.cut(code);
  talk.settle();
  try {
    other ??= talk.session.subscribe(interest('files'), talk.now);
  } catch {
    // It has stopped.
  }
  talk.settle();
  return { talk, ids: other === undefined ? [one] : [one, other] };
}

test.each(KINDS)('after every moment it comes back and listens again: %s', (kind) => {
  for (let moment = 0; moment < MOMENTS; moment += 1) {
    for (const code of [1000, 1001, 1005, 1006, 1009, 1011, 1012, 1013, 3003, 4999, 0]) {
      const { talk, ids } = conversation(kind, moment, code);
      talk.seconds(120);
      talk.events = [];
      talk.publish('documents');
      talk.publish('files');
      const got = ids.map((id) => talk.numbers(id).length);
      expect(got, `${code} after ${moment}`).toEqual([1, 1]);
      expect(talk.ended).toEqual([]);
    }
  }
});

test.each(['resuming', 'urlOnly'] as const)('after 1008 it stops at every moment and says so: %s', (kind) => {
  for (let moment = 0; moment < MOMENTS - 1; moment += 1) {
    const { talk } = conversation(kind, moment, 1008);
    const requests = talk.requests.length;
    talk.seconds(3600);
    expect([talk.requests.length, talk.link], `after ${moment}`).toEqual([requests, 'down']);
    expect([talk.session.stopped?.code, talk.session.pollTimeout()]).toEqual([1008, undefined]);
    expect(talk.ended.length).toBeGreaterThan(0);
    for (const { why } of talk.ended) expect(why).toMatchObject({ kind: 'stopped', code: 1008 });
    expect(() => talk.session.subscribe(interest('documents'), talk.now)).toThrow('the server refuses');
  }
});

test.each([
  [1008, 1008, 'stop'],
  [401, 3000, 'reauthenticate'],
  [403, 3003, 'later'],
  [1013, 1013, 'later'],
  [500, 1011, 'later'],
])('a complaint of %i before the line goes dead says why it did', (error, code, advice) => {
  const talk = new Talk('forgetful');
  talk.subscribe('documents');
  talk.hear({ type: 'error', data: { code: error, message: 'so there' } });
  talk.cut(1006);
  expect(talk.told('disconnected')[0]).toMatchObject({ code, reason: 'so there', advice });
});

test('an application that mended the cause goes on after a stop', () => {
  const talk = new Talk('forgetful');
  talk.subscribe('documents');
  talk.cut(1008);
  talk.session.hurry(talk.now);
  const id = talk.subscribe('documents');
  talk.publish('documents');
  expect(talk.numbers(id)).toEqual([1]);
});
