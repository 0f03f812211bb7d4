/**
 * A model of one's own for the trainers of perception-r1/grpo: a multilayer perceptron that looks at the image in 16 x 16,
 * at the last token and at its place, and guesses the next one. See docs/grpo.md.
 */
import type { Tensor, Tensor2D, Variable } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import {
  BoxTokenizer,
  type Policy,
  type Prompt,
  Random,
  type Rollout,
  type SampleOptions,
  sampleTokens,
  type TokenLogProbs,
} from 'perception-r1/grpo';

const side = 64; // of the images
const coarse = 16;
const hidden = 64;
const longest = 32; // tokens

// Types rather than interfaces, so that tf.tidy takes them as containers of tensors.
type Images = { pixels: Tensor2D }; // [prompts, coarse * coarse]
type Seen = { seen: Tensor2D }; // [prompts, hidden]

export class PerceptronPolicy implements Policy<Images, Seen> {
  readonly tokenizer = new BoxTokenizer();
  readonly variables: Readonly<Record<string, Variable>>;

  constructor(seed = 0) {
    const random = new Random(seed);
    const weights = (rows: number, columns: number): Variable => {
      const values = Float32Array.from({ length: rows * columns }, () => random.normal() / Math.sqrt(rows));
      return tf.tidy(() => tf.variable(tf.tensor2d(values, [rows, columns])));
    };
    const { size } = this.tokenizer;
    // Names are what a checkpoint knows the weights by.
    this.variables = {
      eye: weights(coarse * coarse, hidden),
      tokens: weights(size, hidden),
      places: weights(longest, hidden),
      output: weights(hidden, size),
    };
  }

  /** The prompts as tensors. This model reads no text: it can learn one task. */
  batch(prompts: readonly Prompt[]): Images {
    return tf.tidy(() => {
      const pixels = prompts.map(({ image }) => tf.tensor3d(image, [side, side, 1]));
      const small = tf.avgPool(tf.stack(pixels) as tf.Tensor4D, side / coarse, side / coarse, 'valid');
      return { pixels: tf.reshape(small, [prompts.length, -1]) as Tensor2D };
    });
  }

  /** What all completions of a prompt share. Gradients flow through it. */
  encode({ pixels }: Images): Seen {
    return { seen: tf.matMul(pixels, this.#weights('eye')) };
  }

  /** G completions of each prompt, one after the other; `uniforms` are all the randomness there is. */
  sample({ seen }: Seen, options: SampleOptions): Rollout {
    const { numGenerations, maxTokens, uniforms, ...drawing } = options;
    const { pad, end } = this.tokenizer;
    const count = seen.shape[0] * numGenerations;
    const random = uniforms(maxTokens, count);
    return tf.tidy(() => {
      const context = repeated(seen, numGenerations);
      const columns: Tensor[] = [];
      let last: Tensor = tf.fill([count], pad, 'int32');
      let open: Tensor = tf.ones([count], 'int32'); // 1 until a completion has ended
      for (let t = 0; t < maxTokens; t++) {
        const places = tf.fill([count], t, 'int32');
        const logits = this.#logits(context, last, places);
        const drawn = sampleTokens(logits, tf.tensor1d(random.subarray(t * count, (t + 1) * count)), drawing);
        last = tf.mul(drawn, open); // pad, which is 0, after the end
        open = tf.mul(open, tf.cast(tf.notEqual(last, end), 'int32'));
        columns.push(last);
      }
      const tokens = tf.stack(columns, 1) as Tensor2D;
      return { tokens, mask: tf.cast(tf.notEqual(tokens, pad), 'float32') };
    });
  }

  /** Log probabilities of given completions, and the entropies of what they were drawn from. Gradients flow through both. */
  logProbs({ seen }: Seen, tokens: Tensor2D, temperature: number): TokenLogProbs {
    const [count, length] = tokens.shape;
    const context = repeated(repeated(seen, count / seen.shape[0]), length);
    const begin = tf.fill([count, 1], this.tokenizer.pad, 'int32');
    const last = tf.reshape(tf.concat([begin, tf.slice(tokens, [0, 0], [-1, length - 1])], 1), [-1]);
    const places = tf.tile(tf.range(0, length, 1, 'int32'), [count]);
    const all = tf.logSoftmax(tf.div(this.#logits(context, last, places), temperature));
    const chosen = tf.oneHot(tf.reshape(tokens, [-1]), this.tokenizer.size);
    return {
      logProbs: tf.reshape(tf.sum(tf.mul(all, chosen), 1), [count, length]),
      entropies: tf.reshape(tf.neg(tf.sum(tf.mul(tf.exp(all), all), 1)), [count, length]),
    };
  }

  /** The reference policy, where the loss has a `beta`. */
  copy(): PerceptronPolicy {
    const copy = new PerceptronPolicy();
    for (const [name, variable] of Object.entries(copy.variables)) variable.assign(this.variables[name]!);
    return copy;
  }

  dispose(): void {
    tf.dispose(this.variables);
  }

  /** `[rows, tokens]` for a context `[rows, hidden]`, and the last token and the place of each row. */
  #logits(context: Tensor, last: Tensor, places: Tensor): Tensor2D {
    const { size } = this.tokenizer;
    const parts = [
      context,
      tf.matMul(tf.oneHot(last, size) as Tensor2D, this.#weights('tokens')),
      tf.matMul(tf.oneHot(places, longest) as Tensor2D, this.#weights('places')),
    ];
    return tf.matMul(tf.relu(tf.addN(parts)) as Tensor2D, this.#weights('output'));
  }

  #weights(name: string): Tensor2D {
    return this.variables[name] as Tensor as Tensor2D;
  }
}

/** Each row `times` times, one after the other. */
function repeated(x: Tensor2D, times: number): Tensor2D {
  const [rows, columns] = x.shape;
  return tf.reshape(tf.tile(tf.expandDims(x, 1), [1, times, 1]), [rows * times, columns]);
}
