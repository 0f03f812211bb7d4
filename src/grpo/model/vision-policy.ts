import type { Scalar, Tensor, Tensor1D, Tensor2D, Tensor3D, Tensor4D, Variable } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { invalid, PerceptionError } from '../../errors.js';
import { optionsObject } from '../../ops/validate.js';
import type { Policy, Prompt, Rollout, SampleOptions, TokenLogProbs } from '../policy.js';
import { sampleTokens } from '../sampling.js';
import type { SceneObject } from '../tasks/task.js';
import { BoxTokenizer } from '../tokenizer.js';
import {
  type Attention,
  applyFeedForward,
  attend,
  attention,
  type FeedForward,
  feedForward,
  type KeyValue,
  keyValue,
} from './attention.js';
import { applyLinear, type Linear, linear, Parameters, relu, rmsNorm, sinusoids } from './parameters.js';

/** Sizes of a {@link VisionPolicy}. */
export interface VisionSize {
  width: number;
  heads: number;
  headWidth: number;
  encoderLayers: number;
  decoderLayers: number;
}

/** 0.13, 0.69 and 4.6 million parameters. */
export const visionSizes = {
  tiny: { width: 48, heads: 4, headWidth: 16, encoderLayers: 1, decoderLayers: 1 },
  small: { width: 96, heads: 4, headWidth: 32, encoderLayers: 2, decoderLayers: 2 },
  base: { width: 192, heads: 6, headWidth: 48, encoderLayers: 4, decoderLayers: 4 },
} as const satisfies Record<string, VisionSize>;

export type VisionSizeName = keyof typeof visionSizes;

export interface VisionPolicyOptions {
  /** Default 'small'. */
  size?: VisionSizeName | VisionSize;
  /** Of the images, in pixels, multiples of 8. Default 64. */
  height?: number;
  width?: number;
  /** Values that a coordinate can take. Default 65: the edges of 64 pixels. */
  coordinateBins?: number;
  /** Of the first weights. Default 0. */
  seed?: number;
}

/** A type rather than an interface, so that tf.tidy takes it as a container of tensors. */
export type VisionBatch = {
  /** float32 `[B, height, width, 1]` */
  images: Tensor4D;
  /** int32 `[B, Lp]`, padded */
  prompts: Tensor2D;
};

interface EncoderLayer {
  attention: Attention;
  feedForward: FeedForward;
}

interface DecoderLayer extends EncoderLayer {
  cross: Attention;
}

/** The prompts, encoded. */
export type VisionMemory = {
  /** float32 `[B, S, width]`: the patches, then the prompt's tokens. */
  encoded: Tensor3D;
  /** What each layer of the decoder looks at. */
  layers: KeyValue[];
  /** float32 `[B, 1, S]`: keeps it from looking at the padding of prompts. */
  mask: Tensor3D;
};

const patch = 8;
const classes = 10;
const hidden = 4; // times the width
const unseen = -1e9;
const longestCompletion = 96;
// Tokens between two looks at whether all completions have ended: a look waits for the device.
const lookEvery = 4;

/**
 * A small multimodal transformer: a convolutional stem cuts the image into patches of 8 by 8 pixels, an encoder reads
 * them together with the tokens of the prompt, a causal decoder with cross-attention writes tokens. Prompts are encoded
 * once for all of their completions. Coordinates are tokens: those of x1, y1, x2, y2 share what is learned of a place.
 */
export class VisionPolicy implements Policy<VisionBatch, VisionMemory> {
  readonly tokenizer: BoxTokenizer;
  readonly #options: Required<Omit<VisionPolicyOptions, 'size'>> & { size: VisionSize };
  readonly #parameters: Parameters;
  readonly #stem: { weight: Variable; bias: Variable; stride: number }[] = [];
  readonly #encoder: EncoderLayer[] = [];
  readonly #decoder: DecoderLayer[] = [];
  readonly #encoderNorm: Variable;
  readonly #decoderNorm: Variable;
  readonly #input: { tokens: Variable; places: Variable };
  readonly #output: { tokens: Variable; places: Variable };
  readonly #dense: Linear;
  /** `[1, patches, width]`, `[longest, width]`, `[vocabulary, bins]` */
  readonly #constants: { patches: Tensor3D; positions: Tensor2D; places: Tensor2D };

