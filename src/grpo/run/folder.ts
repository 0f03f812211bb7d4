import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { invalid, PerceptionError } from '../../errors.js';
import { isPartial, refused, syncToDisk, writeWhole } from '../../files/whole.js';
import { packageVersion } from '../../info.js';
import { optionsObject, wholeNumber } from '../../ops/validate.js';
import { type Checkpoint, isKept, readCheckpoint, writeCheckpoint } from './checkpoint.js';
import { reportHtml } from './report.js';
import { type Sample, type Scene, sceneOf, scenePng } from './scene.js';
import { EventFile } from './tensorboard.js';

/** What is logged of a step. */
export interface StepLine {
  step: number;
  /** What the step's numbers are, by name; NaN is kept, as null. Equal in two runs of the same seed. */
  metrics: Record<string, number>;
  /** Seconds and speeds, which differ between two runs. */
  timing: Record<string, number>;
  /** What a reader of the run should know. */
  notes?: string[];
}

/** Samples that were saved together. */
export interface SampleSet {
  step: number;
  name: string;
  scenes: Scene[];
}

/** The layout of the folder; a run of a later one cannot be read. */
const format = 1;

/** How many checkpoints stay of those that are not marked to be kept. */
const rolling = 2;

/**
 * The folder of a training run: its configuration, what was logged, checkpoints, samples and the report. A process that
 * is killed at any moment leaves a folder that can be opened: files are replaced as a whole, and lines only appended. One
 * process at a time may write.
 *
 * Log a step before saving its checkpoint: then the newest checkpoint is never ahead of the log.
 */
export class RunFolder {
  /** Absolute. */
  readonly path: string;
  /** As JSON keeps it. */
  readonly config: unknown;
  /** Version of the package that made the run. */
  readonly version: string;
  #events: EventFile | undefined;
  /** The last step logged, once the log was looked at; its cut-off end is removed then. */
  #lastStep: number | undefined;
  /** Checkpoints by step, and whether they are marked to be kept. */
  #checkpoints: Map<number, boolean> | undefined;

  private constructor(path: string, config: unknown, version: string) {
    this.path = path;
    this.config = config;
    this.version = version;
  }

  /**
   * Makes the folder of a new run, and the folders above it.
   * @param config an object that JSON can hold
   * @throws PerceptionError INVALID_ARGUMENT where there is a run already, or the folder cannot be made
   */
  static create(path: string, config: unknown): RunFolder {
    if (typeof config !== 'object' || config === null || Array.isArray(config)) {
      throw invalid('INVALID_ARGUMENT', 'config', 'an object', config);
    }
    const folder = resolve(path);
    const file = join(folder, 'config.json');
    if (existsSync(file)) {
      throw new PerceptionError(
        'INVALID_ARGUMENT',
        `${path}: expected a folder without a run, received one with config.json; resume that run, or choose another folder`,
      );
    }
    try {
      mkdirSync(folder, { recursive: true });
    } catch (error) {
      throw refused(path, 'made', error);
    }
    const text = JSON.stringify({ format, version: packageVersion, config }, null, 2);
    writeWhole(file, `${text}\n`);
    return RunFolder.open(path);
  }

