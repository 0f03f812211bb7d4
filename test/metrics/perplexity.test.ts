import { expect, test } from 'vitest';
import { perceptualPerplexity } from '../../src/metrics/perplexity.js';
import { codeOf } from '../support.js';

test('the mean of factorials', () => {
  expect(perceptualPerplexity([1, 2, 3, 5]).mean).toBe(32.25);
  expect(perceptualPerplexity([1, 2, 3, 5]).log10Mean).toBeCloseTo(Math.log10(32.25), 12);
  expect(perceptualPerplexity(Int32Array.of(0, 1))).toEqual({ mean: 1, log10Mean: 0 });
});

test('numbers beyond doubles', () => {
  // 63! = 1.98260831540444e87, and 170! = 7.25741561530799e306, the last one in the range
  const dense = perceptualPerplexity([...Array(4999).fill(1), 63]);
  expect(dense.mean / 1.98260831540444e87).toBeCloseTo(1 / 5000, 12);
  expect(dense.log10Mean).toBeCloseTo(Math.log10(1.98260831540444e87 / 5000), 10);
  expect(perceptualPerplexity(Array(50).fill(170)).mean / 7.25741561530799e306).toBeCloseTo(1, 9); // the sum is not
  expect(perceptualPerplexity([170]).log10Mean).toBeCloseTo(Math.log10(7.25741561530799e306), 10);
  // log10 of 171! and of 1000!, whose value is 4.0238726007709e2567
  expect(perceptualPerplexity([171]).mean).toBe(Infinity);
  expect(perceptualPerplexity([171]).log10Mean).toBeCloseTo(
    Math.log10(7.25741561530799e306) + Math.log10(171),
    10,
  );
  expect(perceptualPerplexity([1000, 0]).log10Mean).toBeCloseTo(2567 + Math.log10(4.0238726007709 / 2), 8);
  expect(perceptualPerplexity([2 ** 31 - 1]).log10Mean).toBeGreaterThan(1e10);
});

test('what is refused', () => {
  expect(codeOf(() => perceptualPerplexity([]))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => perceptualPerplexity([1.5]))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => perceptualPerplexity([-1]))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => perceptualPerplexity('3' as never))).toBe('INVALID_ARGUMENT');
});
