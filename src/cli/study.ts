import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, InvalidArgumentError } from 'commander';
import { comparisons, type PlanOptions, planRuns } from '../grpo/study/experiments.js';
import type { Machine, StudyProgress } from '../grpo/study/index.js';
import { progressBar } from '../progress.js';
import { onInterruption, signals } from './interruption.js';
import { formatTable } from './table.js';
import { withTensorflow } from './tensorflow.js';

interface Values {
  output: string;
  results?: string;
  jobs?: number;
  seeds: number[];
  only?: string[];
  stepsScale: number;
  dryRun?: boolean;
  reportOnly?: boolean;
}

/** What a study was run with: in study.json of its folder. */
interface Circumstances {
  machine: Machine;
  jobs: number;
  threads: number;
}

const names = comparisons.map(({ name }) => name);

const whole = (text: string): number => {
  if (/^\d{1,3}$/.test(text) && Number(text) > 0) return Number(text);
  throw new InvalidArgumentError('Expected whole numbers from 1 to 999.');
};

const seedList = (text: string): number[] => [...new Set(text.split(',').map(whole))];

function tableList(text: string): string[] {
  const only = text.split(',');
  const unknown = only.find((name) => !names.includes(name));
  if (unknown === undefined) return only;
  throw new InvalidArgumentError(`There is no table ${unknown}; known are ${names.join(', ')}.`);
}

function factor(text: string): number {
  const value = Number(text);
  if (value > 0 && value <= 100) return value;
  throw new InvalidArgumentError('Expected a number above 0 and at most 100.');
}

/** Adds the command to `program`; `finish` is given the exit code. */
export function defineStudy(program: Command, finish: (exitCode: number) => void): void {
  program
    .command('study')
    .description("Perception-R1's comparisons in miniature: trains what they need, and writes their tables.")
    .option('--output <folder>', 'of the runs; those that are there already are not done again', 'runs/study')
    .option(
      '--results <folder>',
      'write study-<date>.md and .json here (default: docs/results, with --steps-scale the folder of the runs)',
    )
    .option('--jobs <n>', 'runs at a time, which share the processor (default: half as many as cores)', whole)
    .option('--seeds <list>', 'each run once for each of them', seedList, [1, 2, 3])
    .option('--only <tables>', `some of ${names.join(', ')}, and the runs that they need`, tableList)
    .option(
      '--steps-scale <x>',
      'multiplies all steps, and if below 1 the scenes of evaluations: 0.05 is a quick try',
      factor,
      1,
    )
    .option('--dry-run', 'list the runs and how long they will take, roughly')
    .option('--report-only', 'write the tables of what is there, and train nothing')
    .addHelpText(
      'after',
      `
Needs TensorFlow.js and the package mnist, as perception-r1 train does. Each run is a process of its own and a folder below
--output. It may be stopped at any moment (Ctrl-C, kill -9, a power cut): the same command goes on from there, and writes the
tables of what there is. docs/study.md says what is compared.

Exit code: 0, 1 where a run failed, 2 for a wrong option, 130 or 143 when interrupted.

Examples:
  perception-r1 study --dry-run
  perception-r1 study --jobs 2
  perception-r1 study --only matching,terms --seeds 1
  perception-r1 study --steps-scale 0.05 --output runs/try`,
    )
    .action(async (values: Values) => finish(await study(values)));
}

