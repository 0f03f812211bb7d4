/** Runs the built command line program in a process of its own. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The absolute path of a file of the project. */
export const pathOf = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));

const main = pathOf('dist/cli/main.js');

export interface Run {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Starts `perception-r1` with these arguments; `done` settles when it has ended. Its input is open. */
export function start(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): { child: ChildProcessWithoutNullStreams; done: Promise<Run> } {
  if (!existsSync(main)) throw new Error(`${main} is not there: run "npm run build" before the tests`);
  const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, ...env } });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.on('error', () => {}); // the command may end before it has read everything
  const done = new Promise<Run>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, done };
}

/** Runs `perception-r1` to its end on this input. */
export function run(
  args: readonly string[],
  input: string | Buffer = '',
  env: NodeJS.ProcessEnv = {},
): Promise<Run> {
  const { child, done } = start(args, env);
  child.stdin.end(input);
  return done;
}
