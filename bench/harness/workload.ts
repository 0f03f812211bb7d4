/** One piece of work to be timed, here and by the peers. */

/** What peers are given, each entry a file of its own: numbers as they are, anything else as JSON. */
export type Data = Record<string, Float32Array | Float64Array | Int32Array | readonly unknown[]>;

/** What a peer's answer is compared with. */
export type Answer = Float32Array | Float64Array | Int32Array;

/** A bound that native/bench/limits.cc measures: how long this machine takes for so much and nothing else. */
export interface Limit {
  kind: 'store' | 'copy' | 'overlaps' | 'word-steps';
  /** Bytes written; bytes read and written; pairs of boxes; steps over one 64-bit word. */
  amount: number;
}

export const mostThreads = 2;

export interface Workload<Result = unknown> {
  /** `group/what`: `--only` looks for its words here, and each group is a table. */
  name: string;
  /** What is asked of the peers that know it by this name. Left out where there are none. */
  peers?: { kernel: string; parameters?: Record<string, string | number>; data: Data };
  /** On how many it is timed; default 1 and `mostThreads`. */
  threads?: readonly number[];
  /** What is timed. */
  run(): Result;
  /** Throws where the result is wrong; else tells it as peers do. Called before the clock starts. */
  check(result: Result): Answer;
  /** How far from it a peer's answer may be, relative to values above 1. Default 1e-6. */
  tolerance?: number;
  limit?: Limit;
  /** Milliseconds of its own making, from about as long, in place of how long `run` takes. */
  sample?(milliseconds: number): Promise<number[]>;
}

/** What a file of bench/kernels has: its workloads one by one, since some are too large to be held all at once. */
export type Workloads = Generator<Workload>;

/** Lets each workload check the type of result that it makes. */
export const workload = <Result>(work: Workload<Result>): Workload => work as Workload;

/** Offsets of `count` lists of `size` each. */
export const evenOffsets = (count: number, size: number): Int32Array =>
  Int32Array.from({ length: count + 1 }, (_, i) => i * size);

/** 1024 as "1,024". */
export const grouped = (value: number): string => value.toLocaleString('en');

/** A batch's size in a workload's name. */
export const sizeName = (problems: number, rows: number, columns: number): string =>
  `${grouped(problems)} x (${grouped(rows)} x ${grouped(columns)})`;
