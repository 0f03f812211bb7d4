import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { decode } from 'fast-png';
import { describe, expect, test } from 'vitest';
import { readCheckpoint, writeCheckpoint } from '../../../src/grpo/run/checkpoint.js';
import { RunFolder } from '../../../src/grpo/run/folder.js';
import { packageVersion } from '../../../src/info.js';
import { codeOf } from '../../support.js';
import { checkpointOf, compileWriter, lineOf, messageOf, sampleOf, temporaryFolder } from './support.js';

const newRun = (config: object = { seed: 1 }): RunFolder =>
  RunFolder.create(join(temporaryFolder(), 'deep', 'run'), config);

const checkpoints = (run: RunFolder): string[] => readdirSync(join(run.path, 'checkpoints')).sort();
const eventFiles = (run: RunFolder): string[] =>
  readdirSync(run.path).filter((name) => name.startsWith('events.out.tfevents.'));

describe('a run', () => {
  test('is made with its configuration, and opened again', () => {
    const run = newRun({ seed: 3, task: 'detection', nested: { lr: 1e-4 } });
    expect(run.config).toEqual({ seed: 3, task: 'detection', nested: { lr: 1e-4 } });
    const opened = RunFolder.open(run.path);
    expect(opened.config).toEqual(run.config);
    expect(opened.version).toBe(packageVersion);
    expect(readFileSync(join(run.path, 'config.json'), 'utf8')).toBe(
      `${JSON.stringify({ format: 1, version: packageVersion, config: run.config }, null, 2)}\n`,
    );
  });

  test('is not made over another one, nor out of something that is no configuration', () => {
    const run = newRun();
    expect(messageOf(() => RunFolder.create(run.path, {}))).toMatch(/resume that run, or choose another/);
    expect(codeOf(() => RunFolder.create(run.path, {}))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => RunFolder.create(join(temporaryFolder(), 'x'), 'text'))).toBe('INVALID_ARGUMENT');
  });

  test('is made in a folder that is there', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'notes.txt'), 'mine');
    expect(RunFolder.create(folder, {}).lines()).toEqual([]);
  });

  test('is not opened where there is none, where it is damaged, or of a later format', () => {
    const folder = temporaryFolder();
    expect(messageOf(() => RunFolder.open(folder))).toMatch(/one without config.json/);
    expect(messageOf(() => RunFolder.open(join(folder, 'x')))).toMatch(/a path where nothing is/);
    const config = (text: string): string => {
      writeFileSync(join(folder, 'config.json'), text);
      expect(codeOf(() => RunFolder.open(folder))).toBe('INVALID_INPUT');
      return messageOf(() => RunFolder.open(folder));
    };
    expect(config('{"format": 1,')).toMatch(/expected JSON/);
    expect(config('{"name": "other"}')).toMatch(/expected the configuration of a run/);
    expect(config('null')).toMatch(/expected the configuration of a run/);
    expect(config('{"format": 2, "version": "9.1.0", "config": {}}')).toMatch(
      new RegExp(`format 2, made by perception-r1 9.1.0; this is ${packageVersion}: update it`),
    );
  });
});

describe('the log', () => {
  test('gives back every number as it was, and NaN', () => {
    const run = newRun();
    const lines = [
      { step: 1, metrics: { a: 0.1 + 0.2, b: -0, c: 5e-324 }, timing: {}, notes: ['a\nb', '"'] },
      { step: 2, metrics: { a: Number.NaN }, timing: { 'time/sample': 1 / 3 } },
      { step: 2, metrics: { 'eval/ap': 3 }, timing: {} },
    ];
    for (const line of lines) run.log(line);
    const expected = [{ ...lines[0]!, metrics: { ...lines[0]!.metrics, b: 0 } }, ...lines.slice(1)];
    expect(run.lines()).toEqual(expected);
    expect(RunFolder.open(run.path).lines()).toEqual(expected);
  });

  test('goes on after a line that was cut off at any place', () => {
    const run = newRun();
    for (const step of [1, 2]) run.log(lineOf(step));
    const file = join(run.path, 'metrics.jsonl');
    const whole = readFileSync(file);
    const end = whole.indexOf(0x0a) + 1;
    for (let length = end; length < whole.length; length += 9) {
      writeFileSync(file, whole.subarray(0, length));
      const opened = RunFolder.open(run.path);
      expect(opened.lines()).toEqual([lineOf(1)]);
      expect(readFileSync(file).length).toBe(length); // reading changes nothing
      opened.log(lineOf(3));
      expect(opened.lines()).toEqual([lineOf(1), lineOf(3)]);
    }
  });

  test('names a damaged line that is not the last', () => {
    const run = newRun();
    for (const step of [1, 2, 3]) run.log(lineOf(step));
    const file = join(run.path, 'metrics.jsonl');
    writeFileSync(file, readFileSync(file, 'utf8').replace('{"step":2', '{"step"'));
    expect(messageOf(() => run.lines())).toMatch(/metrics\.jsonl, line 2: expected JSON/);
    writeFileSync(file, '{"step":1}\n');
    expect(codeOf(() => run.lines())).toBe('INVALID_INPUT');
  });

  test('does not go backwards', () => {
    const run = newRun();
    run.log(lineOf(5));
    expect(messageOf(() => run.log(lineOf(4)))).toMatch(/at least 5, the last step logged/);
    expect(messageOf(() => RunFolder.open(run.path).log(lineOf(4)))).toMatch(/at least 5/);
    run.log(lineOf(5));
  });
});

