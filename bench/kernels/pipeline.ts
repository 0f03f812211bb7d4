/**
 * The whole reward step, from completions to advantages: 2,048 completions, 8 for each of 256 prompts; detection's have
 * about 20 boxes each. And how free the event loop is meanwhile.
 */
import assert from 'node:assert/strict';
import {
  groupAdvantages,
  parseCompletion,
  type ScoreRequest,
  scoreCompletions,
  scoreCompletionsAsync,
} from 'perception-r1';
import { averagePrecision } from 'perception-r1/metrics';
import { Generator } from '../../test/reference/random.js';
import { english, withErrors } from '../harness/texts.js';
import { type Workload, type Workloads, workload } from '../harness/workload.js';

const prompts = 256;
const groupSize = 8;
const labels = ['person', 'dog', 'cat', 'car', 'chair'];
const silence = 'I cannot see any of these objects in the image.';

type Box = [number, number, number, number];
interface Item {
  bbox_2d: Box;
  label: string;
}

/**
 * Of each prompt the answers: the first is the truth, in the others a twentieth of the objects is missing and the rest is
 * some pixels off; some 2 % do not answer.
 */
function answersOf<T>(
  random: Generator,
  truth: readonly T[],
  moved: (item: T) => T,
  text: (items: readonly T[]) => string,
): string[] {
  return Array.from({ length: groupSize }, (_, g) => {
    if (g === 0) return text(truth);
    if (random.next() < 0.025) return silence;
    return text(truth.filter(() => truth.length === 1 || random.next() < 0.95).map(moved));
  });
}

function randomBox(random: Generator): Box {
  const [x, y] = [random.integer(0, 500), random.integer(0, 300)];
  return [x, y, x + random.integer(10, 140), y + random.integer(10, 140)];
}

function movedBox(random: Generator, box: Box): Box {
  const [x1, y1, x2, y2] = box.map((value) => value + random.integer(-6, 6)) as Box;
  return [x1, y1, Math.max(x1, x2), Math.max(y1, y2)];
}

const fenced = (json: string): string => `\`\`\`json\n${json}\n\`\`\``;
/** 3.2 MB of 2,048 answers, some 80 characters for each box. */
const indented = (items: readonly Item[]): string => fenced(JSON.stringify(items, null, 1));
/** 5.7 MB, most of it white space. */
const farIndented = (items: readonly Item[]): string => fenced(JSON.stringify(items, null, 4));
/** As Qwen's models write; 2 MB. */
const listed = (items: readonly Item[]): string =>
  fenced(`[\n${items.map((item) => `\t${JSON.stringify(item)}`).join(',\n')}\n]`);

function detections(write: (items: readonly Item[]) => string): {
  completions: string[];
  groundTruth: { boxes: Box[]; labels: string[] }[];
} {
  const random = new Generator(2026);
  const completions: string[] = [];
  const groundTruth = Array.from({ length: prompts }, () => {
    const items: Item[] = Array.from({ length: random.integer(10, 32) }, () => ({
      bbox_2d: randomBox(random),
      label: labels[random.integer(0, labels.length - 1)]!,
    }));
    const moved = (item: Item): Item => ({ ...item, bbox_2d: movedBox(random, item.bbox_2d) });
    completions.push(...answersOf(random, items, moved, write));
    return { boxes: items.map((item) => item.bbox_2d), labels: items.map((item) => item.label) };
  });
  return { completions, groundTruth };
}

const tokens = ([x1, y1, x2, y2]: Box): string => `<|box_start|>(${x1},${y1}),(${x2},${y2})<|box_end|>`;

function groundings(): Pick<ScoreRequest, 'completions' | 'groundTruth'> {
  const random = new Generator(2026);
  const boxes = Array.from({ length: prompts }, () => randomBox(random));
  return {
    completions: boxes.flatMap((box) =>
      answersOf(
        random,
        [box],
        (other) => movedBox(random, other),
        ([found]) => tokens(found!),
      ),
    ),
    groundTruth: boxes.map((box) => ({ box })),
  };
}

function countings(): Pick<ScoreRequest, 'completions' | 'groundTruth'> {
  const random = new Generator(2026);
  const images = Array.from({ length: prompts }, () =>
    Array.from({ length: random.integer(10, 30) }, () => randomBox(random)),
  );
  return {
    completions: images.flatMap((image) =>
      answersOf(
        random,
        image,
        (box) => movedBox(random, box),
        (found) => `<|object_ref_start|>dog<|object_ref_end|>${found.map(tokens).join('')}<|im_end|>`,
      ),
    ),
    groundTruth: images.map((image) => ({
      points: image.map(([x1, y1, x2, y2]) => [(x1 + x2) / 2, (y1 + y2) / 2]),
    })),
  };
}

