// Waiting on a condition, never on the clock.

const PATIENCE = 15_000; // Milliseconds. SDKs wait a second before they connect again; a busy machine needs more.
const GLANCE = 5;

/** Resolves with what `condition` gives once that is truthy; fails, saying what was waited for, if it never is. */
export async function until(condition, what) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited ${PATIENCE / 1000} s in vain for ${typeof what === 'function' ? what() : what}`);
    await new Promise((resolve) => setTimeout(resolve, GLANCE));
  }
}
