// What the server says, asked again and again while somebody looks.
import { useCallback, useEffect, useRef, useState } from 'react';
import { Problem } from './api';

export interface Live<T> {
  value: T | undefined;
  problem: string | undefined;
  again: () => Promise<void>;
}

/** Asks at once, and every so many milliseconds while the tab is visible; 0 is only once. `what` tells questions apart. */
export function useLive<T>(ask: () => Promise<T>, every: number, what = ''): Live<T> {
  const [value, setValue] = useState<T>();
  const [problem, setProblem] = useState<string>();
  const newest = useRef(0);
  const latest = useRef(ask);
  latest.current = ask;
  const again = useCallback(async () => {
    const number = ++newest.current;
    try {
      const answer = await latest.current();
      if (number !== newest.current) return;
      setValue(answer);
      setProblem(undefined);
    } catch (error) {
      if (number === newest.current) setProblem(said(error));
    }
  }, []);
  useEffect(() => {
    setValue(undefined);
    void again();
    if (!every) return () => void newest.current++;
    const timer = setInterval(() => document.visibilityState === 'visible' && void again(), every);
    return () => {
      clearInterval(timer);
      newest.current++;
    };
  }, [again, every, what]);
  return { value, problem, again };
}

export function said(error: unknown): string {
  return error instanceof Problem || error instanceof Error ? error.message : String(error);
}
