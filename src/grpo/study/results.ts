import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { PerceptionError } from '../../errors.js';
import { resolveConfig, type TrainConfig } from '../config.js';
import { RunFolder, type StepLine } from '../run/folder.js';
import type { PlannedRun } from './experiments.js';

/** How far a run is, and what came of it. */
export interface RunResult {
  run: PlannedRun;
  state: 'missing' | 'begun' | 'finished';
  /** Steps done, and in all. */
  step: number;
  steps: number;
  /** Evaluations by name, as 'eval/ap' and 'eval_t1/ap', of finished runs. */
  before?: Record<string, number>;
  after?: Record<string, number>;
  /** By what the time was spent on, as far as the run is. */
  seconds: { training: number; evaluation: number };
}

/** The folder of a run below that of the study. */
export const folderOf = (output: string, name: string): string => join(output, name);

/**
 * Reads the folder of a run. One that is not there, or was killed before it began, is 'missing'.
 * @throws PerceptionError INVALID_ARGUMENT where the folder holds a run with other settings
 */
export function readRun(output: string, run: PlannedRun): RunResult {
  const steps = run.options.steps!;
  const path = folderOf(output, run.name);
  const nothing = { run, step: 0, steps, seconds: { training: 0, evaluation: 0 } };
  if (!existsSync(join(path, 'config.json'))) return { ...nothing, state: 'missing' };
  const folder = RunFolder.open(path);
  refuseOtherSettings(path, folder.config as TrainConfig, run);
  const lines = folder.lines();
  const step = lines.at(-1)?.step ?? 0;
  const sum = (seconds: (line: StepLine) => number): number =>
    lines.reduce((total, line) => total + seconds(line), 0);
  const read = {
    ...nothing,
    step,
    seconds: {
      training: sum(trainingTime),
      evaluation: sum(({ timing }) => timing['time/evaluate'] ?? 0),
    },
  };
  const [before, after] = [0, steps].map(
    (at) => lines.find((line) => line.step === at && Object.keys(line.metrics).some(isFigure))?.metrics,
  );
  // The state after the last step is saved after the step was logged, and the runs that come after begin with it.
  if (step < steps || !before || !after || folder.latest(() => {})?.step !== steps) {
    return { ...read, state: 'begun' };
  }
  return { ...read, state: 'finished', before, after };
}

const isFigure = (name: string): boolean => name.startsWith('eval');

const trainingTime = ({ timing }: StepLine): number =>
  timing['time/step'] ?? (timing['time/data'] ?? 0) + (timing['time/update'] ?? 0);

function refuseOtherSettings(path: string, stored: TrainConfig, { options, from }: PlannedRun): void {
  const wanted: object = resolveConfig(options, stored.backend);
  const found: Record<string, unknown> = {
    ...stored,
    ...(stored.from !== undefined && { from: basename(stored.from) }),
  };
  const expected: Record<string, unknown> = { ...wanted, ...(from !== undefined && { from }) };
  const name = Object.keys({ ...expected, ...found }).find(
    (one) => !isDeepStrictEqual(found[one], expected[one]),
  );
  if (name === undefined) return;
  const [is, here] = [found[name], expected[name]].map((value) => JSON.stringify(value) ?? 'nothing');
  throw new PerceptionError(
    'INVALID_ARGUMENT',
    `${path}: expected a run with ${name} ${here}, received one with ${is}; choose another folder, the same --steps-scale as before, or remove the run`,
  );
}
