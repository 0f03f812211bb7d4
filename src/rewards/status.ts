/**
 * What was wrong with a completion, as bits of its status; 0 is a clean one. core/text/completion.h has the same numbers,
 * docs/parsing.md says when each is set.
 */
export const faults = Object.freeze({
  noObjects: 1,
  truncated: 2,
  malformed: 4,
  inverted: 8,
  nonFinite: 16,
  unknownLabel: 32,
  format: 64,
  limit: 128,
} as const);

export type FaultName = keyof typeof faults;

/** The names of the bits set in `status`. @example describeStatus(3) // ['noObjects', 'truncated'] */
export function describeStatus(status: number): FaultName[] {
  return (Object.keys(faults) as FaultName[]).filter((name) => (status & faults[name]) !== 0);
}
