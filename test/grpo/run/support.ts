import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll } from 'vitest';
import type { Checkpoint } from '../../../src/grpo/run/checkpoint.js';
import type { StepLine } from '../../../src/grpo/run/folder.js';
import type { Sample } from '../../../src/grpo/run/scene.js';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** An empty folder, removed after the file's tests. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'perception-r1-run-'));
  folders.push(folder);
  return folder;
}

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Compiles writer.ts and all that it imports, for a process of its own. @returns the program's path */
export function compileWriter(): string {
  const folder = temporaryFolder();
  const done = new Set<string>();
  const compile = (source: string): string => {
    done.add(source);
    const target = join(folder, relative(root, source)).replace(/\.ts$/, '.js');
    const text = readFileSync(source, 'utf8');
    const options = {
      module: ts.ModuleKind.ESNext,
      target: ts.ScriptTarget.ES2023,
      verbatimModuleSyntax: true,
    };
    const { outputText } = ts.transpileModule(text, { compilerOptions: options });
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, outputText);
    for (const [, name] of outputText.matchAll(/from '(\..*)\.js'/g)) {
      const imported = join(dirname(source), `${name}.ts`);
      if (!done.has(imported)) compile(imported);
    }
    return target;
  };
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'dir');
  return compile(fileURLToPath(new URL('writer.ts', import.meta.url)));
}

/** What `body` throws. */
export function messageOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    return (error as Error).message;
  }
  return 'no error';
}

export const lineOf = (step: number): StepLine => ({
  step,
  metrics: { 'reward/mean': step / 3, 'eval/ap': 10 + step },
  timing: { 'time/sample': 0.25, 'time/update': 0.5 },
});

export const checkpointOf = (step: number, size = 5): Checkpoint => ({
  step,
  metadata: { seed: '7' },
  tensors: {
    weights: { shape: [size, 2], data: Float32Array.from({ length: size * 2 }, (_, i) => step + i / 7) },
    updates: { shape: [], data: Int32Array.of(step) },
  },
});

/** A picture of 8 x 4 pixels with two objects, of which one was found, and one prediction too many. */
export const sampleOf = (changes: Partial<Sample> = {}): Sample => ({
  image: Float32Array.from({ length: 32 }, (_, i) => i / 31),
  height: 4,
  width: 8,
  prompt: 'Find the digits.',
  completion: 'an answer',
  reward: 1.25,
  terms: { f1: 0.5 },
  truth: [
    { label: '3', box: [0, 0, 500, 500] },
    { label: '8', box: [500, 500, 1000, 1000] },
  ],
  predictions: [
    { label: '4', box: [600, 0, 700, 250] },
    { label: '3', box: [0, 0, 500, 250] },
  ],
  matches: [1, -1],
  ...changes,
});