  /** @throws PerceptionError INVALID_ARGUMENT */
  constructor(options?: VisionPolicyOptions) {
    const o = optionsObject(options, 'options', ['size', 'height', 'width', 'coordinateBins', 'seed']);
    const size = typeof o.size === 'object' ? o.size : visionSizes[o.size ?? 'small'];
    if (!size) {
      throw invalid(
        'INVALID_ARGUMENT',
        'options.size',
        `one of ${Object.keys(visionSizes).join(', ')}, or an object with their members`,
        o.size,
      );
    }
    const { height = 64, width: imageWidth = 64, coordinateBins = 65, seed = 0 } = o;
    for (const [name, value] of Object.entries({ height, width: imageWidth })) {
      if (!(value > 0 && value % patch === 0)) {
        throw invalid('INVALID_ARGUMENT', `options.${name}`, `a multiple of ${patch}`, value);
      }
    }
    this.#options = { size, height, width: imageWidth, coordinateBins, seed };
    this.tokenizer = new BoxTokenizer({ coordinateBins });

    const parameters = new Parameters(seed);
    this.#parameters = parameters;
    const { width } = size;
    const channels = [1, width / 4, width / 2, width, width];
    [2, 2, 2, 1].forEach((stride, i) => {
      const [inputs, outputs] = [channels[i]!, channels[i + 1]!];
      const name = `stem/${i}`;
      this.#stem.push({
        weight: parameters.normal(`${name}/weight`, [3, 3, inputs, outputs], Math.sqrt(2 / (9 * inputs))),
        bias: parameters.constant(`${name}/bias`, [outputs], 0),
        stride,
      });
    });
    const layer = (name: string, depth: number): EncoderLayer => ({
      attention: attention(parameters, `${name}/attention`, size, depth),
      feedForward: feedForward(parameters, `${name}/feed_forward`, width, hidden * width, depth),
    });
    for (let i = 0; i < size.encoderLayers; i++) {
      this.#encoder.push(layer(`encoder/${i}`, size.encoderLayers));
    }
    for (let i = 0; i < size.decoderLayers; i++) {
      const cross = attention(parameters, `decoder/${i}/cross`, size, size.decoderLayers);
      this.#decoder.push({ ...layer(`decoder/${i}`, size.decoderLayers), cross });
    }
    this.#encoderNorm = parameters.constant('encoder/norm', [width], 1);
    this.#decoderNorm = parameters.constant('decoder/norm', [width], 1);

    // Places start as sinusoids, in which near ones are alike; without that localisation does not begin.
    const vocabulary = this.tokenizer.size;
    const bins = Array.from({ length: coordinateBins }, (_, i) => (64 * i) / (coordinateBins - 1));
    const places = sinusoids(bins, width, 64);
    const scale = 1 / Math.sqrt(width);
    this.#input = {
      tokens: parameters.normal('input/tokens', [vocabulary, width], 0.5),
      places: parameters.values('input/places', [coordinateBins, width], places),
    };
    this.#output = {
      tokens: parameters.normal('output/tokens', [vocabulary, width], scale),
      places: parameters.values(
        'output/places',
        [coordinateBins, width],
        places.map((x) => x * scale),
      ),
    };
    this.#dense = linear(parameters, 'dense', width, classes + 1);

    const [rows, columns] = [height / patch, imageWidth / patch];
    const grid = new Float32Array(rows * columns * width);
    const range = (n: number): number[] => Array.from({ length: n }, (_, i) => (i * 64) / n);
    const vertical = sinusoids(range(rows), width / 2, 64);
    const horizontal = sinusoids(range(columns), width / 2, 64);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        const at = (y * columns + x) * width;
        grid.set(horizontal.subarray((x * width) / 2, ((x + 1) * width) / 2), at);
        grid.set(vertical.subarray((y * width) / 2, ((y + 1) * width) / 2), at + width / 2);
      }
    }
    const { coordinateBin } = this.tokenizer;
    const oneHot = new Float32Array(vocabulary * coordinateBins);
    coordinateBin.forEach((bin, token) => {
      if (bin >= 0) oneHot[token * coordinateBins + bin] = 1;
    });
    const positions = Array.from({ length: longestCompletion }, (_, i) => i);
    this.#constants = {
      patches: tf.tensor3d(grid, [1, rows * columns, width]),
      positions: tf.tensor2d(sinusoids(positions, width, 100), [longestCompletion, width]),
      places: tf.tensor2d(oneHot, [vocabulary, coordinateBins]),
    };
  }

  get variables(): Readonly<Record<string, Variable>> {
    return this.#parameters.variables;
  }

  batch(prompts: readonly Prompt[]): VisionBatch {
    const { height, width } = this.#options;
    const images = new Float32Array(prompts.length * height * width);
    const tokens = prompts.map(({ image, prompt }, i) => {
      if (image.length !== height * width) {
        throw invalid(
          'SHAPE_MISMATCH',
          `prompts[${i}].image`,
          `${height} x ${width} grey values, ${height * width}`,
          image,
        );
      }
      images.set(image, i * height * width);
      return this.tokenizer.encode(prompt);
    });
    const length = Math.max(1, ...tokens.map((t) => t.length));
    const padded = new Int32Array(prompts.length * length).fill(this.tokenizer.pad);
    tokens.forEach((t, i) => padded.set(t, i * length));
    return {
      images: tf.tensor4d(images, [prompts.length, height, width, 1]),
      prompts: tf.tensor2d(padded, [prompts.length, length], 'int32'),
    };
  }

  encode(batch: VisionBatch): VisionMemory {
    const { width } = this.#options.size;
    const [count, length] = batch.prompts.shape;
    let image: Tensor4D = batch.images;
    for (const { weight, bias, stride } of this.#stem) {
      image = relu(tf.add(tf.conv2d(image, weight as Tensor as Tensor4D, stride, 'same'), bias)) as Tensor4D;
    }
    const patches = tf.add(tf.reshape(image, [count, -1, width]), this.#constants.patches);
    const words = embed(tf.reshape(batch.prompts, [-1]) as Tensor1D, this.#table(this.#input));
    const text = tf.add(
      tf.reshape(words, [count, length, width]),
      tf.slice(this.#constants.positions, [0, 0], [length, -1]),
    );
    const both = tf.concat([patches, text], 1) as Tensor3D;
    const mask = this.#unseen(batch);
    let x: Tensor = tf.reshape(both, [-1, width]);
    for (const { attention: self, feedForward } of this.#encoder) {
      const norm = rmsNorm(x, self.norm);
      x = tf.add(x, attend(self, norm, keyValue(self, norm, count), mask));
      x = tf.add(x, applyFeedForward(feedForward, x));
    }
    x = rmsNorm(x, this.#encoderNorm);
    return {
      encoded: tf.reshape(x, both.shape),
      layers: this.#decoder.map(({ cross }) => keyValue(cross, x, count)),
      mask,
    };
  }

  sample(memory: VisionMemory, options: SampleOptions): Rollout {
    const { numGenerations, maxTokens, uniforms, ...drawing } = options;
    this.#checkLength(maxTokens);
    const { pad, end } = this.tokenizer;
    const count = memory.encoded.shape[0] * numGenerations;
    const random = uniforms(maxTokens, count);
    return tf.tidy(() => {
      const table = this.#table(this.#input);
      const head = this.#table(this.#output);
      const cache: (KeyValue | undefined)[] = this.#decoder.map(() => undefined);
      const columns: Tensor1D[] = [];
      let tokens = tf.fill([count], pad, 'int32') as Tensor1D;
      let open = tf.ones([count], 'int32') as Tensor1D; // 1 for completions that have not ended
      for (let t = 0; t < maxTokens; t++) {
        const step = tf.tidy(() => {
          const grown: KeyValue[] = [];
          let x: Tensor = tf.add(embed(tokens, table), tf.slice(this.#constants.positions, [t, 0], [1, -1]));
          this.#decoder.forEach((layer, i) => {
            const norm = rmsNorm(x, layer.attention.norm);
            const now = keyValue(layer.attention, norm, count);
            const before = cache[i];
            const all = before
              ? { key: tf.concat([before.key, now.key], 1), value: tf.concat([before.value, now.value], 1) }
              : now;
            grown.push(all);
            x = tf.add(x, attend(layer.attention, norm, all));
            x = this.#look(layer, x, memory, i);
          });
          const logits = tf.matMul(rmsNorm(x, this.#decoderNorm) as Tensor2D, head, false, true) as Tensor2D;
          const drawn = sampleTokens(
            logits,
            tf.tensor1d(random.subarray(t * count, (t + 1) * count)),
            drawing,
          );
          // Pad is token 0, so a product leaves it after the end.
          const token = tf.mul(drawn, open) as Tensor1D;
          const ended = tf.cast(tf.equal(token, end), 'int32');
          return { token, open: tf.sub(open, tf.mul(ended, open)) as Tensor1D, cache: grown };
        });
        tf.dispose([open, ...cache.flatMap((c) => (c ? [c.key, c.value] : []))]);
        if (t === 0) tokens.dispose();
        cache.splice(0, cache.length, ...step.cache);
        tokens = step.token;
        open = step.open;
        columns.push(tokens);
        if (t % lookEvery === lookEvery - 1 && tf.tidy(() => tf.max(open).dataSync()[0] === 0)) break;
      }
      const all = tf.stack(columns, 1) as Tensor2D;
      // Up to the longest completion.
      const mask = tf.cast(tf.notEqual(all, pad), 'float32') as Tensor2D;
      const longest = Math.max(1, tf.max(tf.sum(mask, 1)).dataSync()[0] ?? 1);
      return { tokens: tf.slice(all, [0, 0], [-1, longest]), mask: tf.slice(mask, [0, 0], [-1, longest]) };
    });
  }

  logProbs(memory: VisionMemory, tokens: Tensor2D, temperature: number): TokenLogProbs {
    const [count, length] = tokens.shape;
    this.#checkLength(length);
    const { heads, width } = this.#options.size;
    const begin = tf.fill([count, 1], this.tokenizer.pad, 'int32');
    const given = tf.concat([begin, tf.slice(tokens, [0, 0], [-1, length - 1])], 1);
    let x: Tensor = embed(tf.reshape(given, [-1]) as Tensor1D, this.#table(this.#input));
    x = tf.reshape(
      tf.add(
        tf.reshape(x, [count, length, width]),
        tf.slice(this.#constants.positions, [0, 0], [length, -1]),
      ),
      [-1, width],
    );
    const mask = causalMask(length, heads);
    this.#decoder.forEach((layer, i) => {
      const norm = rmsNorm(x, layer.attention.norm);
      x = tf.add(x, attend(layer.attention, norm, keyValue(layer.attention, norm, count), mask));
      x = this.#look(layer, x, memory, i);
    });
    let logits = tf.matMul(
      rmsNorm(x, this.#decoderNorm) as Tensor2D,
      this.#table(this.#output),
      false,
      true,
    ) as Tensor2D;
    if (temperature !== 1) logits = tf.div(logits, temperature);
    const logShares = tf.logSoftmax(logits);
    const chosen = tf.oneHot(tf.reshape(tokens, [-1]), this.tokenizer.size);
    const shape: [number, number] = [count, length];
    return {
      logProbs: tf.reshape(tf.sum(tf.mul(logShares, chosen), 1), shape),
      entropies: tf.reshape(tf.neg(tf.sum(tf.mul(tf.exp(logShares), logShares), 1)), shape),
    };
  }

  /** Cross-entropy of the class of each patch of the image: that of the smallest object over its centre, or none. */
  denseLoss({ encoded }: VisionMemory, objects: readonly (readonly SceneObject[])[]): Scalar {
    const { height, width } = this.#options;
    const [rows, columns] = [height / patch, width / patch];
    const target = new Int32Array(objects.length * rows * columns).fill(classes);
    objects.forEach((scene, i) => {
      const area = ({ box: [x1, y1, x2, y2] }: SceneObject): number => (x2 - x1) * (y2 - y1);
      for (const object of [...scene].sort((a, b) => area(b) - area(a))) {
        const [x1, y1, x2, y2] = object.box;
        for (let y = 0; y < rows; y++) {
          for (let x = 0; x < columns; x++) {
            const [u, v] = [(1000 * (x + 0.5)) / columns, (1000 * (y + 0.5)) / rows];
            if (u < x1 || u > x2 || v < y1 || v > y2) continue;
            target[(i * rows + y) * columns + x] = Number(object.label);
          }
        }
      }
    });
    const patches = tf.reshape(tf.slice(encoded, [0, 0, 0], [-1, rows * columns, -1]), [
      -1,
      this.#options.size.width,
    ]);
    const logShares = tf.logSoftmax(applyLinear(patches, this.#dense));
    const chosen = tf.oneHot(tf.tensor1d(target, 'int32'), classes + 1);
    return tf.neg(tf.mean(tf.sum(tf.mul(logShares, chosen), 1)));
  }

  copy(): VisionPolicy {
    const copy = new VisionPolicy(this.#options);
    for (const [name, variable] of Object.entries(copy.variables)) variable.assign(this.variables[name]!);
    return copy;
  }

  dispose(): void {
    tf.dispose([...Object.values(this.variables), ...Object.values(this.#constants)]);
  }

  /** Embeddings `[vocabulary, width]`: those of coordinates have a part that x1, y1, x2 and y2 share. */
  #table({ tokens, places }: { tokens: Variable; places: Variable }): Tensor2D {
    return tf.add(tokens, tf.matMul(this.#constants.places, places as Tensor as Tensor2D));
  }

  #unseen({ prompts }: VisionBatch): Tensor3D {
    const [count] = prompts.shape;
    const padding = tf.mul(tf.cast(tf.equal(prompts, this.tokenizer.pad), 'float32'), unseen);
    const patches = tf.zeros([count, this.#constants.patches.shape[1]]);
    return tf.expandDims(tf.concat([patches, padding], 1), 1);
  }

  /** Cross-attention and feed-forward of a decoder layer. */
  #look({ cross, feedForward }: DecoderLayer, x: Tensor, memory: VisionMemory, layer: number): Tensor {
    const seen = tf.add(x, attend(cross, rmsNorm(x, cross.norm), memory.layers[layer]!, memory.mask));
    return tf.add(seen, applyFeedForward(feedForward, seen));
  }

  #checkLength(length: number): void {
    if (length <= longestCompletion) return;
    throw new PerceptionError(
      'TOO_LARGE',
      `maxTokens: expected at most ${longestCompletion}, the positions that the model has, received ${length}`,
    );
  }
}

/** Rows of `table` `[vocabulary, width]`. A product, as a gather reads its indices back to the host on tfjs-node. */
function embed(tokens: Tensor1D, table: Tensor2D): Tensor2D {
  return tf.matMul(tf.oneHot(tokens, table.shape[0]) as Tensor2D, table);
}

/** `[1, length * heads, length]`: 0 where a query may look, very small where the key lies in its future. */
function causalMask(length: number, heads: number): Tensor3D {
  const values = new Float32Array(length * heads * length);
  for (let query = 0; query < length; query++) {
    for (let head = 0; head < heads; head++) {
      values.fill(unseen, (query * heads + head) * length + query + 1, (query * heads + head + 1) * length);
    }
  }
  return tf.tensor3d(values, [1, length * heads, length]);
}
