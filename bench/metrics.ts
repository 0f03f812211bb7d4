/**
 * COCO's detection figures: 5,000 images with 36,000 objects of 80 categories; 36,000, 150,000 and 500,000 detections; on
 * 1 and 2 threads. The evaluation by itself, from flat arrays and from one object per image; and from files to figures,
 * with the peak of memory of a process that does nothing else. Beside pycocotools and faster-coco-eval where `python3` has
 * them. The figures of all are the same before the clock starts. And average precision as a reward: 2,048 answers of 30
 * boxes.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setThreads } from 'perception-r1';
import {
  averagePrecision,
  type DetectionSummary,
  evaluateDetections,
  evaluateDetectionsAsync,
  type Flat,
  type ImageDetections,
  type ImageTruth,
  loadCoco,
} from 'perception-r1/metrics';
import { Bench } from 'tinybench';
import { detections, type Images, objects, perImage } from '../test/reference/detections.js';

const format = 'xywh';
const threadCounts = [1, 2];

async function figures(groundTruth: string, results: string): Promise<DetectionSummary> {
  const { truth, detections, problems } = await loadCoco(groundTruth, { detections: results });
  assert.deepEqual(problems, []);
  return evaluateDetectionsAsync(truth, detections!, { format });
}

/** What a process of its own tells: bytes, and for peers seconds. */
interface Told {
  stats: number[];
  peak: number;
  load?: number;
  evaluate?: number;
}

if (process.argv[2] === '--figures') {
  const [threads, groundTruth, results] = process.argv.slice(3) as [string, string, string];
  setThreads(Number(threads));
  const { stats } = await figures(groundTruth, results);
  const told: Told = { stats: [...stats], peak: process.resourceUsage().maxRSS * 1024 };
  console.log(JSON.stringify(told));
  process.exit();
}

function run(command: string, args: string[]): Told | { absent: string } {
  try {
    return JSON.parse(execFileSync(command, args, { encoding: 'utf8' })) as Told | { absent: string };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return { absent: `${command} was not found` };
  }
}

/** COCO's records, image i having the id i + 1. */
function records({
  boxes,
  labels,
  offsets,
}: Images): { image_id: number; category_id: number; bbox: number[] }[] {
  const imageOf = new Int32Array(labels.length);
  for (let i = 0; i + 1 < offsets.length; i++) imageOf.fill(i, offsets[i], offsets[i + 1]);
  return Array.from(labels, (label, k) => {
    const [x1, y1, x2, y2] = [...boxes.subarray(4 * k, 4 * k + 4)] as [number, number, number, number];
    return { image_id: imageOf[k]! + 1, category_id: label + 1, bbox: [x1, y1, x2 - x1, y2 - y1] };
  });
}

/** A ground truth with polygons of 20 corners, some as long as COCO's are. */
function groundTruth(truth: Images): object {
  return {
    images: Array.from({ length: truth.offsets.length - 1 }, (_, i) => ({
      id: i + 1,
      file_name: `${String(i + 1).padStart(12, '0')}.jpg`,
      width: 640,
      height: 480,
    })),
    annotations: records(truth).map((record, k) => {
      const [x, y, width, height] = record.bbox as [number, number, number, number];
      const polygon = Array.from({ length: 40 }, (_, i) => {
        const angle = (Math.floor(i / 2) * Math.PI) / 10;
        const value =
          i % 2 === 0 ? x + (width / 2) * (1 + Math.cos(angle)) : y + (height / 2) * (1 + Math.sin(angle));
        return Math.round(100 * value) / 100;
      });
      return { segmentation: [polygon], area: width * height * 0.75, iscrowd: 0, ...record, id: k + 1 };
    }),
    categories: Array.from({ length: 80 }, (_, i) => ({
      supercategory: 'thing',
      id: i + 1,
      name: `thing ${i + 1}`,
    })),
  };
}

