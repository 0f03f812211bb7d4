import type { Tensor, Tensor1D, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { wholeNumber } from '../ops/validate.js';
import { TensorArguments } from '../tfjs/arguments.js';
import type { BoxTokenizer } from './tokenizer.js';

/** What completions name, as the reward operations on tensors take it. A type, so that tf.tidy takes it as a container. */
export type TokenObjects = {
  /** float32 `[N, P, 4]`: x1 y1 x2 y2 in per-mille, as written; zeros after the completion's own. */
  boxes: Tensor3D;
  /** int32 `[N, P]`: the label of each box, -1 where it has none. */
  labels: Tensor2D;
  /** int32 `[N]`: how many boxes of each completion are real, at most P. */
  counts: Tensor1D;
};

/**
 * The boxes of completions, out of their tokens: nothing is read back to JavaScript. A box is four tokens x1 y1 x2 y2 that
 * follow each other; its label is the last one before it. As the reader of texts (docs/parsing.md), it reads nothing after
 * the end token, between `<think>` and `</think>` or before a `</think>` that nothing opened, and no label holds across
 * them. What only the reader of texts takes for a box is none here: a digit that continues a coordinate
 * (`(12` `3` `,45),`), corners without box tokens (`(1,2),(3,4)`), a box around padding.
 *
 * @param tokens int32 `[N, L]`, ids of `tokenizer`
 * @param maxObjects P; of more boxes the first P are kept
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH
 * @example
 * const { boxes, labels, counts } = objectsOfTokens(tokens, tokenizer, 8);
 * const { rewards } = detectionReward({ boxes, labels, counts, truthBoxes, truthLabels });
 */
export function objectsOfTokens(tokens: Tensor2D, tokenizer: BoxTokenizer, maxObjects: number): TokenObjects {
  const most = wholeNumber(maxObjects, 'maxObjects', 1);
  new TensorArguments('objectsOfTokens').tensor(tokens, 'tokens', 'int32', ['N', 'L']);
  const [completions, length] = tokens.shape;
  const starts = length - 3; // places that a box can begin at
  const found = Math.min(most, starts);
  return tf.tidy(() => {
    if (completions === 0 || found <= 0) return noObjects(completions, most);
    const { slots, coordinate, label, begins } = features(tokens, tokenizer);
    const from = (x: Tensor2D, offset: number): Tensor2D => tf.slice(x, [0, offset], [completions, starts]);
    const whole = slots.map(from).reduce((a, b) => tf.mul(a, b), from(begins, 0));
    // The earliest have the largest key; 0 is no box.
    const { values: keys } = tf.topk(tf.mul(whole, tf.range(starts, 0, -1)), found);
    const real = tf.minimum(keys, 1);
    const places = tf.minimum(tf.sub(starts, keys), starts - 1);
    const columns = [0, 1, 2, 3].map((offset) => from(coordinate, offset)).concat(from(label, 0));
    // Not tf.gather, which reads the indices back on tfjs-node.
    const rows = tf.tile(tf.expandDims(tf.range(0, completions), 1), [1, found]);
    const indices = tf.cast(tf.stack([rows, places], 2), 'int32');
    const objects = tf.mul(tf.gatherND(tf.stack(columns, 2), indices), tf.expandDims(real, 2)) as Tensor3D;
    const padded = tf.pad(objects, [
      [0, 0],
      [0, most - found],
      [0, 0],
    ]);
    const [boxes, labels] = tf.split(padded, [4, 1], 2) as [Tensor3D, Tensor3D];
    return {
      boxes,
      labels: tf.cast(tf.sub(tf.squeeze<Tensor2D>(labels, [2]), 1), 'int32'),
      counts: tf.cast(tf.sum<Tensor1D>(real, 1), 'int32'),
    };
  });
}

function noObjects(completions: number, most: number): TokenObjects {
  return {
    boxes: tf.zeros([completions, most, 4]),
    labels: tf.fill([completions, most], -1, 'int32'),
    counts: tf.zeros([completions], 'int32'),
  };
}

/** What each token means where it stands, `[N, L]` each. */
interface Features {
  /** 1 for tokens of x1, y1, x2, y2. */
  slots: Tensor2D[];
  coordinate: Tensor2D;
  /** 1 + the label that holds, 0 where there is none. */
  label: Tensor2D;
  /** 1 where a box may begin. */
  begins: Tensor2D;
}

const think = '<think>';
const thought = '</think>';

/** What each token means by itself, one row per token. */
function meanings(tokenizer: BoxTokenizer): Tensor2D {
  const { texts, coordinateSlot, coordinate, label, end } = tokenizer;
  return tf.tensor2d(
    texts.map((text, token) => {
      const opens = text.lastIndexOf(think) > text.lastIndexOf(thought);
      return [
        ...[0, 1, 2, 3].map((slot) => Number(coordinateSlot[token] === slot)),
        coordinate[token]!,
        label[token]! + 1,
        Number(token === end),
        Number(opens),
        // A prompt may have both in one token.
        Number(opens || text.includes(thought)),
        Number(!text.includes(think) && text.includes(thought)),
      ];
    }),
  );
}

function features(tokens: Tensor2D, tokenizer: BoxTokenizer): Features {
  const length = tokens.shape[1];
  const planes = tf.unstack(
    tf.gatherND(meanings(tokenizer), tf.expandDims(tokens, 2)),
    2,
  ) as unknown as Tensor2D[];
  const before = tf.equal(tf.cumsum(planes[6]!, 1), 0); // the end token
  const [s0, s1, s2, s3, coordinate, label, , opens, marks, closes] = planes.map((plane) =>
    tf.mul<Tensor2D>(plane, tf.cast(before, 'float32')),
  ) as [Tensor2D, Tensor2D, Tensor2D, Tensor2D, Tensor2D, Tensor2D, Tensor2D, Tensor2D, Tensor2D, Tensor2D];
  const position = tf.range(1, length + 1);

  // Thoughts: the last mark up to here opened one, or what is here is closed later without having been opened.
  const thinking = tf.mod(runningMaximum(tf.add(tf.mul(marks, tf.mul(position, 2)), opens)), 2);
  const thinkingBefore = tf.slice(
    tf.pad(thinking as Tensor2D, [
      [0, 0],
      [1, 0],
    ]),
    [0, 0],
    [-1, length],
  );
  const unopened = tf.mul(closes, tf.sub(1, thinkingBefore));
  const hiddenUpTo = tf.max(tf.mul(unopened, position), 1, true);
  const visible = tf.mul(tf.sub(1, thinking), tf.cast(tf.greater(position, hiddenUpTo), 'float32'));

  // Labels: the last one up to here, none after a mark.
  const base = 2 + Math.max(...tokenizer.label);
  const event = tf.add(marks, tf.minimum(label, 1));
  const holds = tf.mod(runningMaximum(tf.add(tf.mul(event, tf.mul(position, base)), label)), base);
  return { slots: [s0, s1, s2, s3], coordinate, label: holds as Tensor2D, begins: visible as Tensor2D };
}

/** The largest value up to each place of numbers of at least 0, `[N, L]`: pooling over a window that reaches back to the start. */
function runningMaximum(x: Tensor): Tensor2D {
  const [rows, length] = x.shape as [number, number];
  const padded = tf.pad(x as Tensor2D, [
    [0, 0],
    [length - 1, 0],
  ]);
  const pooled = tf.maxPool<Tensor3D>(tf.expandDims(padded, 2), [1, length], 1, 'valid');
  return tf.reshape(pooled, [rows, length]);
}
