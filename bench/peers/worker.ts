/**
 * A peer in Node at work: worker.js MODULE [WAY]. Told by lines of JSON what to do, it answers each with one, as worker.py
 * does; what a module has is said there.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Reply } from '../harness/peer-process.js';

/** What a workload's manifest says. */
export interface Task {
  kernel: string;
  // biome-ignore-start lint/suspicious/noExplicitAny: whatever the kernel's file of bench/kernels hands over
  parameters: Record<string, any>;
  data: Record<string, any>;
  // biome-ignore-end lint/suspicious/noExplicitAny: to here
}

export interface Prepared<Result> {
  run(): Result;
  answer(result: Result): ArrayLike<number>;
  share?: number;
}

export interface PeerModule {
  /** Makes a task ready. `way` is that of peers.json, `package_` loads a package of build/peers. */
  prepare(task: Task, way: string, load: (name: string) => unknown): Prepared<unknown> | undefined;
  /** The packages that it loads. */
  packages(way: string): string[];
}

const [name, way = ''] = process.argv.slice(2) as [string, string?];
const installed = createRequire(fileURLToPath(new URL('../../../peers/package.json', import.meta.url)));
const types = { float32: Float32Array, float64: Float64Array, int32: Int32Array };

const reply = (message: Reply): void => void process.stdout.write(`${JSON.stringify(message)}\n`);

function timed<Result>(run: () => Result): [milliseconds: number, result: Result] {
  const start = performance.now();
  const result = run();
  return [performance.now() - start, result];
}

function read(file: string, dtype: keyof typeof types | 'json'): unknown {
  const bytes = readFileSync(file);
  if (dtype === 'json') return JSON.parse(bytes.toString());
  return new types[dtype](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

function load(module: PeerModule, folder: string): Prepared<unknown> | undefined {
  const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
  const data = Object.fromEntries(
    manifest.data.map((entry: { name: string; file: string; dtype: 'json' }) => [
      entry.name,
      read(entry.file, entry.dtype),
    ]),
  );
  const prepared = module.prepare({ ...manifest, data }, way, installed);
  if (!prepared) {
    reply({ able: false });
    return undefined;
  }
  const { share = 1 } = prepared;
  let [first, result] = timed(prepared.run);
  const numbers = Float64Array.from(prepared.answer(result));
  writeFileSync(
    manifest.answer,
    numbers.filter((_, i) => i % manifest.every === 0),
  );
  if (first < 1000) [first, result] = timed(prepared.run);
  reply({ able: true, answer: manifest.answer, first: first / share, share });
  return prepared;
}

function runFor({ run, share = 1 }: Prepared<unknown>, milliseconds: number): void {
  const times: number[] = [];
  const start = performance.now();
  do times.push(timed(run)[0] / share);
  while (performance.now() - start < milliseconds);
  reply({ times });
}

try {
  const module: PeerModule = await import(`./${name}.js`);
  const versions = module
    .packages(way)
    .map(
      (name) =>
        `${name} ${(installed(`./node_modules/${name}/package.json`) as { version: string }).version}`,
    );
  reply({ versions: versions.join(', ') });
  let work: Prepared<unknown> | undefined;
  for await (const line of createInterface({ input: process.stdin })) {
    const message = JSON.parse(line);
    if (message.run !== undefined) {
      runFor(work!, message.run);
      continue;
    }
    try {
      work = message.threads > 1 ? undefined : load(module, message.load);
      if (message.threads > 1) reply({ able: false }); // all of them have one thread
    } catch (error) {
      reply({ absent: (error as Error).message });
    }
  }
} catch (error) {
  reply({ absent: (error as Error).message.split('\n')[0]! });
}
