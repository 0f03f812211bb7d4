/** A policy without eyes that learns in a few steps, and a task for it: what the trainer does is seen by itself. */
import type { Tensor1D, Tensor2D, Variable } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { Policy, Prompt, Rollout, SampleOptions, TokenLogProbs } from '../../src/grpo/policy.js';
import { sampleTokens } from '../../src/grpo/sampling.js';
import type { Task } from '../../src/grpo/tasks/task.js';
import { BoxTokenizer } from '../../src/grpo/tokenizer.js';

type Count = { prompts: tf.Tensor };

/** Three tokens, each drawn by a distribution of its own that knows nothing of the prompt. */
export class ToyPolicy implements Policy<Count, Count> {
  readonly tokenizer = new BoxTokenizer({ coordinateBins: 2 });
  readonly variables: Record<string, Variable>;

  constructor() {
    const digits = new Set([...this.tokenizer.encode('0123456789'), this.tokenizer.end]);
    const logits = Array.from({ length: this.tokenizer.size }, (_, token) => (digits.has(token) ? 3 : -3));
    this.variables = { logits: tf.tidy(() => tf.variable(tf.tensor2d([logits, logits, logits]))) };
  }

  batch(prompts: readonly Prompt[]): Count {
    return { prompts: tf.zeros([prompts.length]) };
  }

  encode(batch: Count): Count {
    return batch;
  }

  sample({ prompts }: Count, o: SampleOptions): Rollout {
    const count = prompts.size * o.numGenerations;
    const length = Math.min(3, o.maxTokens);
    const random = o.uniforms(length, count);
    return tf.tidy(() => {
      const columns: Tensor1D[] = [];
      let open: tf.Tensor = tf.ones([count], 'int32');
      for (let t = 0; t < length; t++) {
        const uniforms = tf.tensor1d(random.subarray(t * count, (t + 1) * count));
        const drawn = sampleTokens(this.#rows(t, count), uniforms, { temperature: o.temperature });
        const token = tf.mul(drawn, open) as Tensor1D;
        columns.push(token);
        open = tf.mul(open, tf.cast(tf.notEqual(token, this.tokenizer.end), 'int32'));
      }
      const tokens = tf.stack(columns, 1) as Tensor2D;
      return { tokens, mask: tf.cast(tf.notEqual(tokens, 0), 'float32') };
    });
  }

  logProbs(_: Count, tokens: Tensor2D, temperature: number): TokenLogProbs {
    const [count, length] = tokens.shape;
    const columns = Array.from({ length }, (_, t) => {
      const all = tf.logSoftmax(tf.div(this.#rows(t, count), temperature));
      const own = tf.reshape(tf.slice(tokens, [0, t], [-1, 1]), [-1]);
      const chosen = tf.sum(tf.mul(all, tf.oneHot(own, this.tokenizer.size)), 1);
      return [chosen, tf.neg(tf.sum(tf.mul(tf.exp(all), all), 1))];
    });
    return {
      logProbs: tf.stack(
        columns.map(([p]) => p!),
        1,
      ) as Tensor2D,
      entropies: tf.stack(
        columns.map(([, e]) => e!),
        1,
      ) as Tensor2D,
    };
  }

  copy(): ToyPolicy {
    const copy = new ToyPolicy();
    copy.variables.logits!.assign(this.variables.logits!);
    return copy;
  }

  dispose(): void {
    tf.dispose(this.variables);
  }

  #rows(t: number, count: number): Tensor2D {
    return tf.tile(tf.slice(this.variables.logits! as tf.Tensor as Tensor2D, [t, 0], [1, -1]), [count, 1]);
  }
}

/** The answer is always the same text. */
export function toyTask(text = '42', recipe: Task['recipe'] = 'perception-r1/ocr'): Task {
  return {
    name: 'ocr',
    recipe,
    height: 1,
    width: 1,
    maxTokens: 3,
    example: () => ({
      image: new Float32Array(1),
      prompt: 'OCR this image.',
      groundTruth: { text },
      target: text,
      objects: [],
      shown: [],
    }),
  };
}
