import { progressBar } from '../../progress.js';
import type { StepLine } from './folder.js';

export interface ProgressOptions {
  /** Steps in all. */
  total: number;
  /** Steps done before, of a run that goes on. Default 0. */
  done?: number;
  /** What is running. */
  label: string;
  /** Metrics to be shown, by name; each by its last value. Default 'reward/mean'. */
  figures?: readonly string[];
  /** Shows nothing but notes. Default false. */
  quiet?: boolean;
}

/** Shows how far a training is, on standard error: a bar on a terminal, elsewhere a line now and then. */
export interface TrainingProgress {
  /** A step is done. */
  update(line: StepLine): void;
  /** Prints a line without tearing the bar. */
  note(message: string): void;
  stop(): void;
}

const secondsBetweenLines = 10;

/** Starts to show. `stop()` is to be called in the end. */
export function startProgress({
  total,
  done = 0,
  label,
  figures = ['reward/mean'],
  quiet = false,
}: ProgressOptions): TrainingProgress {
  const print = (message: string): void => {
    process.stderr.write(`${message}\n`);
  };
  if (quiet) return { update: () => {}, note: print, stop: () => {} };

  const started = performance.now();
  const values = new Map<string, number>();
  let speed: number | undefined;
  let step = done;
  const read = (line: StepLine): void => {
    step = line.step;
    for (const name of figures) {
      const value = line.metrics[name];
      if (value !== undefined) values.set(name, value);
    }
    speed = line.timing.tokens_per_second ?? speed;
  };
  const describe = (): string => {
    const parts = [...values].map(([name, value]) => `${name.replace(/\/mean$/, '')} ${value.toFixed(3)}`);
    if (speed !== undefined) parts.push(`${Math.round(speed).toLocaleString('en-US')} tokens/s`);
    if (step > done) {
      const perStep = (performance.now() - started) / 1000 / (step - done);
      parts.push(`${duration(perStep * Math.max(0, total - step))} left`);
    }
    return parts.join(' | ');
  };

  if (!process.stderr.isTTY) {
    let printed: { step: number; at: number } | undefined;
    const show = (): void => {
      printed = { step, at: performance.now() };
      print(`${label} ${step}/${total} | ${describe()}`);
    };
    return {
      update: (line) => {
        read(line);
        if (!printed || performance.now() - printed.at >= 1000 * secondsBetweenLines) show();
      },
      note: print,
      stop: () => {
        if (step > done && printed?.step !== step) show();
      },
    };
  }

  const bar = progressBar(`${label} {bar} {value}/{total} | {figures}`, { barsize: 20 });
  bar.start(total, done, { figures: '' });
  return {
    update: (line) => {
      read(line);
      bar.update(step, { figures: describe() });
    },
    note: (message) => print(`\r\x1b[K${message}`),
    stop: () => bar.stop(),
  };
}

function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
