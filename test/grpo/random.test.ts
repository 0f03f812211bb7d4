import { describe, expect, it } from 'vitest';
import { Random } from '../../src/random.js';
import { codeOf } from '../support.js';

const draws = (random: Random, count: number): number[] => Array.from({ length: count }, () => random.next());

describe('Random', () => {
  it('gives the recorded streams on every platform', () => {
    const random = new Random(1, 2);
    expect([random.next(), random.next(), random.integer(1000), random.normal(), random.normal()]).toEqual([
      0.3447786800097674, 0.09835977270267904, 104, -0.07464617807854404, 1.2170951417997258,
    ]);
    expect(new Random(7).shuffle([...'abcdefgh']).join('')).toBe('ecdbaghf');
  });

  it('tells all keys apart, by value, order and number', () => {
    const streams = [[], [0], [0, 0], [1], [0, 1], [1, 0], [-1], [2 ** 32], [2 ** 32 - 1], [-(2 ** 40)]].map(
      (keys) => draws(new Random(...keys), 4).join(),
    );
    expect(new Set(streams).size).toBe(streams.length);
    expect(draws(new Random(3, 4), 4)).toEqual(draws(new Random(3, 4), 4));
  });

  it('gives unrelated numbers for neighbouring keys', () => {
    const first = Array.from({ length: 20000 }, (_, i) => new Random(5, i).next());
    const mean = first.reduce((sum, value) => sum + value, 0) / first.length;
    const covariance = first.slice(1).reduce((sum, value, i) => sum + (value - 0.5) * (first[i]! - 0.5), 0);
    expect(mean).toBeCloseTo(0.5, 2);
    expect(covariance / first.length).toBeCloseTo(0, 2);
    expect(new Set(first).size).toBeGreaterThan(19990);
  });

  it('draws evenly', () => {
    const random = new Random(11);
    const counts = new Array<number>(7).fill(0);
    for (let i = 0; i < 70000; i++) counts[random.integer(7)]!++;
    for (const count of counts) expect(Math.abs(count - 10000)).toBeLessThan(400);
    expect(Math.min(...draws(random, 10000))).toBeGreaterThanOrEqual(0);
    expect(Math.max(...draws(random, 10000))).toBeLessThan(1);
  });

  it('draws from the normal distribution: its moments, and its tails', () => {
    const random = new Random(12);
    const values = Array.from({ length: 200000 }, () => random.normal());
    const moment = (power: number): number =>
      values.reduce((sum, value) => sum + value ** power, 0) / values.length;
    expect(moment(1)).toBeCloseTo(0, 1);
    expect(moment(2)).toBeCloseTo(1, 1);
    expect(moment(3)).toBeCloseTo(0, 1);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.1);
    const beyond3 = values.filter((value) => Math.abs(value) > 3).length / values.length;
    expect(Math.abs(beyond3 - 0.0027)).toBeLessThan(0.0005);
  });

  it('shuffles into every order alike, in place', () => {
    const random = new Random(13);
    const orders = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const items = ['a', 'b', 'c'];
      expect(random.shuffle(items)).toBe(items);
      orders.set(items.join(''), (orders.get(items.join('')) ?? 0) + 1);
    }
    expect(orders.size).toBe(6);
    for (const count of orders.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it('refuses keys that are no whole numbers', () => {
    for (const key of [Number.NaN, 0.5, Number.POSITIVE_INFINITY, 2 ** 53]) {
      expect(codeOf(() => new Random(1, key))).toBe('INVALID_ARGUMENT');
    }
  });
});
