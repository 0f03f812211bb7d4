import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { writeWhole } from '../../files/whole.js';
import { estimatedSeconds } from './estimate.js';
import type { PlannedRun } from './experiments.js';
import { folderOf, type RunResult, readRun } from './results.js';

export interface StudyOptions {
  /** The folder that runs are in. */
  output: string;
  /** None before the one it begins with. */
  runs: readonly PlannedRun[];
  /** Runs at a time. */
  jobs: number;
  /** Processor threads of each. */
  threads: number;
  /** The command line program and its arguments, `train` and what follows left out. */
  program: readonly [string, ...string[]];
  /** Ends the trainings under way after the step they are at; nothing is lost. */
  signal?: AbortSignal;
  changed?(progress: StudyProgress): void;
  note?(message: string): void;
}

export interface StudyProgress {
  finished: number;
  failed: number;
  total: number;
  /** 0..1, by estimated time. */
  share: number;
  /** Of the runs that can still be done. */
  secondsLeft: number;
  running: { name: string; step: number; steps: number }[];
}

export interface StudyOutcome {
  finished: string[];
  /** Why, by name. */
  failed: Record<string, string>;
}

const secondsBetweenLooks = 2;

/**
 * Does the runs of a study that are missing, each in a process of its own, and goes on with those that were begun. A run that
 * fails does not stop the others, but those that begin with it.
 * @throws PerceptionError INVALID_ARGUMENT where a folder holds a run with other settings
 */
export async function runStudy(options: StudyOptions): Promise<StudyOutcome> {
  const { output, runs, jobs, signal, changed = () => {}, note = () => {} } = options;
  const results = new Map(runs.map((run) => [run.name, readRun(output, run)]));
  const failed: Record<string, string> = {};
  const running = new Map<string, Promise<void>>();
  const isFinished = (name: string): boolean => results.get(name)?.state === 'finished';
  const waiting = runs.filter(({ name }) => !isFinished(name));
  mkdirSync(join(output, 'logs'), { recursive: true });
  mkdirSync(join(output, 'settings'), { recursive: true });

  const look = (): void => {
    for (const name of running.keys()) {
      try {
        results.set(name, readRun(output, results.get(name)!.run));
      } catch {
        // It is being written.
      }
    }
    changed(progressOf(results, failed, running, jobs));
  };
  const fail = (name: string, reason: string): void => {
    failed[name] = reason;
    note(`${name} failed: ${reason}`);
  };
  const perform = async (run: PlannedRun): Promise<void> => {
    const { name } = run;
    note(`${name} ${results.get(name)!.state === 'begun' ? 'goes on' : 'begins'}`);
    try {
      const reason = await trainInProcess(run, options);
      if (signal?.aborted) return;
      const result = readRun(output, run);
      results.set(name, result);
      if (result.state === 'finished') {
        note(`${name} is done`);
      } else {
        fail(name, reason ?? `it ended after step ${result.step} of ${result.steps}`);
      }
    } catch (error) {
      fail(name, (error as Error).message);
    }
  };

  const timer = setInterval(look, 1000 * secondsBetweenLooks);
  try {
    for (;;) {
      while (running.size < jobs && !signal?.aborted) {
        const next = waiting.findIndex(
          ({ from }) => from === undefined || isFinished(from) || failed[from] !== undefined,
        );
        if (next < 0) break;
        const [run] = waiting.splice(next, 1) as [PlannedRun];
        const { name, from } = run;
        if (from !== undefined && failed[from] !== undefined) {
          fail(name, `it begins with ${from}, which failed`);
          continue;
        }
        running.set(
          name,
          perform(run).finally(() => running.delete(name)),
        );
      }
      look();
      if (running.size === 0) break;
      await Promise.race(running.values());
    }
  } finally {
    clearInterval(timer);
  }
  return { finished: runs.map(({ name }) => name).filter(isFinished), failed };
}

/** @returns why it failed; nothing where it did not */
async function trainInProcess(run: PlannedRun, options: StudyOptions): Promise<string | undefined> {
  const { output, threads, program, signal } = options;
  const { name, from } = run;
  const folder = folderOf(output, name);
  const log = join(output, 'logs', `${name}.log`);
  const settings = join(output, 'settings', `${name}.json`);
  const begins = from === undefined ? {} : { from: resolve(folderOf(output, from)) };
  writeWhole(settings, `${JSON.stringify({ ...run.options, ...begins }, null, 2)}\n`);
  const begun = existsSync(join(folder, 'config.json'));
  const [command, ...before] = program;
  const share = String(threads);
  const file = openSync(log, 'a');
  const child = spawn(
    command,
    [...before, 'train', ...(begun ? ['--resume', folder] : ['--config', settings, '--output', folder])],
    {
      stdio: ['ignore', file, file, 'ipc'], // the channel tells it that this process is gone
      detached: true, // a terminal's Ctrl-C is for this process alone, which passes it on once
      env: {
        ...process.env,
        TF_NUM_INTRAOP_THREADS: share,
        TF_NUM_INTEROP_THREADS: share,
        OMP_NUM_THREADS: share,
        PERCEPTION_R1_THREADS: share,
      },
    },
  );
  closeSync(file);
  const stop = (): void => void child.kill('SIGINT');
  signal?.addEventListener('abort', stop);
  try {
    const [code, killer] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    if (code === 0) return undefined;
    const said = readFileSync(log, 'utf8').trim().split('\n');
    const why = said.findLast((line) => /error|^perception-r1: /i.test(line)) ?? said.at(-1);
    return `${why || 'it said nothing'} (${killer ?? `exit code ${code}`}; ${log})`;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

function progressOf(
  results: ReadonlyMap<string, RunResult>,
  failed: Readonly<Record<string, string>>,
  running: ReadonlyMap<string, unknown>,
  jobs: number,
): StudyProgress {
  const all = [...results.values()];
  const { total, left } = remainingSeconds(all.filter(({ run }) => failed[run.name] === undefined));
  return {
    finished: all.filter(({ state }) => state === 'finished').length,
    failed: Object.keys(failed).length,
    total: all.length,
    share: total > 0 ? 1 - left / total : 1,
    secondsLeft: left / jobs,
    running: [...running.keys()].map((name) => {
      const { step, steps } = results.get(name)!;
      return { name, step, steps };
    }),
  };
}

/** Seconds of one run after the other: in all, and left; by the estimates, and by how far those were off so far. */
export function remainingSeconds(results: readonly RunResult[]): { total: number; left: number } {
  let [expected, taken, all, left] = [0, 0, 0, 0];
  for (const { run, state, step, steps, seconds } of results) {
    const estimate = estimatedSeconds(run.options);
    const done = state === 'finished' ? 1 : Math.min(step / steps, 0.99);
    expected += done * estimate;
    taken += seconds.training + seconds.evaluation;
    all += estimate;
    left += (1 - done) * estimate;
  }
  // The first steps of the first run tell little.
  const factor = expected > 30 && taken > 0 ? taken / expected : 1;
  return { total: factor * all, left: factor * left };
}
