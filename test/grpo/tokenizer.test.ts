import { describe, expect, it } from 'vitest';
import { createTask, taskNames } from '../../src/grpo/tasks/index.js';
import { BoxTokenizer } from '../../src/grpo/tokenizer.js';
import { codeOf } from '../support.js';

const tokenizer = new BoxTokenizer();
const box = '<|object_ref_start|>7<|object_ref_end|><|box_start|>(0,16),(984,1000)<|box_end|>';

describe('BoxTokenizer', () => {
  it('has ids for end, pad, object references, coordinates, digits and words', () => {
    expect(tokenizer.texts[tokenizer.pad]).toBe('<|endoftext|>');
    expect(tokenizer.texts[tokenizer.end]).toBe('<|im_end|>');
    expect([tokenizer.pad, tokenizer.end]).toEqual([0, 1]);
    expect(tokenizer.texts).toHaveLength(tokenizer.size);
    expect(new Set(tokenizer.texts).size).toBe(tokenizer.size);
    expect(tokenizer.size).toBe(2 + 10 + 4 * 65 + 10 + 2 + 6);
    for (const array of [
      tokenizer.coordinateSlot,
      tokenizer.coordinateBin,
      tokenizer.coordinate,
      tokenizer.label,
    ]) {
      expect(array).toHaveLength(tokenizer.size);
    }
  });

  it('describes its coordinate and label tokens', () => {
    const tokens = tokenizer.encode(box);
    expect(tokens).toHaveLength(5);
    const of = (array: ArrayLike<number>): number[] => tokens.map((token) => array[token]!);
    expect(of(tokenizer.label)).toEqual([7, -1, -1, -1, -1]);
    expect(of(tokenizer.coordinateSlot)).toEqual([-1, 0, 1, 2, 3]);
    expect(of(tokenizer.coordinateBin)).toEqual([-1, 0, 1, 63, 64]);
    expect(of(tokenizer.coordinate)).toEqual([0, 0, 16, 984, 1000]);
    expect(tokenizer.texts.slice(12, 14)).toEqual(['<|box_start|>(0,', '<|box_start|>(16,']); // family-major
    expect(tokenizer.label.filter((digit) => digit >= 0)).toEqual(
      Int32Array.from({ length: 10 }, (_, i) => i),
    );
    expect(tokenizer.coordinateSlot.filter((slot) => slot >= 0)).toHaveLength(4 * 65);
  });

  it.each([2, 32, 64, 65, 1001])('gives back each of its own tokens, with %i bins', (coordinateBins) => {
    const own = new BoxTokenizer({ coordinateBins });
    expect(own.coordinateBins).toBe(coordinateBins);
    for (let token = 1; token < own.size; token++) expect(own.encode(own.texts[token]!)).toEqual([token]);
  });

  it('rounds coordinates to the nearest bin', () => {
    const of = (x: number): number => {
      const [token] = tokenizer.encode(`<|box_start|>(${x},`);
      return tokenizer.coordinate[token!]!;
    };
    const values = [...new Set(tokenizer.coordinate)];
    for (let x = 0; x <= 1000; x++) {
      const nearest = Math.min(...values.map((value) => Math.abs(value - x)));
      expect(Math.abs(of(x) - x)).toBeLessThanOrEqual(nearest + 1); // bins have rounded values
    }
    expect(codeOf(() => of(1001))).toBe('INVALID_VALUE');
  });

  it('gives back the text of every target, with rounded coordinates', () => {
    const fine = new BoxTokenizer({ coordinateBins: 1001 });
    for (const name of taskNames) {
      const task = createTask(name, { think: true });
      for (let i = 0; i < 50; i++) {
        const { target, prompt } = task.example('train', 1, i);
        expect(fine.decode(fine.encode(target))).toBe(target);
        expect(fine.decode(fine.encode(prompt))).toBe(prompt);
        const numbers = (text: string): number[] => (text.match(/\d+/g) ?? []).map(Number);
        const rounded = tokenizer.decode(tokenizer.encode(target));
        expect(rounded.replaceAll(/\d+/g, '')).toBe(target.replaceAll(/\d+/g, ''));
        numbers(rounded).forEach((value, k) =>
          expect(Math.abs(value - numbers(target)[k]!)).toBeLessThanOrEqual(1000 / 63 / 2 + 0.5),
        );
      }
    }
  });

  it('keeps the digit that a prompt asks for in a token of its own', () => {
    const tokens = tokenizer.encode('Output the bounding box of the 7 in the image.');
    expect(tokens.map((token) => tokenizer.texts[token])).toEqual([
      'Output the bounding box of the ',
      '7',
      ' in the image.',
    ]);
    expect(tokenizer.label[tokens[1]!]).toBe(-1);
  });

  it('stops after the first end and skips pad', () => {
    const [three, four] = tokenizer.encode('34');
    expect(tokenizer.decode([0, three!, 0, four!, 1, three!, 0])).toBe('34<|im_end|>');
    expect(tokenizer.decode(Int32Array.of(three!, four!))).toBe('34');
    expect(tokenizer.decode([])).toBe('');
  });

  it('refuses what it does not know, and says what that is', () => {
    expect(() => tokenizer.encode('12 pears')).toThrow(/" pears" at 2/);
    expect(codeOf(() => tokenizer.encode('<|box_start|>(1.5,'))).toBe('INVALID_VALUE');
    for (const token of [-1, tokenizer.size, 0.5]) {
      expect(codeOf(() => tokenizer.decode([token]))).toBe('INVALID_VALUE');
    }
    expect(codeOf(() => new BoxTokenizer({ coordinateBins: 1 }))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => new BoxTokenizer({ bins: 64 } as never))).toBe('INVALID_ARGUMENT');
  });
});
