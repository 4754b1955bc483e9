// @vitest-environment happy-dom
// The hooks of React, in components.

import { act, createElement, StrictMode, useState } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { renderToString } from 'react-dom/server';
import { afterEach, expect, test } from 'vitest';

import type { Appwrite } from '../../src/index.js';
import { useConnection, useEvents, useSubscription } from '../../src/react.js';
import { client, Wire } from '../client/wire.js';

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

let root: Root | undefined;
let sdk: Appwrite;

afterEach(async () => {
  await act(async () => root?.unmount());
  sdk.realtime.close();
});

/** The component's text, once all has been carried out. */
async function show(component: () => string): Promise<() => string> {
  sdk = client();
  const place = document.createElement('div');
  root = createRoot(place);
  await act(async () => root?.render(createElement(StrictMode, null, createElement(component))));
  return () => place.textContent ?? '';
}

/** The subscriptions that the server was told of and that are not taken back. */
function living(): string[] {
  const living = new Set<string>();
  for (const { type, data } of Wire.last.sent) {
    for (const { subscriptionId } of data) {
      if (type === 'subscribe') living.add(subscriptionId);
      else living.delete(subscriptionId);
    }
  }
  return [...living];
}

test('a component shows events, how it stands, and listens once in strict mode too', async () => {
  const text = await show(() => {
    const events = useEvents<{ n: number }>(sdk.realtime, 'documents', { limit: 2 });
    const connection = useConnection(sdk.realtime);
    return `${connection}: ${events.map(({ payload }) => payload.n).join()}`;
  });
  expect(text()).toBe('connecting: ');
  await act(async () => Wire.last.open());
  const ids = living();
  expect(ids.length).toBe(1);
  await act(async () => {
    for (const n of [1, 2, 3]) Wire.last.event(String(n), { n }, ids[0] ?? '');
  });
  expect(text()).toBe('connected: 2,3');
});

test('the latest callback is called, other channels make another subscription, and none makes none', async () => {
  const got: string[] = [];
  let change: (state: [string | false, string]) => void = () => {};
  const text = await show(() => {
    const [[channel, name], set] = useState<[string | false, string]>(['documents', 'first']);
    change = set;
    const { ready } = useSubscription(sdk.realtime, channel, ({ id }) => got.push(`${name} ${id}`));
    return ready ? 'ready' : 'not ready';
  });
  await act(async () => Wire.last.open());
  const [first] = living();
  await act(async () => Wire.last.confirm());
  expect(text()).toBe('ready');
  await act(async () => change(['documents', 'second']));
  expect(Wire.last.sent).toEqual([]);
  await act(async () => Wire.last.event('1', {}, first ?? ''));
  await act(async () => change(['files', 'second']));
  await act(async () => Wire.last.confirm());
  await act(async () => Wire.last.confirm());
  expect(text()).toBe('ready');
  await act(async () => Wire.last.event('2', {}, first ?? ''));
  await act(async () => change([false, 'third']));
  expect([text(), got]).toEqual(['not ready', ['second 1']]);
});

test('other channels have events of their own, and a limit of none keeps none', async () => {
  let change: (to: string) => void = () => {};
  const text = await show(() => {
    const [channel, set] = useState('documents');
    change = set;
    const events = useEvents<number>(sdk.realtime, channel);
    const none = useEvents<number>(sdk.realtime, channel, { limit: 0 });
    return `${channel}: ${events.map(({ payload }) => payload).join()} and ${none.length}`;
  });
  await act(async () => Wire.last.open());
  const ids = living();
  await act(async () => Wire.last.confirm());
  await act(async () => Wire.last.event('1', 1, ...ids));
  expect(text()).toBe('documents: 1 and 0');
  await act(async () => change('files'));
  expect(text()).toBe('files:  and 0');
  await act(async () => Wire.last.confirm());
  await act(async () => Wire.last.confirm());
  await act(async () => change('documents'));
  expect(text()).toBe('documents:  and 0');
});

test('how the connection stands is listened to once', async () => {
  let change: (to: number) => void = () => {};
  let listened = 0;
  await show(() => {
    const [number, set] = useState(0);
    change = set;
    const on = sdk.realtime.on.bind(sdk.realtime);
    sdk.realtime.on = (...what) => {
      listened += 1;
      return on(...what);
    };
    return `${useConnection(sdk.realtime)} ${number}`;
  });
  listened = 0;
  await act(async () => change(1));
  expect(listened).toBe(0);
});

test('an error is shown', async () => {
  const text = await show(() => useSubscription(sdk.realtime, 'documents', () => {}).error?.kind ?? 'none');
  sdk.realtime.on('error', () => {});
  await act(async () => {
    Wire.last.open();
    Wire.last.say({ type: 'error', data: { code: 1003, message: 'Invalid query' } });
  });
  expect(text()).toBe('refused');
});

test('on a server nothing is subscribed to', () => {
  sdk = client();
  const Page = () => `${useConnection(sdk.realtime)} ${useEvents(sdk.realtime, 'documents').length}`;
  expect(renderToString(createElement(Page))).toBe('idle 0');
  expect(Wire.all).toEqual([]);
});
