import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { progressBar } from '../progress.js';
import { SetupError } from '../setup/failure.js';
import { type Reporter, Setup, type SetupResult } from '../setup/plan.js';
import { signals } from './interruption.js';
import { UsageError } from './usage.js';

export interface SetupTfjsOptions {
  gpu?: boolean;
  directory: string;
  tensorflow?: string;
  save: boolean;
  dryRun?: boolean;
}

/**
 * Gives a project a working tfjs-node, or says what it would do.
 * @returns the exit code: 0, 1 where something is missing or failed, 130 or 143 after an interruption
 * @throws UsageError where the folder has no package.json
 */
export async function setupTfjs(options: SetupTfjsOptions): Promise<number> {
  const directory = resolve(options.directory);
  if (!existsSync(join(directory, 'package.json'))) {
    throw new UsageError(`--directory: expected a folder with package.json, received "${directory}"`);
  }
  const { gpu = false, tensorflow, save } = options;
  let setup: Setup | undefined;
  let interrupted: keyof typeof signals | undefined;
  const abort = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    interrupted = signal as keyof typeof signals;
    abort.abort(new Error(signal));
  };
  const release = (): void => {
    for (const signal of Object.keys(signals)) process.off(signal, onSignal);
  };
  try {
    setup = new Setup({ directory, gpu, save, ...(tensorflow === undefined ? {} : { tensorflow }) });
    if (options.dryRun) {
      process.stdout.write(describePlan(setup));
      return 0;
    }
    for (const signal of Object.keys(signals)) process.once(signal, onSignal);
    const progress = startSteps();
    try {
      const result = await setup.run(progress, abort.signal);
      progress.stop();
      process.stdout.write(describeResult(setup, result, gpu));
      return 0;
    } finally {
      progress.stop();
    }
  } catch (error) {
    if (!interrupted && !(error instanceof SetupError)) throw error;
    const changes = setup?.changes ?? [];
    if (changes.length > 0) process.stderr.write(`Changed so far:\n${list(changes)}`);
    if (interrupted) {
      process.stderr.write(
        'perception-r1: interrupted; run the command again: it goes on where it stopped\n',
      );
      return signals[interrupted];
    }
    const { message, remedy } = error as SetupError;
    process.stderr.write(`perception-r1: setup-tfjs: ${message}\n${remedy}\n`);
    return 1;
  } finally {
    release();
  }
}

const list = (lines: readonly string[]): string => lines.map((line) => `  ${line}\n`).join('');

function describePlan(setup: Setup): string {
  const open = new Set(setup.open());
  const { project, platform, cache } = setup;
  let text = `${project.folder} on ${platform.name}, Node ${process.versions.node}; cache: ${cache}\n`;
  for (const step of setup.steps) {
    text += open.has(step) ? `- ${step.name}:\n${list(step.describe())}` : `- ${step.name}: done\n`;
  }
  text += `- check: load ${project.packageName} in a process of its own and compute\n`;
  return `${text}This was a dry run: nothing was changed.\n`;
}

function describeResult({ project, log }: Setup, result: SetupResult, gpu: boolean): string {
  const { packageName, changes, tensorflow, ops } = result;
  let text = changes.length > 0 ? `Changed:\n${list(changes)}` : 'Nothing to do: all was in place.\n';
  text += `Checked: ${packageName} computes a matmul with TensorFlow ${tensorflow}`;
  if (gpu)
    text += result.gpu ? ' on the GPU' : ` on the CPU, as it found no GPU that it can use (why: ${log.path})`;
  text +=
    'route' in ops
      ? `; pairwiseIou takes the route "${ops.route}".\n`
      : `.\nNot checked: our operations, since ${ops.notChecked}.\n`;
  if (changes.some((line) => line.startsWith('package.json'))) {
    text +=
      'package.json now lists the package. Where its own install script fails, install with "npm ci --ignore-scripts"\n' +
      'and run this command again afterwards: it takes seconds.\n';
  }
  return `${text}${packageName} works in ${project.folder}.\n`;
}

/** Shows a bar on a terminal, elsewhere a line for each step that begins; and what each has changed. On standard error. */
function startSteps(): Reporter & { stop(): void } {
  const note = (message: string): void => {
    process.stderr.write(`${process.stderr.isTTY ? '\r\x1b[K' : ''}${message}\n`);
  };
  const bar = process.stderr.isTTY
    ? progressBar('{bar} {value}/{total} | {step} | {seconds} s', { clearOnComplete: true })
    : undefined;
  let started = 0;
  let timer: NodeJS.Timeout | undefined;
  const seconds = (): string => ((performance.now() - started) / 1000).toFixed(1);
  const stop = (): void => {
    if (timer === undefined) return;
    clearInterval(timer);
    timer = undefined;
    bar?.stop();
  };
  return {
    started(step, index, total) {
      started = performance.now();
      if (!bar) return note(`[${index + 1}/${total}] ${step} …`);
      if (timer === undefined) {
        bar.start(total, index, { step, seconds: seconds() });
        timer = setInterval(() => bar.update({ seconds: seconds() }), 200);
      } else {
        bar.update(index, { step, seconds: seconds() });
      }
    },
    finished(step, changes) {
      if (changes === null) note(`${step}: already done`);
      else note([`${step}: done in ${seconds()} s`, ...changes.map((line) => `  ${line}`)].join('\n'));
    },
    stop,
  };
}
