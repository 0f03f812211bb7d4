import { describe, invalid, PerceptionError } from '../errors.js';
import { optionsObject, wholeNumber } from '../ops/validate.js';
import { phrases } from './tasks/phrases.js';

/** Text to tokens and back, for a policy. */
export interface Tokenizer {
  /** Number of tokens; ids are 0..size-1. */
  readonly size: number;
  /** The id that ends a completion. */
  readonly end: number;
  /** The id that fills batches up. */
  readonly pad: number;
  /** Ids of `text`; `end` and `pad` are not added. */
  encode(text: string): number[];
  /** The text up to and with the first `end`, without `pad`. */
  decode(tokens: ArrayLike<number>): string;
}

export interface BoxTokenizerOptions {
  /** Values that a coordinate can have, spread evenly over 0..1000. Default 65: the edges of 64 pixels. */
  coordinateBins?: number;
}

// What stands around the number in the four families of coordinate tokens.
const families: readonly (readonly [before: string, after: string])[] = [
  ['<|box_start|>(', ','],
  ['', '),'],
  ['(', ','],
  ['', ')<|box_end|>'],
];
const coordinatePatterns = families.map(
  ([before, after]) => new RegExp(`${escaped(before)}(\\d+)${escaped(after)}`, 'y'),
);

function escaped(text: string): string {
  return text.replaceAll(/[|()]/g, '\\$&');
}

/**
 * The words of the built-in tasks in the box format of Qwen2-VL. Pieces that always stand together are one token, as a
 * byte-pair tokenizer merges them, so a labelled box costs five tokens: the object reference and x1, y1, x2, y2.
 */
export class BoxTokenizer implements Tokenizer {
  readonly size: number;
  readonly end = 1;
  readonly pad = 0;
  readonly coordinateBins: number;
  /** `[size]` text of each token. */
  readonly texts: readonly string[];
  /** `[size]` 0..3 for tokens of x1, y1, x2, y2, else -1. */
  readonly coordinateSlot: Int32Array;
  /** `[size]` 0..coordinateBins-1, else -1. */
  readonly coordinateBin: Int32Array;
  /** `[size]` the coordinate in per-mille of the image, else 0. */
  readonly coordinate: Float32Array;
  /** `[size]` the digit of an object reference token, else -1. */
  readonly label: Int32Array;
  readonly #firstCoordinate: number;
  /** Ids of the tokens other than coordinates, by first character. */
  readonly #words = new Map<string, number[]>();

  /** @throws PerceptionError INVALID_ARGUMENT */
  constructor(options?: BoxTokenizerOptions) {
    const { coordinateBins = 65 } = optionsObject(options, 'options', ['coordinateBins']);
    const bins = wholeNumber(coordinateBins, 'options.coordinateBins', 2, 1001);
    const digits = Array.from({ length: 10 }, (_, digit) => `${digit}`);
    const references = digits.map((digit) => `<|object_ref_start|>${digit}<|object_ref_end|>`);
    const texts = ['<|endoftext|>', '<|im_end|>', ...references];
    const firstCoordinate = texts.length;
    for (const [before, after] of families) {
      for (let bin = 0; bin < bins; bin++) texts.push(`${before}${coordinateOf(bin, bins)}${after}`);
    }
    const firstWord = texts.length;
    texts.push(...digits, '<think>', '</think>', ...phrases);

    this.size = texts.length;
    this.texts = texts;
    this.coordinateBins = bins;
    this.coordinateSlot = new Int32Array(this.size).fill(-1);
    this.coordinateBin = new Int32Array(this.size).fill(-1);
    this.coordinate = new Float32Array(this.size);
    this.label = new Int32Array(this.size).fill(-1);
    this.#firstCoordinate = firstCoordinate;
    for (let token = 0; token < this.size; token++) {
      if (token >= firstCoordinate && token < firstWord) {
        const bin = (token - firstCoordinate) % bins;
        this.coordinateSlot[token] = Math.floor((token - firstCoordinate) / bins);
        this.coordinateBin[token] = bin;
        this.coordinate[token] = coordinateOf(bin, bins);
        continue;
      }
      const first = texts[token]![0]!;
      const words = this.#words.get(first) ?? [];
      words.push(token);
      this.#words.set(first, words);
    }
    for (let digit = 0; digit < 10; digit++) this.label[texts.indexOf(references[digit]!)] = digit;
  }

  /**
   * Greedy: the longest token at each place. A coordinate gets the nearest bin.
   * @throws PerceptionError INVALID_VALUE where no token fits, and for coordinates above 1000
   */
  encode(text: string): number[] {
    const tokens: number[] = [];
    for (let at = 0; at < text.length; ) {
      let token = -1;
      let length = 0;
      for (const word of this.#words.get(text[at]!) ?? []) {
        const piece = this.texts[word]!;
        if (piece.length <= length || !text.startsWith(piece, at)) continue;
        token = word;
        length = piece.length;
      }
      for (let slot = 0; slot < 4; slot++) {
        const pattern = coordinatePatterns[slot]!;
        pattern.lastIndex = at;
        const match = pattern.exec(text);
        if (!match || match[0].length <= length) continue;
        token = this.#coordinateToken(slot, Number(match[1]));
        length = match[0].length;
      }
      if (token < 0) {
        throw new PerceptionError(
          'INVALID_VALUE',
          `text: expected the prompts, boxes and digits of the built-in tasks, received ${describe(text.slice(at))} at ${at}, which no token covers; other texts need a Tokenizer of their own`,
        );
      }
      tokens.push(token);
      at += length;
    }
    return tokens;
  }

  #coordinateToken(slot: number, value: number): number {
    if (value > 1000) throw invalid('INVALID_VALUE', 'text', 'coordinates of 0..1000', value);
    const bin = Math.round((value * (this.coordinateBins - 1)) / 1000);
    return this.#firstCoordinate + slot * this.coordinateBins + bin;
  }

  /** @throws PerceptionError INVALID_VALUE for what is no token's id */
  decode(tokens: ArrayLike<number>): string {
    let text = '';
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!;
      if (token === this.pad) continue;
      const piece = this.texts[token];
      if (piece === undefined) {
        throw invalid('INVALID_VALUE', `tokens[${i}]`, `an id of 0..${this.size - 1}`, token);
      }
      text += piece;
      if (token === this.end) break;
    }
    return text;
  }
}

function coordinateOf(bin: number, bins: number): number {
  return Math.round((1000 * bin) / (bins - 1));
}
