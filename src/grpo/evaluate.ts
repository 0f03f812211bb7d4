import * as tf from '@tensorflow/tfjs-core';
import { evaluateCounting, evaluateDetections, evaluateGrounding } from '../metrics/index.js';
import { evaluateEdits } from '../metrics/ocr.js';
import { Random } from '../random.js';
import type { CountingTruth, GroundingTruth, OcrTruth } from '../rewards/ground-truth.js';
import { parseCompletion } from '../rewards/parse.js';
import { scoreCompletions } from '../rewards/score.js';
import type { Policy } from './policy.js';
import { decodeRows } from './rollouts.js';
import type { Example, SceneObject, Task } from './tasks/task.js';

export interface EvaluateOptions {
  /** Held-out examples, the same for every call with the same seed. Default 400. */
  examples?: number;
  /** Default 0. */
  seed?: number;
  /** 0 takes the likeliest tokens, 1 draws as training does. Default 0. */
  temperature?: number;
  /** Completions per example. Default 1. */
  numGenerations?: number;
  /** Examples at a time. Default 100. */
  batchSize?: number;
}

/** One completion, scored. */
export interface Answer {
  example: Example;
  completion: string;
  reward: number;
  terms: Record<string, number>;
  predictions: SceneObject[];
  /** Of each object of the example the prediction matched with it, or -1. Empty for OCR. */
  matches: number[];
}

export interface Evaluation {
  /**
   * `reward` for all tasks. Detection: `ap`, `ap50`, `ap75` (COCO's, times 100, all detections of equal score), `exact_count`.
   * Grounding: `mean_iou`, `acc@0.5`. Counting: `exact_count`, `mae`. OCR: `edit_distance` (as a share of the
   * longer text, 0 to 1), `exact`. Shares of examples, AP and IoU are in percent.
   */
  metrics: Record<string, number>;
  answers: Answer[];
}

/** Streams of random numbers of evaluations, apart from those of trainings. */
const stream = 0x65766c;

/** Answers held-out examples of a task and measures the answers. */
export function evaluatePolicy(policy: Policy, task: Task, options: EvaluateOptions = {}): Evaluation {
  const { examples = 400, seed = 0, temperature = 0, numGenerations = 1, batchSize = 100 } = options;
  const answers: Answer[] = [];
  for (let from = 0; from < examples; from += batchSize) {
    const batch = Array.from({ length: Math.min(batchSize, examples - from) }, (_, i) =>
      task.example('eval', seed, from + i),
    );
    const random = new Random(stream, seed, from);
    const completions = tf.tidy(() => {
      const encoded = policy.encode(policy.batch(batch));
      const { tokens } = policy.sample(encoded, {
        numGenerations,
        maxTokens: task.maxTokens,
        temperature,
        uniforms: (tokens, count) => Float32Array.from({ length: tokens * count }, () => random.next()),
      });
      return decodeRows(policy, tokens);
    });
    answers.push(...scored(task, batch, completions, numGenerations));
  }
  const reward = answers.reduce((sum, answer) => sum + answer.reward, 0) / answers.length;
  return { metrics: { reward, ...measured(task, answers) }, answers };
}

function scored(
  task: Task,
  examples: readonly Example[],
  completions: readonly string[],
  numGenerations: number,
): Answer[] {
  const matching = task.name === 'detection' || task.name === 'counting';
  const { rewards, terms, matches } = scoreCompletions({
    recipe: task.recipe,
    completions,
    groundTruth: examples.map(({ groundTruth }) => groundTruth),
    groupSize: numGenerations,
    matches: matching,
  });
  return completions.map((completion, i) => {
    const example = examples[Math.floor(i / numGenerations)]!;
    const predictions = task.name === 'ocr' ? [] : boxesOf(completion);
    return {
      example,
      completion,
      reward: rewards[i]!,
      terms: Object.fromEntries(Object.entries(terms).map(([name, values]) => [name, values[i]!])),
      predictions,
      matches: matches
        ? [...matches.values.subarray(matches.offsets[i]!, matches.offsets[i + 1]!)]
        : task.name === 'grounding'
          ? [predictions.length > 0 ? 0 : -1]
          : [],
    };
  });
}

function boxesOf(completion: string): SceneObject[] {
  const { boxes, labels } = parseCompletion(completion);
  return labels.map((label, i) => ({
    label: label ?? '',
    box: [...boxes.subarray(4 * i, 4 * i + 4)] as unknown as SceneObject['box'],
  }));
}

const percent = (share: number): number => 100 * share;

function measured(task: Task, answers: readonly Answer[]): Record<string, number> {
  const listed = (objects: readonly SceneObject[]): { boxes: number[][]; labels: string[] } => ({
    boxes: objects.map(({ box }) => [...box]),
    labels: objects.map(({ label }) => label),
  });
  const exact = (): number =>
    percent(
      answers.filter(({ predictions, example }) => predictions.length === example.objects.length).length /
        answers.length,
    );
  switch (task.name) {
    case 'detection': {
      // COCO's evaluation forgives an inverted box; as one without area it is the false alarm that it is.
      const upright = ({ label, box: [x1, y1, x2, y2] }: SceneObject): SceneObject => ({
        label,
        box: x2 >= x1 && y2 >= y1 ? [x1, y1, x2, y2] : [x1, y1, x1, y1],
      });
      const { AP, AP50, AP75 } = evaluateDetections(
        answers.map(({ example }) => listed(example.objects)),
        answers.map(({ predictions }) => listed(predictions.map(upright))),
      );
      return { ap: percent(AP), ap50: percent(AP50), ap75: percent(AP75), exact_count: exact() };
    }
    case 'grounding': {
      const result = evaluateGrounding(
        answers.map(({ example }) => (example.groundTruth as GroundingTruth).box),
        answers.map(({ predictions }) => predictions[0]?.box ?? null),
      );
      return { mean_iou: percent(result.meanIou), 'acc@0.5': percent(result.accuracy['0.5']!) };
    }
    case 'counting': {
      const result = evaluateCounting(
        answers.map(({ example }) => (example.groundTruth as CountingTruth).points.length),
        answers.map(({ predictions }) => predictions.length),
      );
      return { exact_count: percent(result.accuracy), mae: result.mae };
    }
    case 'ocr': {
      const result = evaluateEdits(
        answers.map(({ example }) => (example.groundTruth as OcrTruth).text),
        answers.map(({ completion }) => completion.replace('<|im_end|>', '')),
      );
      return { edit_distance: result.normalizedEditDistance, exact: percent(result.exact) };
    }
  }
}
