/** Runs `perception-r1 eval` within the tests' process. */
import { Command } from 'commander';
import { vi } from 'vitest';
import { defineEval } from '../../src/cli/eval.js';
import { UsageError } from '../../src/cli/usage.js';
import { PerceptionError } from '../../src/errors.js';
import type { Evaluation } from '../../src/eval/evaluation.js';
import { FileError } from '../../src/files/error.js';
import { pathOf } from '../command-line.js';

export const fixture = (name: string): string => pathOf(`test/fixtures/eval/${name}`);

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
  /** What the command threw, one of the errors that it tells people. */
  error: Error | undefined;
}

/** The arguments behind `perception-r1 eval`. An error that is no message for people is thrown. */
export async function evaluate(...args: string[]): Promise<Outcome> {
  const outcome: Outcome = { code: -1, stdout: '', stderr: '', error: undefined };
  const out = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    outcome.stdout += String(text);
    return true;
  });
  const err = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    outcome.stderr += String(text);
    return true;
  });
  const program = new Command('perception-r1').exitOverride();
  defineEval(program, (code) => {
    outcome.code = code;
  });
  try {
    await program.parseAsync(['eval', ...args], { from: 'user' });
  } catch (error) {
    if (![FileError, UsageError, PerceptionError].some((kind) => error instanceof kind)) throw error;
    outcome.error = error as Error;
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
  return outcome;
}

/** What `--json` prints. */
export async function result(...args: string[]): Promise<Evaluation> {
  const { code, stdout, error } = await evaluate(...args, '--json');
  if (error) throw error;
  if (code !== 0) throw new Error(`ended with ${code}`);
  return JSON.parse(stdout) as Evaluation;
}

/** The message of the error that it ends with; 'usage: ' before that of a wrong option. */
export async function failure(...args: string[]): Promise<string> {
  const { error, stdout } = await evaluate(...args);
  if (!error) return `no error, but ${stdout}`;
  return `${error instanceof UsageError ? 'usage: ' : ''}${error.message}`;
}
