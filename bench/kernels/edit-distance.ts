/** Edit distance: pages of text, and lines. */
import assert from 'node:assert/strict';
import { editDistanceBatch } from 'perception-r1';
import { editDistance } from '../../test/reference/edit-distance.js';
import { Generator } from '../../test/reference/random.js';
import { characters, chinese, english, withErrors } from '../harness/texts.js';
import { type Workloads, workload } from '../harness/workload.js';

const random = new Generator(2026);

/** Pages of 2,000 to 5,000 English characters, or 1,200 to 2,400 Chinese ones. */
const englishPage = (): string => english(random, random.integer(2000, 5000));
const chinesePage = (): string => chinese(random, random.integer(1200, 2400));

/** `count` texts, and for each a reading with that share of errors, or of another text where that is 1. */
function pairs(count: number, text: () => string, errors: number): { a: string[]; b: string[] } {
  const a = Array.from({ length: count }, text);
  return { a, b: a.map((truth) => (errors === 1 ? text() : withErrors(random, truth, errors))) };
}

/** Words of 64 characters of the shorter text, times the characters of the longer: what a full table takes. */
const wordSteps = (a: readonly string[], b: readonly string[]): number =>
  a.reduce((sum, text, i) => {
    const [m, n] = [characters(text), characters(b[i]!)];
    return sum + Math.ceil(Math.min(m, n) / 64) * Math.max(m, n);
  }, 0);

export function* workloads(): Workloads {
  const works = {
    '64 pages, 2 % errors': pairs(64, englishPage, 0.02),
    '64 pages, 10 % errors': pairs(64, englishPage, 0.1),
    '64 pages, 40 % errors': pairs(64, englishPage, 0.4),
    '64 pages, unrelated': pairs(64, englishPage, 1),
    '32 Chinese pages, 10 % errors': pairs(32, chinesePage, 0.1),
    '3,826 lines of 60, 10 % errors': pairs(3826, () => english(random, 60), 0.1),
  };
  for (const [name, { a, b }] of Object.entries(works))
    yield workload({
      name: `edit-distance/${name}`,
      peers: { kernel: 'edit distance', data: { a, b } },
      run: () => editDistanceBatch(a, b),
      check(distances) {
        for (let i = 0, cells = 0; i < a.length && cells < 2e7; i++) {
          assert.equal(distances[i], editDistance(a[i]!, b[i]!));
          cells += a[i]!.length * b[i]!.length;
        }
        return distances;
      },
      limit: { kind: 'word-steps', amount: wordSteps(a, b) },
    });
}
