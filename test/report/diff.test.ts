import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { difference, type Stretch } from '../../src/report/diff.js';

/** With what only one of them has in brackets. */
const shown = (stretches: readonly Stretch[]): string =>
  stretches.map(({ text, common }) => (common ? text : `[${text}]`)).join('');

const shownBoth = (a: string, b: string): [string, string] => {
  const found = difference(a, b);
  return [shown(found.a), shown(found.b)];
};

describe('difference', () => {
  test('of words, of what is written without spaces, and of signs', () => {
    expect(shownBoth('the quick brown fox', 'the brown foxes')).toEqual([
      'the [quick ]brown [fox]',
      'the brown [foxes]',
    ]);
    expect(shownBoth('白日依山尽', '白口依山盡')).toEqual(['白[日]依山[尽]', '白[口]依山[盡]']);
    expect(shownBoth('a, b!', 'a b?')).toEqual(['a[,] b[!]', 'a b[?]']);
    expect(shownBoth('', 'x')).toEqual(['', '[x]']);
    expect(shownBoth('same', 'same')).toEqual(['same', 'same']);
    expect(shownBoth('', '')).toEqual(['', '']);
  });

  test('the stretches make up the texts, and what is common is equal and longest', () => {
    const text = fc.string({
      unit: fc.constantFrom('a', 'b', ' ', '.', '日', '😀', '\ud800'),
      maxLength: 30,
    });
    const words = /[日]|[ab]+| +|./gsu;
    const longest = (a: readonly string[], b: readonly string[]): number => {
      if (a.length === 0 || b.length === 0) return 0;
      const rows = [new Array<number>(b.length + 1).fill(0)];
      for (const word of a) {
        const [last, row] = [rows.at(-1)!, [0]];
        b.forEach((other, j) => row.push(word === other ? last[j]! + 1 : Math.max(last[j + 1]!, row[j]!)));
        rows.push(row);
      }
      return rows.at(-1)!.at(-1)!;
    };
    fc.assert(
      fc.property(text, text, (a, b) => {
        const found = difference(a, b);
        expect(found.a.map(({ text }) => text).join('')).toBe(a);
        expect(found.b.map(({ text }) => text).join('')).toBe(b);
        const common = (list: readonly Stretch[]): string[] =>
          list.filter((stretch) => stretch.common).flatMap(({ text }) => text.match(words) ?? []);
        expect(common(found.a)).toEqual(common(found.b));
        expect(common(found.a)).toHaveLength(longest(a.match(words) ?? [], b.match(words) ?? []));
      }),
    );
  });

  test('2,000 signs each', () => {
    const found = difference('.'.repeat(2000), '!.'.repeat(1000));
    expect(found.a.filter(({ common }) => common).map(({ text }) => text.length)).toEqual([1000]);
  });
});
