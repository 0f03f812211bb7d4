import { spawn, spawnSync } from 'node:child_process';
import { accessSync, appendFileSync, constants, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/** A program and its first arguments, as in `python3 -m pip`. */
export type Command = readonly [string, ...string[]];

/** Where a program of this name lies on the PATH. */
export function which(name: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  for (const folder of (env.PATH ?? '').split(delimiter).filter(Boolean)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}

/** What a short command prints, or undefined where it cannot be run or fails. */
export function ask([program, ...first]: Command, ...args: string[]): string | undefined {
  const { status, stdout } = spawnSync(program, [...first, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return status === 0 ? stdout.trim() : undefined;
}

const logsKept = 10;

/** What the commands print, in one file per run. The file is made with the first line, and old ones are removed. */
export class Log {
  readonly path: string;
  #open = false;

  constructor(folder: string) {
    const now = new Date().toISOString().replaceAll(':', '-').slice(0, 19);
    this.path = join(folder, `setup-tfjs-${now}-${process.pid}.log`);
  }

  write(text: string | Buffer): void {
    if (!this.#open) {
      const folder = dirname(this.path);
      mkdirSync(folder, { recursive: true });
      const old = readdirSync(folder).filter((name) => name.startsWith('setup-tfjs-'));
      for (const name of old.sort().slice(0, 1 - logsKept)) rmSync(join(folder, name), { force: true });
      this.#open = true;
    }
    appendFileSync(this.path, text);
  }
}

export interface RunOptions {
  log: Log;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
}

export interface RunResult {
  code: number;
  /** Standard output. */
  stdout: string;
  /** Standard output and standard error as they came. */
  output: string;
}

/**
 * Runs a command with all it prints in the log.
 * @throws the signal's reason, after the command and what it started have been told to end
 */
export function run([program, ...first]: Command, args: string[], options: RunOptions): Promise<RunResult> {
  const { log, signal } = options;
  signal?.throwIfAborted();
  log.write(`\n$ ${[program, ...first, ...args].join(' ')}\n`);
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...first, ...args], {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // a group of its own, so that an interruption reaches the compilers below make too
    });
    const stop = (): void => {
      try {
        process.kill(-child.pid!, 'SIGTERM');
      } catch {
        // it has ended by itself
      }
    };
    signal?.addEventListener('abort', stop, { once: true });
    let stdout = '';
    let output = '';
    const take = (text: string): void => {
      log.write(text);
      output += text;
    };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      take(text);
    });
    child.stderr.setEncoding('utf8').on('data', take);
    child.on('error', reject);
    child.on('close', (code, killedBy) => {
      signal?.removeEventListener('abort', stop);
      if (signal?.aborted) return reject(signal.reason);
      log.write(`(exit ${code ?? killedBy})\n`);
      resolve({ code: code ?? 1, stdout, output });
    });
  });
}

/** The last lines of what a command printed, indented, for a message. */
export function tail(output: string, lines = 12): string {
  const kept = output.split('\n').filter((line) => line.trim() !== '');
  return kept
    .slice(-lines)
    .map((line) => `    ${line.length > 300 ? `${line.slice(0, 300)}…` : line}`)
    .join('\n');
}
