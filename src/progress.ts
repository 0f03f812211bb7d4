import cliProgress from 'cli-progress';

/** A progress bar on standard error, in the format of cli-progress, not started. Signals stay the program's own. */
export function progressBar(
  format: string,
  options?: { barsize?: number; clearOnComplete?: boolean },
): cliProgress.SingleBar {
  return new cliProgress.SingleBar({
    stream: process.stderr,
    format,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    linewrap: true, // the terminal's own setting stays, which a killed process could not restore
    gracefulExit: false, // whoever shows progress has something to close or to save when a signal comes
    ...options,
  });
}
