import { describeStatus, type FaultName, faults } from '../rewards/status.js';
import type { Entry, LineError, NamedRecipe } from './rollouts.js';
import type { ScoredBatch } from './scoring.js';
import { formatTable } from './table.js';

/** Mean, spread and range of a stream of numbers, in constant memory (Welford 1962). NaN is left out. */
export class RunningStatistics {
  #count = 0;
  #mean = 0;
  #squares = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;

  add(value: number): void {
    if (Number.isNaN(value)) return;
    this.#count++;
    const delta = value - this.#mean;
    this.#mean += delta / this.#count;
    this.#squares += delta * (value - this.#mean);
    if (value < this.#min) this.#min = value;
    if (value > this.#max) this.#max = value;
  }

  get statistics(): Statistics {
    if (this.#count === 0) return { mean: null, std: null, min: null, max: null };
    const std = this.#count > 1 ? Math.sqrt(this.#squares / (this.#count - 1)) : null;
    return { mean: this.#mean, std, min: this.#min, max: this.#max };
  }
}

/** Null where there is nothing to tell it from; the standard deviation is that of a sample (n - 1). */
export interface Statistics {
  mean: number | null;
  std: number | null;
  min: number | null;
  max: number | null;
}

/** What `score --json` prints of one recipe. */
export interface RecipeReport {
  recipe: string;
  completions: number;
  reward: Statistics;
  /** Each term before its weight. */
  terms: Record<string, Statistics & { weight: number }>;
  /** Left out where the completions have no groups. */
  groups?: {
    count: number;
    /** Groups with fewer completions scored than the group size. */
    incomplete: number;
    /** Groups of two or more scored completions; only these can have variance. */
    compared: number;
    /** Those of them whose rewards are all equal. */
    zeroVariance: number;
    zeroVarianceShare: number | null;
  };
  /** Completions with each kind of fault. */
  faults: Partial<Record<FaultName, { count: number; share: number }>>;
}

/** What `score --json` prints. */
export interface ScoreReport {
  interrupted: string | null;
  /** Why reading ended early, where it did. */
  inputError: string | null;
  lines: number;
  badLines: number;
  /** Bad lines by error code. */
  errors: Partial<Record<LineError['code'], number>>;
  completions: number;
  seconds: number;
  completionsPerSecond: number;
  recipes: RecipeReport[];
  warnings: { recipe: string; code: string; calls: number; outside: number; total: number; first: string }[];
}

interface Tally {
  recipe: NamedRecipe;
  completions: number;
  reward: RunningStatistics;
  terms: [name: string, statistics: RunningStatistics][];
  groups: number;
  incomplete: number;
  compared: number;
  zeroVariance: number;
  faults: Map<FaultName, number>;
}

/** Gathers what the summary tells; keeps nothing per completion. */
export class Summary {
  readonly #groupSize: number | undefined;
  readonly #tallies = new Map<string, Tally>();
  readonly #warnings = new Map<string, ScoreReport['warnings'][number]>();
  readonly #errors: Partial<Record<LineError['code'], number>> = {};
  readonly #faultNames: FaultName[][] = [];
  lines = 0;
  badLines = 0;
  completions = 0;

  constructor(groupSize: number | undefined) {
    this.#groupSize = groupSize;
  }

  add(batch: ScoredBatch): void {
    const { entries, groupStarts, starts, rewards } = batch;
    this.lines += entries.length;
    entries.forEach((entry, i) => {
      if (entry.error) {
        this.badLines++;
        this.#errors[entry.error.code] = (this.#errors[entry.error.code] ?? 0) + 1;
        return;
      }
      this.#addEntry(entry, i, batch);
    });
    groupStarts.forEach((from, g) => {
      const to = groupStarts[g + 1] ?? entries.length;
      const scored = entries.slice(from, to).find((entry) => !entry.error);
      if (!scored || !(scored.isGroup || this.#groupSize !== undefined)) return;
      this.#addGroup(this.#tallyOf(scored.recipe!), rewards.subarray(starts[from]!, starts[to]!));
    });
    for (const { recipe, code, outside, total, message } of batch.warnings) {
      const key = `${code} ${recipe}`;
      const known = this.#warnings.get(key) ?? {
        recipe,
        code,
        calls: 0,
        outside: 0,
        total: 0,
        first: message,
      };
      known.calls++;
      known.outside += outside;
      known.total += total;
      this.#warnings.set(key, known);
    }
  }

  #tallyOf(recipe: NamedRecipe): Tally {
    let tally = this.#tallies.get(recipe.name);
    if (!tally) {
      tally = {
        recipe,
        completions: 0,
        reward: new RunningStatistics(),
        terms: Object.keys(recipe.weights).map((name) => [name, new RunningStatistics()]),
        groups: 0,
        incomplete: 0,
        compared: 0,
        zeroVariance: 0,
        faults: new Map(),
      };
      this.#tallies.set(recipe.name, tally);
    }
    return tally;
  }

  #addEntry(entry: Entry, i: number, batch: ScoredBatch): void {
    const tally = this.#tallyOf(entry.recipe!);
    const { scores, at } = batch.scored[i]!;
    const count = entry.completions.length;
    this.completions += count;
    tally.completions += count;
    for (let k = at; k < at + count; k++) {
      tally.reward.add(scores.rewards[k]!);
      for (const [name, statistics] of tally.terms) statistics.add(scores.terms[name]![k]!);
      const status = scores.status[k]!;
      if (status === 0) continue;
      this.#faultNames[status] ??= describeStatus(status);
      for (const name of this.#faultNames[status]) tally.faults.set(name, (tally.faults.get(name) ?? 0) + 1);
    }
  }

  #addGroup(tally: Tally, rewards: Float32Array): void {
    let scored = 0;
    let first = Number.NaN;
    let equal = true;
    for (const reward of rewards) {
      if (Number.isNaN(reward)) continue;
      if (scored++ === 0) first = reward;
      else if (reward !== first) equal = false;
    }
    tally.groups++;
    if (this.#groupSize !== undefined && scored < this.#groupSize) tally.incomplete++;
    if (scored < 2) return;
    tally.compared++;
    if (equal) tally.zeroVariance++;
  }

  /** Everything, as `--json` prints it. */
  report(seconds: number, interrupted: string | null, inputError: string | null): ScoreReport {
    return {
      interrupted,
      inputError,
      lines: this.lines,
      badLines: this.badLines,
      errors: this.#errors,
      completions: this.completions,
      seconds,
      completionsPerSecond: this.completions / Math.max(seconds, 1e-9),
      recipes: [...this.#tallies.values()].map(reportOf),
      warnings: [...this.#warnings.values()],
    };
  }
}

function reportOf(tally: Tally): RecipeReport {
  const { weights } = tally.recipe;
  return {
    recipe: tally.recipe.name,
    completions: tally.completions,
    reward: tally.reward.statistics,
    terms: Object.fromEntries(
      tally.terms.map(([name, { statistics }]) => [name, { weight: weights[name]!, ...statistics }]),
    ),
    ...(tally.groups > 0 && {
      groups: {
        count: tally.groups,
        incomplete: tally.incomplete,
        compared: tally.compared,
        zeroVariance: tally.zeroVariance,
        zeroVarianceShare: tally.compared > 0 ? tally.zeroVariance / tally.compared : null,
      },
    }),
    faults: Object.fromEntries(
      (Object.keys(faults) as FaultName[]).flatMap((name) => {
        const count = tally.faults.get(name);
        return count === undefined ? [] : [[name, { count, share: count / tally.completions }]];
      }),
    ),
  };
}

const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
const percent = (share: number | null): string => (share === null ? '-' : `${(100 * share).toFixed(1)} %`);
const cell = (value: number | null): string => (value === null ? '-' : value.toFixed(4));
const row = ({ mean, std, min, max }: Statistics): string[] => [mean, std, min, max].map(cell);
/** "1 line", "2 lines". */
const counted = (count: number, noun: string): string => `${whole(count)} ${noun}${count === 1 ? '' : 's'}`;

/** The summary as a table for people. */
export function formatReport(report: ScoreReport): string {
  const out: string[] = [];
  for (const recipe of report.recipes) {
    const { groups } = recipe;
    out.push(
      `${recipe.recipe}: ${counted(recipe.completions, 'completion')}${groups ? ` in ${counted(groups.count, 'group')}` : ''}`,
      formatTable([
        ['term', 'weight', 'mean', 'std', 'min', 'max'],
        ...Object.entries(recipe.terms).map(([name, term]) => [name, String(term.weight), ...row(term)]),
        ['reward', '', ...row(recipe.reward)],
      ]),
    );
    if (groups) {
      const incomplete = groups.incomplete > 0 ? `; ${counted(groups.incomplete, 'incomplete group')}` : '';
      out.push(
        `  zero-variance groups: ${whole(groups.zeroVariance)} of ${whole(groups.compared)} (${percent(groups.zeroVarianceShare)})${incomplete}`,
      );
    }
    const found = Object.entries(recipe.faults).map(
      ([name, { count, share }]) => `${name} ${whole(count)} (${percent(share)})`,
    );
    out.push(`  completions with faults: ${found.join(', ') || 'none'}`, '');
  }
  for (const { recipe, calls, outside, total, first } of report.warnings) {
    const all = calls === 1 ? '' : ` (${whole(outside)} of ${whole(total)} in ${whole(calls)} batches)`;
    out.push(`warning: ${recipe}: ${first}${all}`);
  }
  if (report.badLines > 0) {
    out.push(`${counted(report.badLines, 'line')} of ${whole(report.lines)} not scored`);
  }
  if (report.inputError) out.push(`the input could not be read to its end: ${report.inputError}`);
  if (report.interrupted)
    out.push(`interrupted by ${report.interrupted}: what was read until then is scored`);
  out.push(
    `${counted(report.completions, 'completion')} in ${report.seconds.toFixed(2)} s (${whole(report.completionsPerSecond)} per second)`,
  );
  return `${out.join('\n')}\n`;
}