describe('checkpoints', () => {
  test('the newest two stay, and those to be kept; also when a run goes on', () => {
    let run = newRun();
    expect(run.latest()).toBeUndefined();
    for (const step of [1, 2, 3, 4]) run.save(checkpointOf(step), { keep: step === 2 });
    expect(checkpoints(run)).toEqual(
      ['step-000002', 'step-000003', 'step-000004'].map((s) => `${s}.safetensors`),
    );
    run = RunFolder.open(run.path);
    for (const step of [5, 1234567]) run.save(checkpointOf(step));
    expect(checkpoints(run)).toEqual([
      'step-000002.safetensors',
      'step-000005.safetensors',
      'step-1234567.safetensors',
    ]);
    expect(run.latest()).toEqual(checkpointOf(1234567));
  });

  test('a step saved twice is what was saved last', () => {
    const run = newRun();
    run.save(checkpointOf(1));
    run.save({ ...checkpointOf(1, 9) }, { keep: true });
    for (const step of [2, 3, 4]) run.save(checkpointOf(step));
    expect(readCheckpoint(join(run.path, 'checkpoints', 'step-000001.safetensors'))).toEqual(
      checkpointOf(1, 9),
    );
  });

  test('a damaged one is left out with a note, and goes in its turn', () => {
    const run = newRun();
    for (const step of [1, 2]) run.save(checkpointOf(step));
    truncateSync(join(run.path, 'checkpoints', 'step-000002.safetensors'), 100);
    const notes: string[] = [];
    const opened = RunFolder.open(run.path);
    expect(opened.latest((note) => notes.push(note))).toEqual(checkpointOf(1));
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(/step-000002\.safetensors: expected a whole safetensors file.*left out$/);
    for (const step of [3, 4]) opened.save(checkpointOf(step));
    expect(checkpoints(run)).toEqual(['step-000003.safetensors', 'step-000004.safetensors']);
    rmSync(join(run.path, 'checkpoints', 'step-000004.safetensors'));
    truncateSync(join(run.path, 'checkpoints', 'step-000003.safetensors'), 4);
    expect(run.latest(() => {})).toBeUndefined();
  });

  test('what a killed process left is removed; what is not a checkpoint stays', () => {
    const run = newRun();
    const folder = join(run.path, 'checkpoints');
    mkdirSync(folder);
    writeFileSync(join(folder, '.step-000009.safetensors.partial'), 'half');
    writeFileSync(join(folder, 'best.safetensors'), 'mine');
    run.save(checkpointOf(1));
    expect(checkpoints(run)).toEqual(['best.safetensors', 'step-000001.safetensors']);
    expect(run.latest()).toEqual(checkpointOf(1));
  });

  test('weights that are handed on can be halved', () => {
    const path = join(temporaryFolder(), 'warm.safetensors');
    writeCheckpoint(path, checkpointOf(3, 1000), { floats: 'F16' });
    expect(readFileSync(path).length).toBeLessThan(5000);
    const { step, metadata, tensors } = readCheckpoint(path);
    expect({ step, metadata }).toEqual({ step: 3, metadata: { seed: '7' } });
    const expected = checkpointOf(3, 1000).tensors.weights!.data;
    expect(tensors.weights!.data.every((v, i) => Math.abs(v - expected[i]!) <= v * 2 ** -11)).toBe(true);
  });

  test('names of metadata that the file uses itself are refused, and files that are no checkpoints', () => {
    const run = newRun();
    for (const name of ['step', 'keep']) {
      const metadata = { [name]: '1' };
      expect(messageOf(() => run.save({ ...checkpointOf(1), metadata }))).toMatch(`metadata["${name}"]`);
    }
    expect(codeOf(() => run.save({ ...checkpointOf(1), step: 1.5 }))).toBe('INVALID_ARGUMENT');
    expect(messageOf(() => readCheckpoint(join(run.path, 'config.json')))).toMatch(
      /config\.json: expected a whole/,
    );
    expect(messageOf(() => readCheckpoint(join(run.path, 'none')))).toMatch(
      /none: expected a path that can be read/,
    );
  });
});

