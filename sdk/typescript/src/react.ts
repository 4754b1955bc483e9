// Hooks for React. They take `sdk.realtime`, so that an application has one connection; on a server they do nothing.

import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';

import type { Callback, SubscribeOptions } from './client/subscription.js';
import type { RealtimeError } from './error.js';
import type { RealtimeEvent } from './event.js';
import type { Channels } from './interest.js';
import type { Connection, Realtime } from './realtime.js';

/** How a hook's subscription stands: confirmed by the server, or what it ended with. */
export interface SubscriptionStatus {
  /** The server has confirmed it. */
  readonly ready: boolean;
  /** What it ended with. */
  readonly error: RealtimeError | undefined;
}

const NONE: readonly never[] = [];
const BEGUN: SubscriptionStatus = { ready: false, error: undefined };

/**
 * Listens while the component is there, and calls the latest callback with each event. Other channels or queries make
 * another subscription; another function does not. `null` or `false` in place of channels listens to nothing.
 *
 * ```tsx
 * const { ready } = useSubscription<Message>(sdk.realtime, 'documents', ({ payload }) => add(payload));
 * ```
 */
export function useSubscription<T = unknown>(
  realtime: Realtime,
  channels: Channels | null | false,
  callback: Callback<T>,
  options?: SubscribeOptions,
): SubscriptionStatus {
  const latest = useRef(callback);
  useEffect(() => {
    latest.current = callback;
  });
  const [status, setStatus] = useState(BEGUN);
  const key = keyOf(channels, options);
  useEffect(() => {
    setStatus(BEGUN);
    if (key === '') return undefined;
    const [names, queries] = JSON.parse(key) as [string | string[], string[]];
    const subscription = realtime.subscribe<T>(names, (event) => latest.current(event), { queries });
    let mounted = true;
    const set = (next: SubscriptionStatus) => mounted && setStatus(next);
    subscription.ready.then(
      () => set({ ready: true, error: undefined }),
      (error: RealtimeError) => set({ ready: false, error }),
    );
    return () => {
      mounted = false;
      subscription.stop();
    };
  }, [realtime, key]);
  return status;
}

/** The latest events of these channels, the newest last; 100 of them if nothing is said. */
export function useEvents<T = unknown>(
  realtime: Realtime,
  channels: Channels | null | false,
  options?: SubscribeOptions & { readonly limit?: number },
): readonly RealtimeEvent<T>[] {
  const [held, setHeld] = useState<{ of: string; events: readonly RealtimeEvent<T>[] }>({
    of: '',
    events: [],
  });
  const limit = Math.max(0, options?.limit ?? 100);
  const key = keyOf(channels, options);
  // Coming back to these channels is a new beginning, too.
  useEffect(() => () => setHeld({ of: '', events: [] }), [realtime, key]);
  useSubscription<T>(
    realtime,
    channels,
    (event) =>
      setHeld(({ of, events }) => {
        const all = of === key ? [...events, event] : [event];
        return { of: key, events: all.slice(Math.max(0, all.length - limit)) };
      }),
    options,
  );
  return held.of === key ? held.events : (NONE as readonly RealtimeEvent<T>[]);
}

/** How the connection stands. */
export function useConnection(realtime: Realtime): Connection {
  // The same function each time: another one would be listened to anew.
  const listen = useCallback(
    (changed: () => void) => {
      const types = ['connecting', 'connected', 'disconnected'] as const;
      const stops = types.map((type) => realtime.on(type, changed));
      return () => stops.forEach((stop) => stop());
    },
    [realtime],
  );
  return useSyncExternalStore(
    listen,
    () => realtime.connection,
    () => 'idle' as const,
  );
}

/** The same for the same channels and queries. */
function keyOf(channels: Channels | null | false, options: SubscribeOptions | undefined): string {
  return channels ? JSON.stringify([channels, options?.queries ?? []]) : '';
}
