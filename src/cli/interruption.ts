/** Exit codes of a command that a signal ended. */
export const signals = { SIGINT: 130, SIGTERM: 143 } as const;

export interface Interruption {
  /** The signal that came; none so far where undefined. */
  readonly by: keyof typeof signals | undefined;
  /** Leaves signals to the process again. */
  release(): void;
}

/** Calls `finish` on the first signal; a second one finds no handler and ends the process at once. */
export function onInterruption(finish: () => void): Interruption {
  let by: keyof typeof signals | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    by = signal as keyof typeof signals;
    release();
    finish();
  };
  const release = (): void => {
    for (const signal of Object.keys(signals)) process.off(signal, onSignal);
  };
  for (const signal of Object.keys(signals)) process.on(signal, onSignal);
  return {
    get by() {
      return by;
    },
    release,
  };
}
