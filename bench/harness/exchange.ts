/** What goes between this process and the peers' through files. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer, Workload } from './workload.js';

const dtypes: Readonly<Record<string, string>> = {
  Float32Array: 'float32',
  Float64Array: 'float64',
  Int32Array: 'int32',
};

/** Of long answers peers tell every so many-th number. */
const everyOf = ({ length }: Answer): number => Math.max(1, Math.ceil(length / 1e6));

/** Writes what the peers are given: manifest.json and a file for each entry of the data. */
export function writeWorkload(
  folder: string,
  { kernel, parameters = {}, data }: NonNullable<Workload['peers']>,
  answer: Answer,
): void {
  const files = Object.entries(data).map(([name, values]) => {
    const dtype = dtypes[values.constructor.name] ?? 'json';
    const file = join(folder, `${name}.${dtype}`);
    writeFileSync(file, dtype === 'json' ? JSON.stringify(values) : (values as Float32Array));
    return { name, dtype, file };
  });
  const manifest = {
    kernel,
    parameters,
    data: files,
    answer: join(folder, 'answer.float64'),
    every: everyOf(answer),
  };
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
}

/**
 * Throws where a peer's answer is not ours. One that does only a part answers for the first of it.
 */
export function assertAgrees(name: string, file: string, ours: Answer, tolerance: number): void {
  const bytes = readFileSync(file);
  const theirs = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
  const every = everyOf(ours);
  const expected = Math.ceil(ours.length / every);
  if (theirs.length === 0 || theirs.length > expected)
    throw new Error(`${name} answers with ${theirs.length} numbers, not ${expected}`);
  theirs.forEach((value, i) => {
    const own = ours[i * every]!;
    if (!(Math.abs(value - own) <= tolerance * Math.max(1, Math.abs(own))))
      throw new Error(`${name} has ${value} at ${i}, not ${own}`);
  });
}