function readings(): Pick<ScoreRequest, 'completions' | 'groundTruth'> {
  const random = new Generator(2026);
  const texts = Array.from({ length: prompts }, () => english(random, random.integer(300, 900)).trim());
  return {
    completions: texts.flatMap((text) =>
      answersOf(
        random,
        [text],
        (truth) => withErrors(random, truth, 0.1),
        ([read]) => read!,
      ),
    ),
    groundTruth: texts.map((text) => ({ text })),
  };
}

/** `best`: the reward of an answer that is the truth. */
function scoring(
  name: string,
  request: Omit<ScoreRequest, 'groupSize'>,
  best: number,
  peers?: Workload['peers'],
): Workload {
  return workload({
    name: `pipeline/${name}`,
    ...(peers && { peers }),
    run: () => scoreCompletions({ ...request, groupSize }),
    check({ rewards, advantages }) {
      rewards.forEach((reward, i) => {
        if (request.completions[i] === silence) assert.ok(reward < best);
        else if (i % groupSize === 0) assert.ok(Math.abs(reward - best) < 1e-5, `the truth scores ${reward}`);
      });
      const expected = groupAdvantages(rewards, { groupSize }).advantages;
      assert.deepEqual(advantages, expected);
      return Float32Array.from([...rewards, ...advantages]);
    },
    tolerance: 1e-3, // advantages divide by small deviations
  });
}

/** Milliseconds that a timer of 5 ms is late by while completions are scored off the event loop's thread. */
async function lateness(request: ScoreRequest, milliseconds: number): Promise<number[]> {
  const late: number[] = [];
  const start = performance.now();
  let last = start;
  const timer = setInterval(() => {
    const now = performance.now();
    late.push(Math.max(0, now - last - 5));
    last = now;
  }, 5);
  while (late.length < 5 || performance.now() - start < milliseconds) await scoreCompletionsAsync(request);
  clearInterval(timer);
  return late;
}

export function* workloads(): Workloads {
  const parameters = { groupSize };
  const sizeOf = (texts: readonly string[]): string =>
    `${(texts.reduce((sum, text) => sum + text.length, 0) / 1e6).toFixed(1)} MB of text`;
  const found = detections(indented);
  const data = { completions: found.completions, groundTruth: found.groundTruth };
  const size = sizeOf(found.completions);
  const short = detections(listed);
  const long = detections(farIndented);
  const peers = { kernel: 'detection reward', parameters };
  const recipe = 'perception-r1/detection';
  yield scoring(`detection, ${size}`, { recipe, ...found }, 3, { ...peers, data });
  yield scoring(`detection, ${sizeOf(short.completions)}`, { recipe, ...short }, 3, {
    ...peers,
    data: { ...short },
  });
  yield scoring(`detection, ${sizeOf(long.completions)}`, { recipe, ...long }, 3);
  yield scoring(`detection-strict, ${size}`, { recipe: 'perception-r1/detection-strict', ...found }, 3);
  yield workload({
    name: `pipeline/COCO AP as the reward, ${size}`,
    peers: { kernel: 'average precision', parameters, data },
    run() {
      const parsed = found.completions.map((text) => parseCompletion(text));
      const rewards = averagePrecision(found.groundTruth, parsed, { groupSize });
      return { rewards, ...groupAdvantages(rewards, { groupSize }) };
    },
    check({ rewards }) {
      rewards.forEach((reward, i) => {
        if (i % groupSize === 0) assert.ok(Math.abs(reward - 1) < 1e-6);
      });
      return rewards;
    },
  });
  yield scoring(
    'grounding',
    { recipe: 'perception-r1/grounding', ...groundings(), coordinates: 'per-mille' },
    2,
  );
  yield scoring('counting', { recipe: 'perception-r1/counting', ...countings() }, 1);
  yield scoring('OCR', { recipe: 'perception-r1/ocr', ...readings() }, 1);

  const request: ScoreRequest = { recipe, ...found, groupSize };
  yield workload({
    name: 'pipeline/how late a 5 ms timer fires while detections are scored',
    run: () => scoreCompletions(request),
    check: ({ rewards }) => rewards,
    sample: (milliseconds) => lateness(request, milliseconds),
  });
}
