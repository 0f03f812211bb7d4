import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { setThreads } from 'perception-r1';
import { Bench } from 'tinybench';
import { assertAgrees, writeWorkload } from './exchange.js';
import type { Limits } from './limits.js';
import type { PeerProcess, Reply } from './peer-process.js';
import type { Peers } from './peers.js';
import { excerpt, type Timing, timingOf } from './samples.js';
import { type Answer, mostThreads, type Workload } from './workload.js';

/** What was measured of one workload on so many threads. */
export interface Measured {
  name: string;
  threads: number;
  own: Timing;
  /** By the peer's name. `share`: how much of the workload it did; the times are scaled up to all of it. */
  peers: Record<string, Timing & { share: number }>;
  /** How long the machine takes at least. */
  limit?: { kind: string; milliseconds: number };
  /** Peers that took part and gave up, or were wrong. */
  failed: Record<string, string>;
}

interface Opponent {
  process: PeerProcess;
  reply: Reply;
  samples: number[];
}

/** How often the sides take turns, and how often where one run of this takes longer than the clock. */
const turnsOf = { quick: 5, slow: 3 };

/** A run of a microsecond has a million samples in a second: of each turn so many are kept, evenly from least to greatest. */
const mostOfTurn = 50_000;

const kept = (samples: readonly number[]): number[] =>
  samples.length <= mostOfTurn
    ? [...samples]
    : excerpt(
        samples.toSorted((a, b) => a - b),
        mostOfTurn,
      );

/** Runs `run` for about so long, once at least, in tinybench; milliseconds each. */
function sample(run: () => unknown, milliseconds: number, warmup: number): readonly number[] {
  const bench = new Bench({
    time: milliseconds,
    iterations: 1,
    warmup: warmup > 0,
    warmupTime: warmup,
    warmupIterations: 1,
    retainSamples: true,
    throws: true,
  });
  bench.add('run', () => void run());
  bench.runSync();
  const { result } = bench.tasks[0]!;
  if (!('latency' in result)) throw new Error(`tinybench: ${result.state}`);
  return result.latency.samples!;
}

/** Loads the workload into each peer that can do it, and compares what they make of it with ours. */
async function gather(
  folder: string,
  work: Workload,
  answer: Answer,
  threads: number,
  peers: readonly PeerProcess[],
  failed: Record<string, string>,
): Promise<Opponent[]> {
  const opponents: Opponent[] = [];
  for (const process of peers) {
    const { name } = process.peer;
    try {
      const reply = await process.load(folder, threads);
      if (reply.absent !== undefined) throw new Error(reply.absent);
      if (!reply.able) continue;
      assertAgrees(name, reply.answer!, answer, work.tolerance ?? 1e-6);
      opponents.push({ process, reply, samples: [] });
    } catch (error) {
      failed[name] = (error as Error).message;
    }
  }
  return opponents;
}

/**
 * Times a workload for about `clock` milliseconds on each side, this and the peers by turns so that all see the same
 * machine. A peer that takes longer than that for one run has run once.
 */
export async function* measure(
  work: Workload,
  clock: number,
  peers: Peers,
  limits: Limits | undefined,
): AsyncGenerator<Measured> {
  const start = performance.now();
  const result = work.run();
  const isSlow = performance.now() - start > clock;
  const answer = work.check(result);
  const others = work.peers ? await peers.of(work.peers.kernel) : [];
  const folder = mkdtempSync(join(os.tmpdir(), 'perception-r1-bench-'));
  try {
    if (others.length > 0) writeWorkload(folder, work.peers!, answer);
    for (const threads of work.threads ?? [1, mostThreads]) {
      setThreads(threads);
      const failed: Record<string, string> = {};
      const opponents = await gather(folder, work, answer, threads, others, failed);
      const limit = (): number | undefined => work.limit && limits?.measure(work.limit, threads);
      const turns = isSlow ? turnsOf.slow : opponents.length > 0 ? turnsOf.quick : 1;
      let own: number[] = [];
      for (let turn = 0; turn < turns; turn++) {
        limit();
        const warmup = turn === 0 && !isSlow ? clock / 4 : 0;
        own = own.concat(kept((await work.sample?.(clock)) ?? sample(work.run, clock / turns, warmup)));
        for (const opponent of opponents) {
          if (opponent.reply.first! >= clock) continue;
          opponent.samples = opponent.samples.concat(kept(await opponent.process.run(clock / turns)));
        }
      }
      const least = limit();
      yield {
        name: work.name,
        threads,
        own: timingOf(own),
        peers: Object.fromEntries(
          opponents.map(({ process, reply, samples }) => [
            process.peer.name,
            { ...timingOf(samples.length > 0 ? samples : [reply.first!]), share: reply.share ?? 1 },
          ]),
        ),
        ...(work.limit && least !== undefined && { limit: { kind: work.limit.kind, milliseconds: least } }),
        failed,
      };
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
