// Random numbers, which whoever drives a session passes in.

/** A number from 0 up to and not including 1, as `Math.random` gives. A test passes one that is the same on each run. */
export type Random = () => number;

/** A whole number of milliseconds up to and including `longest`, each as likely as another. */
export function upTo(random: Random, longest: number): number {
  return Math.floor(random() * (longest + 1));
}

/** So many hexadecimal digits. */
export function hex(random: Random, digits: number): string {
  let text = '';
  while (text.length < digits) text += Math.floor(random() * 16).toString(16);
  return text;
}
