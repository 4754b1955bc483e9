// Composables for Vue. They take `sdk.realtime`, so that an application has one connection; on a server they do nothing.

import {
  type MaybeRefOrGetter,
  onMounted,
  onScopeDispose,
  type Ref,
  readonly,
  ref,
  shallowRef,
  toValue,
  watch,
} from 'vue';

import type { Callback, SubscribeOptions, Subscription } from './client/subscription.js';
import type { RealtimeError } from './error.js';
import type { RealtimeEvent } from './event.js';
import type { Channels } from './interest.js';
import type { Connection, Realtime } from './realtime.js';

/**
 * Listens while the component is there. Channels and queries may be refs or getters: when they change, so does the
 * subscription. `null` or `false` in place of channels listens to nothing.
 *
 * ```ts
 * const { ready } = useSubscription<Message>(sdk.realtime, () => `rooms.${props.room}`, ({ payload }) => add(payload));
 * ```
 */
export function useSubscription<T = unknown>(
  realtime: Realtime,
  channels: MaybeRefOrGetter<Channels | null | false>,
  callback: Callback<T>,
  options?: MaybeRefOrGetter<SubscribeOptions | undefined>,
): { readonly ready: Readonly<Ref<boolean>>; readonly error: Readonly<Ref<RealtimeError | undefined>> } {
  const ready = ref(false);
  const error = shallowRef<RealtimeError>();
  let current: Subscription<T> | undefined;
  let disposed = false;
  const listen = (key: string) => {
    current?.stop();
    current = undefined;
    ready.value = false;
    error.value = undefined;
    if (key === '' || disposed) return;
    const [names, queries] = JSON.parse(key) as [string | string[], string[]];
    const subscription = realtime.subscribe<T>(names, callback, { queries });
    current = subscription;
    subscription.ready.then(
      () => {
        if (current === subscription) ready.value = true;
      },
      (why: RealtimeError) => {
        if (current === subscription) error.value = why;
      },
    );
  };
  onMounted(() => watch(() => keyOf(channels, options), listen, { immediate: true }));
  onScopeDispose(() => {
    disposed = true;
    current?.stop();
    current = undefined;
  });
  return { ready: readonly(ready), error };
}

/** The latest events of these channels, the newest last; 100 of them if nothing is said. */
export function useEvents<T = unknown>(
  realtime: Realtime,
  channels: MaybeRefOrGetter<Channels | null | false>,
  options?: SubscribeOptions & { readonly limit?: number },
): Readonly<Ref<readonly RealtimeEvent<T>[]>> {
  const events = shallowRef<readonly RealtimeEvent<T>[]>([]);
  const limit = Math.max(0, options?.limit ?? 100);
  watch(
    () => keyOf(channels, options),
    () => {
      events.value = [];
    },
  );
  useSubscription<T>(
    realtime,
    channels,
    (event) => {
      const all = [...events.value, event];
      events.value = all.slice(Math.max(0, all.length - limit));
    },
    options,
  );
  return events;
}

/** How the connection stands. */
export function useConnection(realtime: Realtime): Readonly<Ref<Connection>> {
  const connection = ref<Connection>(realtime.connection);
  const types = ['connecting', 'connected', 'disconnected'] as const;
  const stops = types.map((type) => realtime.on(type, () => (connection.value = realtime.connection)));
  onScopeDispose(() => stops.forEach((stop) => stop()));
  return connection;
}

/** The same for the same channels and queries. */
function keyOf(
  channels: MaybeRefOrGetter<Channels | null | false>,
  options: MaybeRefOrGetter<SubscribeOptions | undefined>,
): string {
  const wanted = toValue(channels);
  return wanted ? JSON.stringify([wanted, toValue(options)?.queries ?? []]) : '';
}
