import type { Problems } from '../metrics/problems.js';
import type { ParsedCompletion } from '../rewards/parse.js';
import { faults } from '../rewards/status.js';

const kinds = [
  [faults.truncated, 'items of answers that are cut off'],
  [faults.nonFinite, 'items of answers with numbers that are not finite'],
  [faults.malformed, 'items of answers that cannot be read'],
] as const;

const short = (text: string): string => (text.length > 60 ? `${text.slice(0, 60)}…` : text);

/** Adds what could not be read of an answer to the problems; `title` names the question. */
export function addFaults(
  { rejected, boxFaults, pointFaults, status }: ParsedCompletion,
  title: string,
  problems: Problems,
): void {
  for (const item of rejected) {
    const kind = kinds.find(([bit]) => item.faults & bit) ?? kinds[2];
    problems.add(kind[1], `${title}: ${short(item.text)}`);
  }
  for (const bits of [...boxFaults, ...pointFaults]) {
    if (bits & faults.inverted) problems.add('boxes of answers with x2 < x1 or y2 < y1', title);
  }
  if (status & faults.limit) problems.add('answers with more items than are read', title);
}