describe('rewind', () => {
  test('drops what was logged and saved after a step, and starts another event file', () => {
    const run = newRun();
    for (const step of [1, 2, 3]) {
      run.log(lineOf(step));
      run.save(checkpointOf(step));
    }
    appendFileSync(join(run.path, 'metrics.jsonl'), '{"step":4,"met');
    const opened = RunFolder.open(run.path);
    opened.rewind(2);
    expect(opened.lines()).toEqual([lineOf(1), lineOf(2)]);
    expect(opened.latest()).toEqual(checkpointOf(2));
    opened.log(lineOf(3));
    opened.save(checkpointOf(3));
    expect(opened.lines()).toEqual([lineOf(1), lineOf(2), lineOf(3)]);
    expect(checkpoints(run)).toEqual(['step-000002.safetensors', 'step-000003.safetensors']);
    const events = eventFiles(run);
    expect(events).toHaveLength(2);
    // step 3, session_log {status: START}: TensorBoard drops what it has of step 3 and later
    const restart = Buffer.from('10033a020801', 'hex');
    expect(events.map((name) => readFileSync(join(run.path, name)).includes(restart))).toEqual([false, true]);
  });

  test('event files are in the order of their names, however fast they follow, also when the clock goes back', () => {
    const run = newRun();
    const names = [1, 2, 3, 4].map(() => {
      const before = new Set(eventFiles(run));
      RunFolder.open(run.path).rewind(0);
      return eventFiles(run).find((name) => !before.has(name))!;
    });
    expect(names).toEqual([...names].sort());
    copyFileSync(join(run.path, names[0]!), join(run.path, 'events.out.tfevents.9999999998.elsewhere'));
    RunFolder.open(run.path).rewind(0);
    expect(eventFiles(run).at(-1)).toBe('events.out.tfevents.9999999999.perception-r1');
  });
});

describe('samples', () => {
  test('are kept with pictures four times as large, boxes in colours by what they matched', () => {
    const run = newRun();
    run.saveSamples(120, 'after', [sampleOf(), sampleOf({ predictions: [], matches: [-1, -1] })]);
    const folder = join(run.path, 'samples', 'step-000120');
    expect(readdirSync(folder).sort()).toEqual(['after-00.png', 'after-01.png', 'after.json']);
    const png = decode(readFileSync(join(folder, 'after-00.png')));
    expect([png.width, png.height, png.channels]).toEqual([32, 16, 3]);
    const at = (x: number, y: number): number[] => [
      ...png.data.slice(3 * (y * 32 + x), 3 * (y * 32 + x) + 3),
    ];
    expect(at(15, 6)).toEqual([46, 204, 143]); // the right side of the first object, which was found
    expect(at(15, 3)).toEqual([86, 180, 233]); // the lower right corner of its prediction
    expect(at(20, 0)).toEqual([255, 95, 80]); // the upper side of the prediction that matches nothing ...
    expect([16, 17, 18, 19, 20, 21, 22, 23].map((x) => at(x, 8).join())).toEqual([
      ...Array(5).fill('46,204,143'), // ... and the dashes of the missed object
      ...Array(3).fill(at(21, 8).join()),
    ]);
    expect(at(1, 6)).toEqual(Array(3).fill(Math.round((255 * 8) / 31))); // the image between the boxes
    const [set] = RunFolder.open(run.path).samples();
    expect(set).toMatchObject({ step: 120, name: 'after' });
    const [scene] = set!.scenes;
    expect(scene!.ious).toEqual([0.5, null]);
    const stored = decode(Buffer.from(scene!.image.replace('data:image/png;base64,', ''), 'base64'));
    expect([...stored.data]).toEqual([...sampleOf().image].map((v) => Math.round(255 * v)));
  });

  test('a second name of the same step stands beside the first; NaN survives', () => {
    const run = newRun();
    run.saveSamples(5, 'b', []);
    run.saveSamples(5, 'a', [sampleOf({ reward: Number.NaN, terms: { f1: Number.NaN } })]);
    run.saveSamples(0, 'a', []);
    const sets = run.samples();
    expect(sets.map(({ step, name }) => `${step} ${name}`)).toEqual(['0 a', '5 a', '5 b']);
    expect(sets[1]!.scenes[0]).toMatchObject({ reward: Number.NaN, terms: { f1: Number.NaN } });
  });

  test('what does not fit together is refused, and any box is taken', () => {
    const run = newRun();
    const save = (changes: object, name = 'a'): string =>
      codeOf(() => run.saveSamples(0, name, [sampleOf(changes)]));
    expect(save({ height: 5 })).toBe('SHAPE_MISMATCH');
    expect(save({ matches: [0] })).toBe('SHAPE_MISMATCH');
    expect(save({ matches: [2, -1] })).toBe('INVALID_VALUE');
    expect(save({}, '../../etc')).toBe('INVALID_ARGUMENT');
    const wild = [
      [],
      [1],
      [5, 5],
      [Number.NaN, 0, 1, 1],
      [900, 900, 100, 100],
      [-1e30, 0, 1e300, 5],
      [1, 2, 3],
    ];
    const truth = wild.map((box) => ({ label: 'x', box }));
    expect(save({ truth, predictions: truth, matches: wild.map((_, i) => i) })).toBe('no error');
    expect(save({ matches: [], predictions: [] })).toBe('no error'); // a task that matches nothing
  });
});