const folder = mkdtempSync(join(os.tmpdir(), 'perception-r1-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
function write(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(content));
  return path;
}

const peerScript = fileURLToPath(new URL('../../../bench/peers/coco.py', import.meta.url));
const peers = ['pycocotools', 'faster-coco-eval'];
const generated = objects(5000, 36000);
const truthPath = write('instances.json', groundTruth(generated));
const ms = (milliseconds: number): string =>
  milliseconds < 1000 ? `${milliseconds.toFixed(1)} ms` : `${(milliseconds / 1000).toFixed(2)} s`;
const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
const load = (): string => os.loadavg()[0]!.toFixed(1);

async function measure(name: string, work: () => unknown): Promise<number> {
  const bench = new Bench({ time: 1000, iterations: 15, warmupTime: 300 });
  await bench.add(name, async () => void (await work())).run();
  const { result } = bench.tasks[0]!;
  assert.ok('latency' in result);
  return result.latency.p50;
}

type Row = Record<string, string>;
const rows: Row[] = [];
console.log(`load of the machine before: ${load()}; ${os.availableParallelism()} processors`);
for (const count of [36000, 150000, 500000]) {
  const found = detections(generated, count);
  const scores = found.scores!;
  const resultsPath = write(
    `${count}.json`,
    records(found).map((record, k) => ({ ...record, score: scores[k]! })),
  );
  const loaded = await loadCoco(truthPath, { detections: resultsPath });
  const truth = loaded.truth as Flat<ImageTruth> & Images;
  const dets = loaded.detections as Flat<ImageDetections> & Images;
  setThreads(1);
  const { stats, AP } = evaluateDetections(truth, dets, { format });
  assert.ok(AP > 0.1 && AP < 0.9, `AP ${AP}`);

  const own = threadCounts.map((threads) =>
    run(process.execPath, [
      fileURLToPath(import.meta.url),
      '--figures',
      String(threads),
      truthPath,
      resultsPath,
    ]),
  ) as Told[];
  const others = peers.map((peer) => run('python3', [peerScript, peer, truthPath, resultsPath]));
  for (const told of [...own, ...others]) {
    if ('absent' in told) continue;
    told.stats.forEach((value, i) =>
      assert.ok(Math.abs(value - stats[i]!) <= 1e-12, `${value}, ${stats[i]}`),
    );
  }

  const row = async (
    what: string,
    measured: (threads: number, index: number) => number | Promise<number>,
    shown: (value: number) => string,
    other: (told: Told) => number | undefined,
  ): Promise<void> => {
    const result: Row = { detections: count.toLocaleString('en'), measured: what };
    let last = 0;
    for (const [index, threads] of threadCounts.entries()) {
      setThreads(threads);
      last = await measured(threads, index);
      result[threads === 1 ? '1 thread' : `${threads} threads`] = shown(last);
    }
    for (const [i, told] of others.entries()) {
      const value = 'absent' in told ? undefined : other(told);
      const compared = value === undefined ? '' : `${shown(value)} = ${(value / last).toFixed(1)} x`;
      result[peers[i]!] = 'absent' in told ? 'not installed' : compared;
    }
    rows.push(result);
  };
  const listed = { truth: perImage(truth), found: perImage(dets) };
  assert.equal(evaluateDetections(listed.truth, listed.found, { format }).AP, AP);
  const seconds = (value: number | undefined): number => value! * 1000;
  await row(
    'evaluation',
    () => measure('flat', () => evaluateDetections(truth, dets, { format })),
    ms,
    ({ evaluate }) => seconds(evaluate),
  );
  await row(
    'evaluation, an object per image',
    () => measure('listed', () => evaluateDetections(listed.truth, listed.found, { format })),
    ms,
    () => undefined,
  );
  await row(
    `${Math.round((statSync(truthPath).size + statSync(resultsPath).size) / 1e6)} MB of files to figures`,
    () => measure('files', () => figures(truthPath, resultsPath)),
    ms,
    ({ load, evaluate }) => seconds(load! + evaluate!),
  );
  await row(
    'peak memory of that',
    (_, index) => own[index]!.peak,
    megabytes,
    ({ peak }) => peak,
  );
  rmSync(resultsPath);
  if (count === 36000)
    others.forEach((told, i) => {
      if ('absent' in told) console.log(`${peers[i]}: NOT MEASURED, ${told.absent}`);
    });
}
console.table(rows);

const prompts = perImage({
  ...objects(1, 256 * 30, 8),
  offsets: Int32Array.from({ length: 257 }, (_, i) => 30 * i),
});
const answers = prompts.flatMap((prompt) => Array.from({ length: 8 }, () => prompt));
assert.ok(averagePrecision(prompts, answers, { groupSize: 8 }).every((ap) => ap > 0.99));
for (const threads of threadCounts) {
  setThreads(threads);
  const median = await measure('reward', () => averagePrecision(prompts, answers, { groupSize: 8 }));
  console.log(
    `average precision of 2,048 answers, ${threads} threads: ${ms(median)}, ${((1000 * median) / 2048).toFixed(1)} us each`,
  );
}
console.log(`load of the machine after: ${load()}`);
