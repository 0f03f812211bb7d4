import { createTask } from '../tasks/index.js';
import {
  type Cell,
  type Claim,
  type Comparison,
  chosenComparisons,
  comparisons,
  evaluatedScenes,
  type Measure,
  type PlanOptions,
  planRuns,
  runName,
} from './experiments.js';
import { perceptualPerplexity } from './perplexity.js';
import { type RunResult, readRun } from './results.js';

/** A figure over seeds. */
export interface Summary {
  /** By seed; null where the run is missing. */
  values: (number | null)[];
  /** How many are not missing. */
  n: number;
  mean: number | null;
  /** Sample standard deviation; null of fewer than two. */
  deviation: number | null;
}

export interface TableRow {
  label: string;
  temperature: number;
  /** By measure; null where it is of a training and the row is of before. */
  figures: (Summary | null)[];
  paper: string | null;
}

export interface Table {
  title: string | null;
  measures: Measure[];
  rows: TableRow[];
}

/** What was to be expected, and what was found. */
export interface Finding {
  text: string;
  measure: string;
  temperature: number;
  /** Over the seeds that have both runs. */
  better: number | null;
  worse: number | null;
  /** How much better, and its standard error, of the differences seed by seed. */
  gain: number | null;
  standardError: number | null;
  seeds: number;
  verdict: 'holds' | 'reversed' | 'within the spread' | 'too few runs';
  paper: string;
}

export interface PerplexityRow {
  task: string;
  perplexity: number;
  /** RL against SFT with the same number of updates. */
  finding: Finding;
}

export interface Section {
  name: string;
  title: string;
  text: string;
  tables: Table[];
  findings: Finding[];
  perplexity: PerplexityRow[];
}

export interface Report {
  seeds: number[];
  scale: number;
  /** Held-out scenes of an evaluation. */
  scenes: number;
  sections: Section[];
  runs: {
    name: string;
    state: RunResult['state'];
    step: number;
    steps: number;
    trainingSeconds: number;
    evaluationSeconds: number;
  }[];
}

/**
 * Reads what there is of a study's runs and puts it into tables; what is missing is shown as missing.
 * @throws PerceptionError INVALID_ARGUMENT where a folder holds a run with other settings
 */
export function makeReport(output: string, plan: PlanOptions): Report {
  const { seeds, scale = 1 } = plan;
  const results = new Map(planRuns(plan).map((run) => [run.name, readRun(output, run)]));
  const sections = chosenComparisons(plan).map(
    ({ name, title, text, parts, claims }): Section => ({
      name,
      title,
      text,
      tables: parts.map((part): Table => {
        const rows = part.rows.flatMap((row) =>
          [0, 1].map(
            (temperature): TableRow => ({
              label: row.label,
              temperature,
              figures: part.measures.map((measure) =>
                measure.name === 'minutes' && row.when === 'before'
                  ? null
                  : summarise(seeds.map((seed) => figure(results, row, measure, temperature, seed))),
              ),
              paper: row.paper ?? null,
            }),
          ),
        );
        return { title: part.title ?? null, measures: [...part.measures], rows };
      }),
      findings: claims.map((claim) => judge(claim, results, seeds)),
      perplexity: name === 'perplexity' ? perplexities(comparisons, results, seeds) : [],
    }),
  );
  const runs = [...results.values()].map(({ run, state, step, steps, seconds }) => ({
    name: run.name,
    state,
    step,
    steps,
    trainingSeconds: seconds.training,
    evaluationSeconds: seconds.evaluation,
  }));
  const scenes = evaluatedScenes(scale);
  return { seeds: [...seeds], scale, scenes, sections, runs };
}

type Results = ReadonlyMap<string, RunResult>;

/** A figure of a finished run. */
function figure(
  results: Results,
  { experiment, when }: Cell,
  { name }: Measure,
  temperature: number,
  seed: number,
): number | undefined {
  const result = results.get(runName(experiment, seed));
  if (result?.state !== 'finished') return undefined;
  if (name === 'minutes') return result.seconds.training / 60;
  return result[when]![`${temperature === 0 ? 'eval' : `eval_t${temperature}`}/${name}`];
}

export function summarise(values: readonly (number | undefined)[]): Summary {
  const present = values.filter((value) => value !== undefined);
  const n = present.length;
  const mean = n > 0 ? present.reduce((sum, value) => sum + value, 0) / n : null;
  const deviation =
    n > 1 ? Math.sqrt(present.reduce((sum, value) => sum + (value - mean!) ** 2, 0) / (n - 1)) : null;
  return { values: values.map((value) => value ?? null), n, mean, deviation };
}

/** Compares seed by seed, since runs of a seed have their start and their examples in common. */
export function judge(claim: Claim, results: Results, seeds: readonly number[]): Finding {
  const { text, measure, temperature, better, worse, paper } = claim;
  const pairs = seeds.flatMap((seed) => {
    const [one, other] = [better, worse].map((cell) => figure(results, cell, measure, temperature, seed));
    return one === undefined || other === undefined ? [] : [[one, other] as const];
  });
  const sign = measure.lower ? -1 : 1;
  const { n, mean: gain, deviation } = summarise(pairs.map(([one, other]) => sign * (one - other)));
  const standardError = deviation === null ? null : deviation / Math.sqrt(n);
  const verdict =
    gain === null || standardError === null
      ? 'too few runs'
      : gain === 0 || Math.abs(gain) < standardError
        ? 'within the spread'
        : gain > 0
          ? 'holds'
          : 'reversed';
  return {
    text,
    measure: measure.label,
    temperature,
    better: summarise(pairs.map(([one]) => one)).mean,
    worse: summarise(pairs.map(([, other]) => other)).mean,
    gain,
    standardError,
    seeds: n,
    verdict,
    paper,
  };
}

function perplexities(
  all: readonly Comparison[],
  results: Results,
  seeds: readonly number[],
): PerplexityRow[] {
  return all
    .flatMap(({ claims }) => claims)
    .flatMap((claim) => {
      if (claim.task === undefined) return [];
      const perplexity = perceptualPerplexity(createTask(claim.task));
      return [{ task: claim.task, perplexity, finding: judge(claim, results, seeds) }];
    });
}