describe('when the file system refuses', () => {
  const linux = process.platform === 'linux';

  test.skipIf(!linux)('a full disk: an error that says so, and the log stays whole', () => {
    const run = newRun();
    run.log(lineOf(1));
    run.save(checkpointOf(1));
    const temporary = join(run.path, 'checkpoints', '.step-000002.safetensors.partial');
    symlinkSync('/dev/full', temporary);
    expect(messageOf(() => run.save(checkpointOf(2)))).toMatch(
      /step-000002\.safetensors: expected a path that can be written, received ENOSPC \(the disk is full: make room/,
    );
    expect(existsSync(temporary)).toBe(false);
    expect(run.latest()).toEqual(checkpointOf(1));
    run.save(checkpointOf(2));
    expect(run.latest()).toEqual(checkpointOf(2));

    const log = join(run.path, 'metrics.jsonl');
    renameSync(log, `${log}.aside`);
    symlinkSync('/dev/full', log);
    expect(messageOf(() => run.log(lineOf(2)))).toMatch(/metrics\.jsonl: .* ENOSPC \(the disk is full/);
    renameSync(`${log}.aside`, log);
    appendFileSync(log, '{"step":2,'); // as much as there was room for
    run.log(lineOf(2));
    expect(run.lines()).toEqual([lineOf(1), lineOf(2)]);
  });

  test('a folder below a file, and one that was removed', () => {
    const run = newRun();
    expect(messageOf(() => RunFolder.create(join(run.path, 'config.json', 'x'), {}))).toMatch(
      /expected a path that can be (made|written|read), received ENOTDIR/,
    );
    rmSync(run.path, { recursive: true });
    expect(messageOf(() => run.log(lineOf(1)))).toMatch(/ENOENT \(a folder of the path is not there/);
  });

  test.skipIf(!linux)('a folder that may only be read', () => {
    const run = newRun();
    run.log(lineOf(1));
    for (const folder of [run.path, join(run.path, '..'), join(run.path, '..', '..')])
      chmodSync(folder, 0o555);
    chmodSync(join(run.path, 'metrics.jsonl'), 0o444);
    // Nothing is read-only to root: the child is somebody else.
    const writer = compileWriter();
    chmodSync(join(writer, '../../../..'), 0o755);
    const child = spawnSync(process.execPath, [writer, run.path, 'once'], {
      encoding: 'utf8',
      ...(process.getuid?.() === 0 && { uid: 65534, gid: 65534 }),
    });
    for (const folder of [join(run.path, '..', '..'), join(run.path, '..'), run.path])
      chmodSync(folder, 0o755);
    expect(child.stdout, child.stderr).toMatch(/metrics\.jsonl: .* EACCES \(this user may not/);
    expect(child.stdout).toMatch(/checkpoints: .* EACCES/);
  });
});
