/**
 * One build at work: worker.js FOLDER, a checkout that was built. Told by messages what to do, it answers each with one.
 * Both sides of a sweep are such processes, so that nothing but the build is different.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type * as Package from 'perception-r1';
import { excerpt } from '../harness/samples.js';
import { kernels, type Prepared } from './cases.js';

export type Task = { kernel: string; size: number } | { run: number };

/** Times are milliseconds. */
export type Reply =
  | { version: string; compiler: string; variant: string }
  | { problems: number; answer: number[]; first: number }
  | { least: number; median: number }
  | { failed: string };

const mostOfAnswer = 1000;

const api = (await import(pathToFileURL(join(process.argv[2]!, 'dist', 'index.js')).href)) as typeof Package;
let prepared: Prepared | undefined;

function timed(): number {
  const start = performance.now();
  prepared!.run();
  return performance.now() - start;
}

function answerOf(task: Task): Reply {
  if ('run' in task) {
    const times: number[] = [];
    const start = performance.now();
    do times.push(timed());
    while (performance.now() - start < task.run);
    times.sort((a, b) => a - b);
    return { least: times[0]!, median: times[times.length >> 1]! };
  }
  const kernel = kernels.find(({ name }) => name === task.kernel)!;
  prepared = undefined; // what it held may be large
  prepared = kernel.prepare(api, task.size);
  const answer = excerpt(prepared.run(), mostOfAnswer);
  return { problems: prepared.problems, answer, first: timed() };
}

const reply = (message: Reply): void => void process.send!(message);

api.setThreads(1);
process.on('message', (task: Task) => {
  try {
    reply(answerOf(task));
  } catch (error) {
    reply({ failed: (error as Error).message });
  }
});
const { version, addon, cpu } = api.info();
reply({ version, compiler: addon.compiler, variant: cpu.variant });
