import { statSync } from 'node:fs';
import { type Line, LineSplitter } from '../files/jsonl.js';
import { InputError, openSink, openSource } from '../files/streams.js';
import { info } from '../info.js';
import type { CoordinateSpace } from '../rewards/recipes.js';
import { onInterruption, signals } from './interruption.js';
import { badLineReporter, scoredLines } from './output.js';
import { startProgress } from './progress.js';
import { type Batch, Batcher, readEntry, recipeOption } from './rollouts.js';
import { refuseCoordinates, scoreBatch } from './scoring.js';
import { formatReport, Summary } from './summary.js';
import { UsageError } from './usage.js';

export interface ScoreOptions {
  recipe?: string;
  input: string;
  groupSize?: number;
  output?: string;
  coordinates?: CoordinateSpace;
  batch: number;
  quiet?: boolean;
  json?: boolean;
}

/**
 * Scores a file of rollouts, one batch in flight while the next is read.
 * @returns the exit code: 0, 1 where a line was not scored, 130 or 143 after an interruption
 * @throws UsageError, FileError, PerceptionError NATIVE_UNAVAILABLE
 */
export async function score(options: ScoreOptions): Promise<number> {
  const recipe = options.recipe === undefined ? undefined : recipeOption(options.recipe);
  info(); // a missing add-on is told before the output file is emptied
  if (recipe && options.coordinates) refuseCoordinates(recipe, options.coordinates);
  if (options.output !== undefined && options.output !== '-' && options.input !== '-') {
    refuseSameFile(options.input, options.output);
  }
  const source = openSource(options.input);
  const sink = options.output === undefined ? undefined : openSink(options.output);
  const progress = startProgress(source.totalBytes, options.quiet === true);
  const summary = new Summary(options.groupSize);
  const started = performance.now();

  const interruption = onInterruption(() => source.stop());

  const badLines = badLineReporter(progress.note);
  let inFlight: Promise<void> = Promise.resolve();
  const submit = async (batch: Batch | undefined): Promise<void> => {
    await inFlight;
    if (!batch) return;
    inFlight = scoreBatch(batch, options.coordinates).then(async (scored) => {
      summary.add(scored);
      badLines.add(scored.entries);
      progress.update(source.bytesRead(), summary.completions);
      await sink?.write(scoredLines(scored, options.groupSize !== undefined));
    });
    inFlight.catch(() => {}); // the next submit throws it
  };

  let inputError: string | null = null;
  try {
    const batcher = new Batcher(options.groupSize, options.batch);
    const splitter = new LineSplitter();
    const take = async (lines: Iterable<Line>): Promise<void> => {
      for (const line of lines) {
        const batch = batcher.add(readEntry(line, recipe, options.groupSize));
        if (batch) await submit(batch);
        if (interruption.by) return;
      }
    };
    try {
      for await (const chunk of source.chunks) {
        await take(splitter.push(chunk));
        if (interruption.by) break;
      }
      // After an interruption the last line may be the beginning of one.
      if (!interruption.by) await take(splitter.end());
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      inputError = error.message;
    }
    await submit(interruption.by ? batcher.takeWholeGroups() : batcher.take());
    await inFlight;
  } finally {
    interruption.release();
    source.stop();
    progress.stop();
    badLines.end();
    await sink?.close();
  }

  const seconds = (performance.now() - started) / 1000;
  const report = summary.report(seconds, interruption.by ?? null, inputError);
  const text = options.json ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report);
  (options.output === '-' ? process.stderr : process.stdout).write(text);
  if (interruption.by) return signals[interruption.by];
  return summary.badLines > 0 || inputError !== null ? 1 : 0;
}

/** @throws UsageError where writing `output` would destroy `input` */
function refuseSameFile(input: string, output: string): void {
  const a = statSync(input, { throwIfNoEntry: false });
  const b = statSync(output, { throwIfNoEntry: false });
  if (a?.isFile() && b && a.dev === b.dev && a.ino === b.ino) {
    throw new UsageError(`--output: expected a file other than the input, received "${output}"`);
  }
}