  /**
   * Opens a run, to go on with it or to report. Nothing is changed until something is written.
   * @throws PerceptionError INVALID_ARGUMENT where there is no run; INVALID_INPUT where its config.json is damaged or of a
   *   later version of this package
   */
  static open(path: string): RunFolder {
    const folder = resolve(path);
    const file = join(folder, 'config.json');
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw refused(file, 'read', error);
      throw new PerceptionError(
        'INVALID_ARGUMENT',
        `${path}: expected the folder of a run, received ${existsSync(folder) ? 'one without config.json' : 'a path where nothing is'}`,
      );
    }
    const parsed = parse(text, file) ?? {};
    const { format: found, version, config } = parsed as { format: number; version: string; config: unknown };
    if (
      !Number.isInteger(found) ||
      typeof version !== 'string' ||
      typeof config !== 'object' ||
      config === null
    ) {
      throw new PerceptionError(
        'INVALID_INPUT',
        `${file}: expected the configuration of a run, {format, version, config}, received something else`,
      );
    }
    if (found > format) {
      throw new PerceptionError(
        'INVALID_INPUT',
        `${file}: expected a run of format ${format}, received format ${found}, made by perception-r1 ${version}; this is ${packageVersion}: update it`,
      );
    }
    return new RunFolder(folder, config, version);
  }

  /**
   * Appends a step to metrics.jsonl, and its metrics and timing to TensorBoard's file.
   * @throws PerceptionError INVALID_ARGUMENT where the step is before the last one logged (`rewind` first), or the file system
   *   refuses
   */
  log({ step, metrics, timing, notes }: StepLine): void {
    wholeNumber(step, 'line.step', 0);
    this.#lastStep ??= this.#mend();
    if (step < this.#lastStep) {
      throw invalid(
        'INVALID_ARGUMENT',
        'line.step',
        `at least ${this.#lastStep}, the last step logged`,
        step,
      );
    }
    const line = JSON.stringify({ step, metrics, timing, ...(notes && notes.length > 0 && { notes }) });
    try {
      appendFileSync(this.#file('metrics.jsonl'), `${line}\n`);
      this.#lastStep = step;
      this.#events ??= this.#newEventFile();
      this.#events.scalars(step, { ...metrics, ...timing });
    } catch (error) {
      // A part may have been written: the next step looks at the log again, and starts another event file.
      this.#lastStep = undefined;
      this.#events = undefined;
      throw refused(this.#file('metrics.jsonl'), 'written', error);
    }
  }

  /**
   * What was logged. A last line that was cut off, by the end of the process that wrote it, is left out.
   * @throws PerceptionError INVALID_INPUT where another line is damaged
   */
  lines(): StepLine[] {
    const file = this.#file('metrics.jsonl');
    const whole = wholeLines(existsSync(file) ? readFileSync(file) : Buffer.alloc(0));
    return whole.map((text, i) => {
      const { step, metrics, timing, notes } = parse(text, `${file}, line ${i + 1}`) as StepLine;
      if (!Number.isInteger(step) || typeof metrics !== 'object' || typeof timing !== 'object') {
        throw new PerceptionError(
          'INVALID_INPUT',
          `${file}, line ${i + 1}: expected {step, metrics, timing}`,
        );
      }
      return { step, metrics: numbers(metrics), timing: numbers(timing), ...(notes && { notes }) };
    });
  }

  /**
   * Saves a checkpoint as a whole or not at all, and removes older ones: the newest two stay, and those saved with `keep`.
   * When it is on the disk, so is what was logged before.
   * @throws PerceptionError as `writeCheckpoint`
   */
  save(checkpoint: Checkpoint, options?: { keep?: boolean }): void {
    const { keep = false } = optionsObject(options, 'options', ['keep']);
    const folder = this.#folder('checkpoints');
    try {
      this.#checkpoints ??= sweep(folder);
      const log = this.#file('metrics.jsonl');
      if (existsSync(log)) syncToDisk(log);
      writeCheckpoint(join(folder, fileOf(checkpoint.step)), checkpoint, { keep });
      this.#checkpoints.set(checkpoint.step, keep);
      const passing = [...this.#checkpoints].filter(([, kept]) => !kept).map(([step]) => step);
      for (const step of passing.sort((a, b) => b - a).slice(rolling)) {
        rmSync(join(folder, fileOf(step)), { force: true });
        this.#checkpoints.delete(step);
      }
    } catch (error) {
      throw refused(folder, 'written', error);
    }
  }

  /**
   * The newest checkpoint that is whole; none where there is none.
   * @param note is told of each newer one that is damaged and so left out. Default: a warning of the process
   */
  latest(
    note: (message: string) => void = (message) => process.emitWarning(message),
  ): Checkpoint | undefined {
    const folder = this.#file('checkpoints');
    for (const step of stepsIn(folder).sort((a, b) => b - a)) {
      try {
        return readCheckpoint(join(folder, fileOf(step)));
      } catch (error) {
        if (!(error instanceof PerceptionError) || error.code !== 'INVALID_INPUT') throw error;
        note(`${error.message}; it is left out`);
      }
    }
    return undefined;
  }

  /**
   * Goes back to the state after `step`: drops what was logged after it, removes later checkpoints, and tells TensorBoard to
   * drop what it has read. To be called before going on from a checkpoint.
   */
  rewind(step: number): void {
    wholeNumber(step, 'step', 0);
    const lines = this.lines();
    const kept = lines.filter((line) => line.step <= step);
    try {
      if (kept.length < lines.length) {
        writeWhole(this.#file('metrics.jsonl'), kept.map((line) => `${JSON.stringify(line)}\n`).join(''));
      }
      this.#lastStep = undefined;
      const checkpoints = this.#file('checkpoints');
      for (const later of stepsIn(checkpoints)) {
        if (later > step) rmSync(join(checkpoints, fileOf(later)));
      }
      this.#checkpoints = undefined;
      this.#events = this.#newEventFile();
      this.#events.restart(step + 1);
    } catch (error) {
      throw refused(this.path, 'written', error);
    }
  }

  /**
   * Keeps samples of a step under a name, with a picture of each: samples/step-000120/after.json, after-00.png, ... The report
   * shows those called 'before' and 'after' side by side, else the first and the last set of the same name.
   * @throws PerceptionError SHAPE_MISMATCH, INVALID_VALUE where the parts of a sample do not fit; INVALID_ARGUMENT for a name
   *   other than letters, digits, - and _, and where the file system refuses
   */
  saveSamples(step: number, name: string, samples: readonly Sample[]): void {
    wholeNumber(step, 'step', 0);
    if (!/^[\w-]+$/.test(name)) throw invalid('INVALID_ARGUMENT', 'name', 'letters, digits, - and _', name);
    const folder = this.#folder(join('samples', stepName(step)));
    const scenes = samples.map(sceneOf);
    samples.forEach((sample, i) => {
      writeWhole(join(folder, `${name}-${String(i).padStart(2, '0')}.png`), scenePng(sample, scenes[i]!));
    });
    writeWhole(join(folder, `${name}.json`), `${JSON.stringify(scenes, null, 1)}\n`);
  }

  /** The samples that were saved, by step. */
  samples(): SampleSet[] {
    const folder = this.#file('samples');
    const sets = names(folder).flatMap((entry) => {
      const step = stepOf(entry);
      if (step === undefined) return [];
      return names(join(folder, entry)).flatMap((file) => {
        if (!file.endsWith('.json')) return [];
        const path = join(folder, entry, file);
        const stored = parse(readFileSync(path, 'utf8'), path) as Scene[];
        const scenes = stored.map((scene) => ({
          ...scene,
          reward: scene.reward ?? Number.NaN,
          terms: numbers(scene.terms),
        }));
        return [{ step, name: basename(file, '.json'), scenes }];
      });
    });
    return sets.sort((a, b) => a.step - b.step || (a.name < b.name ? -1 : 1));
  }

  /** Writes report.html, one page that needs no other file and no network. @returns its path */
  writeReport(): string {
    const path = this.#file('report.html');
    const { config, version } = this;
    const input = {
      title: basename(this.path),
      version,
      config,
      lines: this.lines(),
      samples: this.samples(),
    };
    writeWhole(path, reportHtml(input));
    return path;
  }

  #file(name: string): string {
    return join(this.path, name);
  }

  #folder(name: string): string {
    const path = this.#file(name);
    try {
      mkdirSync(path, { recursive: true });
    } catch (error) {
      throw refused(path, 'made', error);
    }
    return path;
  }

  /** Removes a cut-off last line of the log. @returns the last step logged */
  #mend(): number {
    const file = this.#file('metrics.jsonl');
    const last = this.lines().at(-1)?.step ?? 0;
    if (existsSync(file)) {
      const end = readFileSync(file).lastIndexOf(0x0a) + 1;
      if (end < statSync(file).size) truncateSync(file, end);
    }
    return last;
  }

  /** TensorBoard reads a folder's files in the order of their names, which hold the second they were made in. */
  #newEventFile(): EventFile {
    const seconds = names(this.path).map((name) =>
      Number(/^events\.out\.tfevents\.(\d+)\./.exec(name)?.[1] ?? 0),
    );
    const second = Math.max(Math.floor(Date.now() / 1000), Math.max(...seconds) + 1);
    return new EventFile(this.#file(`events.out.tfevents.${second}.perception-r1`));
  }
}

