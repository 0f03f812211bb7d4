import { PerceptionError } from '../errors.js';
import { groupAdvantages } from '../ops/advantages.js';
import type { CoordinateSpace } from '../rewards/recipes.js';
import { type Scores, type ScoreWarning, scoreCompletions, scoreCompletionsAsync } from '../rewards/score.js';
import type { Batch, NamedRecipe } from './rollouts.js';
import { UsageError } from './usage.js';

/** Where the scores of an entry are: those of its k-th completion at `at + k`. */
export interface Scored {
  scores: Scores;
  at: number;
}

/** A warning of the library, with what it was about. */
export interface BatchWarning extends ScoreWarning {
  recipe: string;
}

export interface ScoredBatch extends Batch {
  /** One per entry; undefined where the entry has an error. */
  scored: (Scored | undefined)[];
  /** The completions of entry i are `starts[i] .. starts[i + 1]` of `rewards` and `advantages`. */
  starts: Int32Array;
  /** NaN where a completion was not scored. */
  rewards: Float32Array;
  advantages: Float32Array;
  warnings: BatchWarning[];
}

/** Checks before a run that a recipe can be read in these coordinates. @throws UsageError */
export function refuseCoordinates({ name, recipe }: NamedRecipe, coordinates: CoordinateSpace): void {
  try {
    scoreCompletions({ recipe, completions: [], groundTruth: [], coordinates });
  } catch (error) {
    // Image sizes, which a conversion may need, come with the lines.
    if (!(error instanceof PerceptionError)) throw error;
    if (error.code === 'INVALID_GROUND_TRUTH') return;
    throw new UsageError(`--coordinates ${coordinates} with --recipe ${name}: ${error.message}`);
  }
}

// What the data of one line can cause, or its recipe together with --coordinates; all else concerns the whole run.
const ofOneLine: ReadonlySet<string> = new Set(['INVALID_GROUND_TRUTH', 'INVALID_ARGUMENT', 'TOO_LARGE']);

/**
 * Scores a batch, each recipe's part in a call of its own. Ground truth that the library refuses becomes the error of
 * its entry and costs no other.
 */
export async function scoreBatch(
  batch: Batch,
  coordinates: CoordinateSpace | undefined,
): Promise<ScoredBatch> {
  const { entries, groupStarts } = batch;
  const starts = new Int32Array(entries.length + 1);
  const parts = new Map<string, number[]>();
  entries.forEach((entry, i) => {
    starts[i + 1] = starts[i]! + entry.completions.length;
    if (entry.error) return;
    const key = entry.recipe!.name;
    const part = parts.get(key);
    if (part) part.push(i);
    else parts.set(key, [i]);
  });
  const rewards = new Float32Array(starts[entries.length]!).fill(Number.NaN);
  const result: ScoredBatch = {
    ...batch,
    scored: new Array<Scored | undefined>(entries.length).fill(undefined),
    starts,
    rewards,
    advantages: rewards,
    warnings: [],
  };
  for (const part of parts.values()) await scorePart(part, result, coordinates);

  // One call over the whole batch: a completion that was not scored is a NaN, which the library leaves out of its group.
  const groupOffsets = Int32Array.from([...groupStarts, entries.length], (i) => starts[i]!);
  result.advantages = groupAdvantages(rewards, { groupOffsets }).advantages;
  return result;
}

async function scorePart(
  part: readonly number[],
  result: ScoredBatch,
  coordinates: CoordinateSpace | undefined,
): Promise<void> {
  const { entries, starts } = result;
  const first = entries[part[0]!]!;
  const { name, recipe } = first.recipe as NamedRecipe;
  const completions = part.flatMap((i) => entries[i]!.completions);
  const groundTruth = part.flatMap((i) => entries[i]!.completions.map(() => entries[i]!.groundTruth!));
  let scores: Scores;
  try {
    scores = await scoreCompletionsAsync({
      recipe,
      completions,
      groundTruth,
      ...(coordinates && { coordinates }),
    });
  } catch (error) {
    if (!(error instanceof PerceptionError) || !ofOneLine.has(error.code)) throw error;
    if (part.length > 1) {
      // Halving finds k bad lines of n in about k log n calls, most of which fail at once.
      const middle = part.length >> 1;
      await scorePart(part.slice(0, middle), result, coordinates);
      await scorePart(part.slice(middle), result, coordinates);
      return;
    }
    first.error = { code: error.code, message: error.message.replace(/^groundTruth\[0\]/, 'groundTruth') };
    return;
  }
  let at = 0;
  for (const i of part) {
    const length = entries[i]!.completions.length;
    result.scored[i] = { scores, at };
    result.rewards.set(scores.rewards.subarray(at, at + length), starts[i]!);
    at += length;
  }
  for (const warning of scores.warnings) {
    result.warnings.push({ ...warning, recipe: name });
  }
}
