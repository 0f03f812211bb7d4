/** What `npm run bench:sweep` times: each kernel over its sizes, through the public API of whichever build is handed in. */
import type * as Package from 'perception-r1';
import { Generator } from '../../test/reference/random.js';
import { overlapCosts } from '../harness/boxes.js';
import { english, withErrors } from '../harness/texts.js';
import { evenOffsets } from '../harness/workload.js';

/** Around the widths of vectors and words, and on to large ones. */
export const sizes = [
  1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 15, 16, 17, 20, 24, 31, 32, 33, 48, 64, 65, 100, 127, 128, 129, 200, 256,
  300, 500, 512, 1000, 2000, 3000, 5000,
] as const;

/** Something to be timed, with the same data in every process. */
export interface Prepared {
  /** So many problems of the size; fewer for large ones, so that a run takes some tens of microseconds at least. */
  problems: number;
  /** Solves them all; returns the answer that builds must share. */
  run(): ArrayLike<number>;
}

export interface Kernel {
  name: string;
  /** What a size is a size of. */
  sizeOf: string;
  prepare(api: typeof Package, size: number): Prepared;
}

/** So many problems that together have about `work` of what one has `each` of; some at least, since they differ. */
const countFor = (work: number, each: number, least: number): number =>
  Math.max(least, Math.min(4096, Math.round(work / each)));

function assignment(
  name: string,
  rowsOf: (size: number) => number,
  costsOf: (
    random: Generator,
    problems: number,
    rows: number,
    columns: number,
  ) => Float32Array | Float64Array,
): Kernel {
  return {
    name: `assignment, ${name}`,
    sizeOf: 'columns',
    prepare(api, columns) {
      const rows = rowsOf(columns);
      const problems = countFor(4e4, rows * columns, columns <= 300 ? 8 : columns <= 1000 ? 3 : 1);
      const costs = {
        values: costsOf(new Generator(columns), problems, rows, columns),
        offsets: evenOffsets(problems, rows * columns),
        rows: new Int32Array(problems).fill(rows),
        cols: new Int32Array(problems).fill(columns),
      };
      return { problems, run: () => api.linearSumAssignmentBatch(costs).costs };
    },
  };
}

function overlap(kind: Package.IouKind): Kernel {
  return {
    name: kind === 'iou' ? 'IoU' : kind.replace('iou', 'IoU').replace(/^./, (letter) => letter.toUpperCase()),
    sizeOf: 'boxes on each side',
    prepare(api, size) {
      const problems = countFor(4e4, size * size, 1);
      const random = new Generator(size);
      const lists = (): Package.Ragged<Float32Array> => ({
        values: random.boxes(problems * size, 1000),
        offsets: evenOffsets(problems, size),
      });
      const [a, b] = [lists(), lists()];
      const out = new Float32Array(problems * size * size);
      return { problems, run: () => api.pairwiseIouBatch(a, b, { kind, out }).values };
    },
  };
}

function distance(metric: Package.PointMetric): Kernel {
  return {
    name: `point distance, ${metric.toUpperCase()}`,
    sizeOf: 'points on each side',
    prepare(api, size) {
      const problems = countFor(4e4, size * size, 1);
      const random = new Generator(size);
      const points = (): Float32Array => Float32Array.from({ length: 2 * size }, () => 1000 * random.next());
      const [a, b] = [points(), points()];
      const out = new Float32Array(size * size);
      return {
        problems,
        run() {
          for (let i = 0; i < problems; i++) api.pairwiseDistance(a, b, { metric, out });
          return out;
        },
      };
    },
  };
}

/** `errors`: of 1 the texts are unrelated. `batched`: in one call. */
function editDistance(name: string, errors: number, batched: boolean): Kernel {
  return {
    name: `edit distance, ${name}, ${batched ? 'batch' : 'one pair'}`,
    sizeOf: 'characters',
    prepare(api, length) {
      const problems = Math.min(batched ? 4096 : 256, countFor(4e5, length * Math.max(1, length / 64), 16));
      const random = new Generator(length);
      const a = Array.from({ length: problems }, () => english(random, length));
      const b = a.map((text) => (errors === 1 ? english(random, length) : withErrors(random, text, errors)));
      const found = new Int32Array(problems);
      return {
        problems,
        run: batched
          ? () => api.editDistanceBatch(a, b)
          : () => {
              for (let i = 0; i < problems; i++) found[i] = api.editDistance(a[i]!, b[i]!);
              return found;
            },
      };
    },
  };
}

const advantages: Kernel = {
  name: 'group advantages',
  sizeOf: 'rewards in a group',
  prepare(api, groupSize) {
    const problems = countFor(4e4, groupSize, 8);
    const random = new Generator(groupSize);
    const rewards = Float32Array.from({ length: problems * groupSize }, () => 3 * random.next());
    return { problems, run: () => api.groupAdvantages(rewards, { groupSize }).advantages };
  },
};

const uniform = (random: Generator, problems: number, rows: number, columns: number): Float32Array =>
  Float32Array.from({ length: problems * rows * columns }, () => random.next());

/** In the order of the plot. */
export const kernels: readonly Kernel[] = [
  assignment('IoU costs', (size) => size, overlapCosts),
  assignment('uniform costs', (size) => size, uniform),
  assignment(
    'IoU costs, float64',
    (size) => size,
    (...shape) => Float64Array.from(overlapCosts(...shape)),
  ),
  assignment('IoU costs, half the rows', (size) => Math.ceil(size / 2), overlapCosts),
  overlap('iou'),
  overlap('giou'),
  overlap('diou'),
  overlap('ciou'),
  distance('l2'),
  distance('l1'),
  editDistance('10 % errors', 0.1, false),
  editDistance('unrelated', 1, false),
  editDistance('10 % errors', 0.1, true),
  editDistance('unrelated', 1, true),
  advantages,
];
