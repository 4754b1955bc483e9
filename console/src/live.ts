// What the server says, asked again and again while somebody looks.
import { useCallback, useEffect, useRef, useState } from 'react';
import { Problem } from './api';

export interface Live<T> {
  value: T | undefined;
  problem: string | undefined;
  again: () => Promise<void>;
}

/** Milliseconds after which a question is given up and asked anew: a server that stalls is to be seen as one. */
const PATIENCE = 10_000;

/**
 * Asks at once, and anew so many milliseconds after each answer while the tab is visible; 0 is only once. `what` tells
 * questions apart. One question is under way at a time, however slow the server is.
 */
export function useLive<T>(ask: (signal: AbortSignal) => Promise<T>, every: number, what = ''): Live<T> {
  const [value, setValue] = useState<T>();
  const [problem, setProblem] = useState<string>();
  const latest = useRef(ask);
  latest.current = ask;
  const asking = useRef<AbortController>(undefined);
  const again = useCallback(async () => {
    asking.current?.abort();
    const own = new AbortController();
    asking.current = own;
    const late = new Problem(0, `The server has not answered for ${PATIENCE / 1_000} s.`);
    const patience = setTimeout(() => own.abort(late), PATIENCE);
    try {
      const answer = await latest.current(own.signal);
      if (asking.current !== own) return;
      setValue(answer);
      setProblem(undefined);
    } catch (error) {
      if (asking.current === own) setProblem(said(error));
    } finally {
      clearTimeout(patience);
    }
  }, []);
  useEffect(() => {
    setValue(undefined);
    setProblem(undefined);
    let timer: ReturnType<typeof setTimeout> | undefined;
    let ended = false;
    const look = async (first: boolean) => {
      if (first || document.visibilityState === 'visible') await again();
      if (every && !ended) timer = setTimeout(() => void look(false), every);
    };
    void look(true);
    return () => {
      ended = true;
      clearTimeout(timer);
      asking.current?.abort();
      asking.current = undefined;
    };
  }, [again, every, what]);
  return { value, problem, again };
}

export function said(error: unknown): string {
  return error instanceof Problem || error instanceof Error ? error.message : String(error);
}
