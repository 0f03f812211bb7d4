/** npm's fastest-levenshtein, in a loop. It counts UTF-16's units. */
import type { PeerModule, Prepared } from './worker.js';

export const packages = (): string[] => ['fastest-levenshtein'];

export const prepare: PeerModule['prepare'] = ({ data }, _way, load): Prepared<number[]> => {
  const { distance } = load('fastest-levenshtein') as { distance(a: string, b: string): number };
  const { a, b } = data as { a: string[]; b: string[] };
  return { run: () => a.map((text, i) => distance(text, b[i]!)), answer: (distances) => distances };
};