const stepName = (step: number): string => `step-${String(step).padStart(6, '0')}`;
const suffix = '.safetensors';
const fileOf = (step: number): string => `${stepName(step)}${suffix}`;

/** The step in a name that `stepName` made. */
function stepOf(name: string): number | undefined {
  const digits = /^step-(\d{6,15})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Steps of the checkpoints in a folder. */
const stepsIn = (folder: string): number[] =>
  names(folder).flatMap((name) => (name.endsWith(suffix) ? (stepOf(basename(name, suffix)) ?? []) : []));

/** Removes what killed processes left of checkpoints, and finds which ones are marked to be kept. */
function sweep(folder: string): Map<number, boolean> {
  for (const name of names(folder)) if (isPartial(name)) rmSync(join(folder, name), { force: true });
  return new Map(stepsIn(folder).map((step) => [step, isKept(join(folder, fileOf(step)))]));
}

/** The names in a folder; none where it does not exist. */
function names(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw refused(folder, 'read', error);
  }
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new PerceptionError(
      'INVALID_INPUT',
      `${where}: expected JSON, received ${(error as Error).message}`,
    );
  }
}

/** The lines of a file that end; what follows the last line's end was cut off. */
const wholeLines = (bytes: Buffer): string[] =>
  bytes
    .subarray(0, bytes.lastIndexOf(0x0a) + 1)
    .toString('utf8')
    .split('\n')
    .slice(0, -1);

/** JSON has no NaN: it is null there. */
const numbers = (values: Record<string, number | null>): Record<string, number> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value ?? Number.NaN]));
