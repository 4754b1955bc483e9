// @vitest-environment happy-dom
// The composables of Vue, in components.

import { afterEach, expect, test } from 'vitest';
import { createApp, createSSRApp, defineComponent, h, nextTick, ref } from 'vue';
import { renderToString } from 'vue/server-renderer';

import type { Appwrite } from '../../src/index.js';
import { useConnection, useEvents, useSubscription } from '../../src/vue.js';
import { client, turn, Wire } from '../client/wire.js';

let sdk: Appwrite;
let unmount = () => {};

afterEach(() => {
  unmount();
  sdk.realtime.close();
});

/** The component's text. */
async function show(setup: () => () => string): Promise<() => string> {
  sdk = client();
  const place = document.createElement('div');
  const app = createApp(
    defineComponent({
      setup: () =>
        (
          (text) => () =>
            h('p', text())
        )(setup()),
    }),
  );
  app.mount(place);
  unmount = () => app.unmount();
  await turn();
  return () => place.textContent ?? '';
}

test('a component shows events and how it stands, and stops when it goes', async () => {
  const text = await show(() => {
    const events = useEvents<{ n: number }>(sdk.realtime, 'documents', { limit: 2 });
    const connection = useConnection(sdk.realtime);
    return () => `${connection.value}: ${events.value.map(({ payload }) => payload.n).join()}`;
  });
  Wire.last.open();
  const id = Wire.last.sent[0]?.data[0]?.subscriptionId ?? '';
  Wire.last.confirm();
  for (const n of [1, 2, 3]) Wire.last.event(String(n), { n }, id);
  await nextTick();
  expect(text()).toBe('connected: 2,3');
  unmount();
  unmount = () => {};
  await turn();
  expect(Wire.last.sent.map(({ type }) => type)).toEqual(['unsubscribe']);
});

test('channels may change, and none listens to nothing', async () => {
  const channel = ref<string | false>('documents');
  const got: unknown[] = [];
  const text = await show(() => {
    const { ready } = useSubscription(sdk.realtime, channel, ({ id }) => got.push(id));
    return () => (ready.value ? 'ready' : 'not ready');
  });
  Wire.last.open();
  const first = Wire.last.sent[0]?.data[0]?.subscriptionId ?? '';
  Wire.last.confirm();
  await nextTick();
  await nextTick();
  expect(text()).toBe('ready');
  channel.value = 'files';
  await nextTick();
  await turn();
  Wire.last.event('1', {}, first);
  Wire.last.confirm();
  expect(Wire.last.sent).toMatchObject([{ type: 'subscribe', data: [{ channels: ['files'] }] }]);
  channel.value = false;
  await nextTick();
  expect([text(), got]).toEqual(['not ready', []]);
});

test('other channels have events of their own, and a limit of none keeps none', async () => {
  const channel = ref('documents');
  const text = await show(() => {
    const events = useEvents<number>(sdk.realtime, channel);
    const none = useEvents<number>(sdk.realtime, channel, { limit: 0 });
    return () => `${events.value.map(({ payload }) => payload).join()} and ${none.value.length}`;
  });
  Wire.last.open();
  const ids = Wire.last.sent.flatMap(({ data }) => data.map(({ subscriptionId }) => subscriptionId));
  Wire.last.confirm();
  Wire.last.event('1', 1, ...ids);
  await nextTick();
  expect(text()).toBe('1 and 0');
  channel.value = 'files';
  await nextTick();
  await nextTick();
  expect(text()).toBe(' and 0');
});

test('on a server nothing is subscribed to', async () => {
  sdk = client();
  const Page = defineComponent({
    setup() {
      const events = useEvents(sdk.realtime, 'documents');
      const connection = useConnection(sdk.realtime);
      return () => h('p', `${connection.value} ${events.value.length}`);
    },
  });
  expect(await renderToString(createSSRApp(Page))).toBe('<p>idle 0</p>');
  expect(Wire.all).toEqual([]);
});
