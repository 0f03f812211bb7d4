import { progressBar } from '../progress.js';

/** Shows how far a run is, on standard error where that is a terminal; elsewhere it only passes notes on. */
export interface Progress {
  update(bytesRead: number, completions: number): void;
  /** Prints a line without tearing the bar. */
  note(message: string): void;
  stop(): void;
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

/** @param totalBytes the size of the input, where it is known; a counter takes the place of the bar elsewhere */
export function startProgress(totalBytes: number | undefined, quiet: boolean): Progress {
  const note = (message: string): void => {
    process.stderr.write(`${message}\n`);
  };
  if (quiet || !process.stderr.isTTY) return { update: () => {}, note, stop: () => {} };

  const figures = '{read} MB | {completions} completions | {rate}/s';
  const bar = progressBar(totalBytes === undefined ? figures : `{bar} {percentage}% | ${figures}`);
  const started = performance.now();
  const payload = (bytes: number, completions: number): object => ({
    read: totalBytes === undefined ? megabytes(bytes) : `${megabytes(bytes)} of ${megabytes(totalBytes)}`,
    completions: completions.toLocaleString('en-US'),
    rate: Math.round((1000 * completions) / Math.max(performance.now() - started, 1)).toLocaleString('en-US'),
  });
  bar.start(totalBytes ?? 0, 0, payload(0, 0));
  return {
    update: (bytes, completions) => bar.update(bytes, payload(bytes, completions)),
    note: (message) => note(`\r\x1b[K${message}`),
    stop: () => bar.stop(),
  };
}