/** @returns the exit code @throws PerceptionError */
async function study(values: Values): Promise<number> {
  const { output, seeds, only, stepsScale: scale } = values;
  const cores = availableParallelism();
  const jobs = values.jobs ?? Math.max(1, Math.floor(cores / 2));
  const threads = Math.max(1, Math.floor(cores / jobs));
  const plan: PlanOptions = { seeds, scale, ...(only && { only }) };
  const grpo = await load();

  if (values.dryRun) {
    const results = planRuns(plan).map((run) => grpo.readRun(output, run));
    const rows = results.map((result) => {
      const { total, left } = grpo.remainingSeconds([result]);
      const done = `${result.step} of ${result.steps}`;
      return [result.run.name, result.run.from ?? '', done, left > 0 ? duration(total) : ''];
    });
    process.stdout.write(`${formatTable([['run', 'begins with', 'steps', 'about'], ...rows])}\n`);
    const { left } = grpo.remainingSeconds(results);
    const unfinished = results.filter(({ state }) => state !== 'finished').length;
    process.stdout.write(
      `\n${unfinished} of ${results.length} runs to be done, about ${duration(left / jobs)} with ${jobs} at a time.\n`,
    );
    return 0;
  }

  const file = join(output, 'study.json');
  const circumstances = async (): Promise<Circumstances> => {
    return { machine: grpo.describeMachine(await grpo.useBackend()), jobs, threads };
  };
  let exitCode = 0;
  if (!values.reportOnly) {
    const found = await circumstances(); // a missing backend is told once, before the first run
    mkdirSync(output, { recursive: true });
    writeFileSync(file, `${JSON.stringify(found, null, 2)}\n`);
    exitCode = await perform(plan, { output, jobs, threads });
  }

  const report = grpo.makeReport(output, plan);
  const ran = existsSync(file)
    ? (JSON.parse(readFileSync(file, 'utf8')) as Circumstances)
    : await circumstances();
  const date = new Date().toISOString().slice(0, 10);
  const published = { date, command: commandOf(values, ran.jobs), ...ran, ...report };
  const folder = values.results ?? (scale === 1 ? join('docs', 'results') : output);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `study-${date}`);
  writeFileSync(`${path}.md`, grpo.reportMarkdown(published));
  writeFileSync(`${path}.json`, `${JSON.stringify(published, null, 2)}\n`);
  const missing = report.runs.filter(({ state }) => state !== 'finished').length;
  const rest = missing > 0 ? `, ${missing} of ${report.runs.length} runs missing` : '';
  process.stdout.write(`${path}.md, ${path}.json${rest}\n`);
  return exitCode;
}

/** Does the runs, and shows how far they are. @returns the exit code */
async function perform(
  plan: PlanOptions,
  shared: { output: string; jobs: number; threads: number },
): Promise<number> {
  const { runStudy } = await load();
  const abort = new AbortController();
  const display = startDisplay();
  const interruption = onInterruption(() => {
    abort.abort();
    display.note('Finishing the steps under way; a second signal ends at once.');
  });
  try {
    const guard = new URL('../grpo/study/guard.js', import.meta.url).href;
    const main = fileURLToPath(new URL('main.js', import.meta.url));
    const { failed } = await runStudy({
      ...shared,
      runs: planRuns(plan),
      program: [process.execPath, '--import', guard, main],
      signal: abort.signal,
      changed: display.update,
      note: display.note,
    });
    if (interruption.by) return signals[interruption.by];
    return Object.keys(failed).length > 0 ? 1 : 0;
  } finally {
    interruption.release();
    display.stop();
  }
}

/** TensorFlow.js is optional, and the other commands do without it. */
async function load(): Promise<typeof import('../grpo/study/index.js')> {
  return withTensorflow('study', () => import('../grpo/study/index.js'));
}

const secondsBetweenLines = 60;

interface Display {
  update(progress: StudyProgress): void;
  note(message: string): void;
  stop(): void;
}

/** A bar where standard error is a terminal, elsewhere a line now and then. */
function startDisplay(): Display {
  const print = (message: string): void => void process.stderr.write(`${message}\n`);
  const describe = ({ finished, failed, total, secondsLeft, running }: StudyProgress): string => {
    const under = running.map(({ name, step, steps }) => `${name} ${step}/${steps}`);
    const faults = failed > 0 ? `, ${failed} failed` : '';
    return [`${finished} of ${total} runs${faults}`, ...under, `${duration(secondsLeft)} left`].join(' | ');
  };
  if (!process.stderr.isTTY) {
    let printed = Number.NEGATIVE_INFINITY;
    return {
      update: (progress) => {
        if (performance.now() - printed < 1000 * secondsBetweenLines) return;
        printed = performance.now();
        print(describe(progress));
      },
      note: print,
      stop: () => {},
    };
  }
  const bar = progressBar('{bar} {percentage}% | {text}', { barsize: 20 });
  bar.start(1000, 0, { text: '' });
  return {
    update: (progress) => bar.update(Math.floor(1000 * progress.share), { text: describe(progress) }),
    note: (message) => print(`\r\x1b[K${message}`),
    stop: () => bar.stop(),
  };
}

function duration(seconds: number): string {
  const minutes = Math.ceil(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** What to enter for the same again; paths are told as they are seen from here. */
function commandOf({ output, seeds, only, stepsScale }: Values, jobs: number): string {
  const parts = ['npx perception-r1 study', `--seeds ${seeds.join(',')}`, `--jobs ${jobs}`];
  if (only) parts.push(`--only ${only.join(',')}`);
  if (stepsScale !== 1) parts.push(`--steps-scale ${stepsScale}`);
  parts.push(`--output ${relative('.', resolve(output)) || '.'}`);
  return parts.join(' ');
}
