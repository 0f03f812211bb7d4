/** Recipes and scoring: what each preset does, coordinates, groups, matches, warnings, and what bad input gets. */
import { describe, expect, test } from 'vitest';
import {
  coco80,
  describeStatus,
  faults,
  type GroundTruth,
  parseCompletion,
  type RecipeInput,
  type RecipeName,
  recipes,
  type ScoreRequest,
  scoreCompletions,
} from '../src/index.js';
import { counting, detection, type Expected } from './reference/matching.js';
import { Generator } from './reference/random.js';
import { codeOf } from './support.js';

/** Scores one completion against one ground truth. */
function score(
  recipe: RecipeName | RecipeInput,
  completion: string,
  truth: GroundTruth,
  more: Partial<ScoreRequest> = {},
) {
  const { rewards, terms, status, warnings, matches } = scoreCompletions({
    recipe,
    completions: [completion],
    groundTruth: [truth],
    ...more,
  });
  return {
    reward: rewards[0]!,
    terms: Object.fromEntries(Object.entries(terms).map(([name, values]) => [name, values[0]!])),
    faults: describeStatus(status[0]!),
    warnings: warnings.map(({ code }) => code),
    matches: matches && [...matches.values],
  };
}

const detections = (...items: [box: number[], label?: unknown][]): string =>
  JSON.stringify(items.map(([bbox_2d, label]) => ({ bbox_2d, label })));

const dog = [10, 10, 110, 110];
const cat = [200, 200, 300, 300];
const truth = { boxes: [dog, cat], labels: ['dog', 'cat'] };

describe('perception-r1/detection, as released', () => {
  const recipe = 'perception-r1/detection';

  test('the truth scores 3, and each term is told', () => {
    const { reward, terms } = score(recipe, detections([dog, 'dog'], [cat, 'cat']), truth);
    expect(reward).toBeCloseTo(3, 6);
    expect(terms).toEqual({ format: 1, f1: 1, class: 1, iou: 1, missing: 0 });
  });

  test('one of two objects', () => {
    const { reward, terms, matches } = score(recipe, detections([cat, 'dog']), truth, { matches: true });
    expect(terms).toEqual({ format: 1, f1: expect.closeTo(2 / 3, 6), class: 0, iou: 1, missing: 0.5 });
    expect(reward).toBeCloseTo(0.25 + 0.75 * (2 / 3) + 1 - 0.25, 5);
    expect(matches).toEqual([-1, 0]);
    const free = score('perception-r1/detection-no-penalty', detections([cat, 'dog']), truth);
    expect(free.reward).toBeCloseTo(reward + 0.25, 5);
    const half = score({ extends: recipe, missingPenalty: 0.25 }, detections([cat, 'dog']), truth);
    expect(half.reward).toBeCloseTo(reward + 0.125, 5);
  });

  test('its faults: one inverted box costs all, an unknown label only format, prose everything', () => {
    const inverted = score(recipe, detections([dog, 'dog'], [[300, 300, 200, 200], 'cat']), truth);
    expect(inverted).toMatchObject({ reward: 0, faults: ['inverted'] });
    const unknown = score(recipe, detections([dog, 'dog'], [cat, 'cat'], [cat, 'unicorn']), truth);
    expect(unknown.terms).toMatchObject({ f1: expect.closeTo(1, 6), format: expect.closeTo(2 / 3, 6) });
    expect(unknown.faults).toContain('unknownLabel');
    expect(score(recipe, `Here: ${detections([dog, 'dog'])}`, truth).reward).toBe(0);
    expect(score(recipe, detections([dog, 'dog']).slice(0, -1), truth)).toMatchObject({ reward: 0 });
    expect(score(recipe, '[]', { boxes: [], labels: [] }).reward).toBe(0);
    expect(score(recipe, detections([dog, 'dog']), { boxes: [], labels: [] }).reward).toBe(0.25);
  });
});

describe('perception-r1/detection-strict', () => {
  const recipe = 'perception-r1/detection-strict';
  const nothing = { boxes: [], labels: [] };

  test('equals the released reward on a clean answer', () => {
    const text = detections([dog, 'dog'], [[205, 200, 300, 300], 'cat'], [[0, 0, 9, 9], 'car']);
    expect(score(recipe, text, truth).reward).toBeCloseTo(
      score('perception-r1/detection', text, truth).reward,
      5,
    );
  });

  test('a bad item costs itself alone, as a false positive', () => {
    const wrong = score(recipe, detections([dog, 'dog'], [cat, 'cat'], [[0, 0, 9, 9], 'car']), truth);
    for (const bad of [
      detections([dog, 'dog'], [cat, 'cat'], [[300, 300, 200, 200], 'cat']),
      detections([dog, 'dog'], [cat, 'cat'], [cat, 'unicorn']),
      detections([dog, 'dog'], [cat, 'cat'], [[1, 2, 3], 'cat']),
      `Sure! ${detections([dog, 'dog'], [cat, 'cat']).slice(0, -1)}, {"bbox_2d": [1, 2`,
    ]) {
      const { reward, terms, faults: found } = score(recipe, bad, truth);
      expect(terms.f1).toBeCloseTo(0.8, 5);
      expect(terms.format).toBeCloseTo(2 / 3, 5);
      expect(reward).toBeCloseTo(wrong.reward - 0.25 / 3, 5);
      expect(found).not.toEqual([]);
    }
  });

  test('negative images and silence are scored', () => {
    expect(score(recipe, '[]', nothing).reward).toBeCloseTo(3, 6);
    expect(score(recipe, 'No objects.', nothing).reward).toBeCloseTo(3, 6);
    expect(score(recipe, detections([dog, 'dog']), nothing).reward).toBe(0);
    expect(score(recipe, 'No objects.', truth).reward).toBe(0);
    expect(score(recipe, detections([[400, 400, 500, 500], 'dog']), truth).terms.missing).toBe(2);
  });
});

describe('grounding', () => {
  const box = [100, 100, 200, 200];
  const tokens =
    '<|object_ref_start|>a dog<|object_ref_end|><|box_start|>(100,100),(200,150)<|box_end|><|im_end|>';

  test('as released: IoU squared plus format', () => {
    expect(score('perception-r1/grounding', tokens, { box })).toMatchObject({
      reward: 1.25,
      terms: { iou: 0.25, format: 1 },
    });
    // Without box tokens numbers are taken for shares of the image; anything that starts with '<' is well formed.
    expect(score('perception-r1/grounding', '[0.1, 0.1, 0.2, 0.2]', { box }).terms).toEqual({
      iou: 1,
      format: 0,
    });
    expect(score('perception-r1/grounding', '[100, 100, 200, 200]', { box }).terms.iou).toBe(0);
    expect(score('perception-r1/grounding', '<oops', { box }).terms.format).toBe(1);
    // Where both boxes have no area the released code divides by zero.
    expect(score('perception-r1/grounding', 'no', { box: [0, 0, 0, 0] }).reward).toBe(0);
  });

  test('strict: plain IoU, a real format check, any declared space', () => {
    expect(score('perception-r1/grounding-strict', tokens, { box }).terms).toEqual({ iou: 0.5, format: 1 });
    expect(score('perception-r1/grounding-strict', '[100, 100, 200, 200]', { box })).toMatchObject({
      reward: 2,
    });
    expect(score('perception-r1/grounding-strict', '<oops', { box }).terms).toEqual({ iou: 0, format: 0 });
    const pixels = score(
      'perception-r1/grounding-strict',
      '{"bbox_2d": [64, 48, 128, 96], "label": "dog"}',
      { box, imageSize: [640, 480] },
      {
        coordinates: { predictions: 'pixels', groundTruth: 'per-mille' },
      },
    );
    expect(pixels.reward).toBeCloseTo(2, 5);
  });
});

describe('counting', () => {
  const points = {
    points: [
      [15, 15],
      [515, 515],
    ],
  };
  const token = (...boxes: string[]): string =>
    `<|object_ref_start|>dog<|object_ref_end|>${boxes.map((b) => `<|box_start|>${b}<|box_end|>`).join('')}<|im_end|>`;

  test('as released: ratio of counts times nearness, gated by the format', () => {
    expect(
      score('perception-r1/counting', token('(10,10),(20,20)', '(510,510),(520,520)'), points).reward,
    ).toBe(1);
    expect(score('perception-r1/counting', token('(10,10),(20,20)'), points)).toMatchObject({
      reward: 0.5,
      terms: { counting: 0.5, count: 0.5, proximity: 1, format: 1 },
    });
    expect(score('perception-r1/counting', token('(10,10),(20,20)').slice(1), points)).toMatchObject({
      reward: 0,
      faults: expect.arrayContaining(['format']),
    });
    expect(score('perception-r1/counting', token('(10,10),(20,20)'), { points: [] }).reward).toBe(0);
  });

  test('a gate can be put before any reader', () => {
    const gated = { extends: 'perception-r1/counting-strict', formatGate: true } as const;
    expect(score(gated, token('(10,10),(20,20)'), points).reward).toBe(0.5);
    expect(score(gated, 'No idea.', points).terms).toEqual({
      counting: 0,
      count: 0,
      proximity: 0,
      format: 0,
    });
    expect(score(gated, 'There are none.', { points: [] }).reward).toBe(1);
  });

  test('strict: no gate, a bad box counts, no objects can be right', () => {
    const recipe = 'perception-r1/counting-strict';
    expect(score(recipe, token('(10,10),(20,20)', '(510,510),(520,520)').slice(0, -10), points).reward).toBe(
      1,
    );
    expect(
      score(recipe, token('(10,10),(20,20)', '(510,510),(520,520)', 'oops'), points).terms.count,
    ).toBeCloseTo(2 / 3, 6);
    expect(
      score(
        recipe,
        '[{"point_2d": [15, 15], "label": "dog"}, {"point_2d": [515, 515], "label": "dog"}]',
        points,
      ).reward,
    ).toBe(1);
    expect(score(recipe, token('(90000,0),(90000,0)'), points).reward).toBe(0); // not below
    expect(score(recipe, 'There are none.', { points: [] }).reward).toBe(1);
    expect(score(recipe, token('(10,10),(20,20)'), { points: [] }).reward).toBe(0);
  });
});

describe('methods of matching', () => {
  const baselines = ['greedy', 'in-order'] as const;
  const dots = (points: readonly (readonly number[])[]): string =>
    JSON.stringify(points.map((point_2d) => ({ point_2d, label: 'dog' })));
  const costs = { l1: 5, giou: 2, class: 1, minIou: 0.5 };

  function expectScored(actual: ReturnType<typeof score>, { terms, matches }: Expected): void {
    expect(actual.matches).toEqual(matches);
    for (const [name, value] of Object.entries(terms)) expect(actual.terms[name]).toBeCloseTo(value, 5);
  }

  // Predictions at x = 30, 9, 70; objects at 20, 70, 50.
  test.each([
    ['hungarian', [1, 2, 0], 11 + 0 + 20, { f1: 1, iou: (89 / 111 + 1 + 80 / 120) / 3 }, [1, 2, 0]],
    ['greedy', [0, 2, 1], 10 + 0 + 41, { f1: 2 / 3, iou: (90 / 110 + 1) / 2 }, [0, 2, -1]],
    ['in-order', [0, 1, 2], 10 + 61 + 20, { f1: 2 / 3, iou: (90 / 110 + 80 / 120) / 2 }, [0, -1, 2]],
  ] as const)('%s has its own pairs', (method, partners, distance, terms, overlapping) => {
    const xs = [30, 9, 70];
    const objects = [20, 70, 50];
    const count = { extends: 'perception-r1/counting-strict', matcher: { method } } as const;
    const points = { points: objects.map((x) => [x, 0]) };
    expectScored(score(count, dots(xs.map((x) => [x, 0])), points, { matches: true }), {
      matches: [...partners],
      terms: { count: 1, proximity: 1 - distance / 3 / (1000 * Math.SQRT2) },
    });
    const detect = {
      extends: 'perception-r1/detection-strict',
      matcher: { l1: 5, giou: 2, class: 1, minIou: 0.5, method },
    } as const;
    const at = (x: number): number[] => [x, 0, x + 100, 100];
    const boxes = { boxes: objects.map(at), labels: ['dog', 'dog', 'dog'] };
    const text = detections(...xs.map((x): [number[], string] => [at(x), 'dog']));
    expectScored(score(detect, text, boxes, { matches: true }), { matches: [...overlapping], terms });
  });

  test('hungarian is the default', () => {
    const text = detections([[12, 9, 100, 120], 'dog'], [dog, 'cat'], [cat, 'cat']);
    for (const name of ['perception-r1/detection', 'perception-r1/detection-strict'] as const) {
      const recipe: RecipeInput = {
        extends: name,
        matcher: { ...recipes[name].matcher, method: 'hungarian' },
      };
      expect(score(recipe, text, truth, { matches: true })).toEqual(
        score(name, text, truth, { matches: true }),
      );
    }
  });

  test('an item that cannot be used has no place in the order', () => {
    const recipe = {
      extends: 'perception-r1/detection-strict',
      matcher: { ...costs, method: 'in-order' },
    } as const;
    const text = detections([dog, 'dog'], [[9, 9, 1, 1], 'cat'], [cat, 'cat']);
    const { matches, terms } = score(recipe, text, truth, { matches: true });
    expect(matches).toEqual([0, 2]);
    expect(terms.f1).toBeCloseTo(0.8, 6);
    const swapped = score(recipe, detections([cat, 'cat'], [dog, 'dog']), truth, { matches: true });
    expect(swapped).toMatchObject({ matches: [-1, -1], terms: { f1: 0, missing: 2 } });
  });

  test.each(baselines)('%s: detections as the reference pairs them', (method) => {
    const labels = ['dog', 'cat', 'car'];
    const random = new Generator(41);
    for (let round = 0; round < 300; round++) {
      // Every third scene is on a coarse grid, where costs tie.
      const tied = round % 3 === 0;
      const scene = (count: number) => ({
        items: Array.from({ length: count }, () => {
          const [x, y] = tied
            ? [random.integer(0, 2), random.integer(0, 1)]
            : [random.next() * 60, random.next() * 60];
          const [w, h] = tied
            ? [2, random.integer(1, 2)]
            : [30 + random.next() * 40, 30 + random.next() * 40];
          return [x!, y!, x! + w!, y! + h!].map(Math.fround);
        }),
        labels: Array.from({ length: count }, () => labels[random.integer(0, 2)]!),
      });
      const [predicted, objects] = [scene(random.integer(0, 8)), scene(random.integer(0, 8))];
      const matcher = tied ? { l1: 1, giou: 0, class: 0, minIou: 0.3 } : { ...costs, minIou: 0.3 };
      const recipe = {
        extends: 'perception-r1/detection-strict',
        vocabulary: labels,
        matcher: { ...matcher, method },
      } as const;
      const actual = score(
        recipe,
        detections(...predicted.items.map((item, i): [number[], string] => [item, predicted.labels[i]!])),
        { boxes: objects.items, labels: objects.labels },
        { matches: true },
      );
      expectScored(actual, detection(predicted, objects, matcher, labels.length, method));
    }
  });

  test.each(baselines)('%s: points as the reference pairs them', (method) => {
    const random = new Generator(42);
    for (let round = 0; round < 300; round++) {
      const most = round % 3 === 0 ? 3 : 1000;
      const points = (count: number): number[][] =>
        Array.from({ length: count }, () => [random.integer(0, most), random.integer(0, most)]);
      const [predicted, objects] = [points(random.integer(0, 9)), points(random.integer(0, 9))];
      const recipe = { extends: 'perception-r1/counting-strict', matcher: { method } } as const;
      const actual = score(recipe, dots(predicted), { points: objects }, { matches: true });
      expectScored(actual, counting(predicted, objects, method));
    }
  });
});

test('numbers beyond what can be matched cost their own item, or as released the answer', () => {
  const points = { points: [[15, 15]] };
  const far = (x: string): string =>
    `<|object_ref_start|>dog<|object_ref_end|><|box_start|>(${x},0),(${x},0)<|box_end|><|im_end|>`;
  expect(score('perception-r1/counting', far('1e300'), points).reward).toBe(0);
  expect(score('perception-r1/counting', far('99999'), points).reward).toBeLessThan(0); // not clamped, as released
  const huge = detections([dog, 'dog'], [[0, 0, 1e30, 1e30], 'cat']);
  expect(score('perception-r1/detection', huge, truth).reward).toBe(0);
  const strict = score('perception-r1/detection-strict', huge, truth);
  expect(strict.terms.f1).toBeCloseTo(0.5, 6);
  expect(strict.faults).toEqual(['nonFinite']);
});

test('OCR: 1 - edit distance / longer length, in code points, without wrappers', () => {
  expect(score('perception-r1/ocr', 'kitten', { text: 'sitting' }).reward).toBeCloseTo(1 - 3 / 7, 6);
  expect(
    score('perception-r1/ocr', '<answer>page\u{1F680}</answer><|im_end|>', { text: 'page\u{1F680}' }).reward,
  ).toBe(1);
  expect(score('perception-r1/ocr', '', { text: '' }).reward).toBe(1);
  expect(score('perception-r1/ocr', '', { text: 'x' }).reward).toBe(0);
});

describe('coordinates', () => {
  const recipe = 'perception-r1/detection';
  const inImage = { ...truth, imageSize: [1000, 500] as const };

  test('predictions are brought into the space of the ground truth', () => {
    const perMille = detections([[10, 20, 110, 220], 'dog'], [[200, 400, 300, 600], 'cat']);
    expect(
      score(recipe, perMille, inImage, { coordinates: { predictions: 'per-mille' } }).reward,
    ).toBeCloseTo(3, 5);
    const unit = detections([[0.01, 0.02, 0.11, 0.22], 'dog'], [[0.2, 0.4, 0.3, 0.6], 'cat']);
    expect(score(recipe, unit, inImage, { coordinates: { predictions: 'unit' } }).reward).toBeCloseTo(3, 5);
    const resized = detections([[5, 10, 55, 110], 'dog'], [[100, 200, 150, 300], 'cat']);
    expect(score(recipe, resized, { ...inImage, resizedSize: [500, 500] }).reward).toBeCloseTo(3, 5);
    expect(
      score(recipe, resized, truth, { coordinates: { imageSize: [1000, 500], resizedSize: [500, 500] } })
        .reward,
    ).toBeCloseTo(3, 5);
  });

  test('conversion needs the image size, and says so', () => {
    expect(codeOf(() => score(recipe, '[]', truth, { coordinates: { predictions: 'unit' } }))).toBe(
      'INVALID_GROUND_TRUTH',
    );
    expect(codeOf(() => score('perception-r1/grounding', '', { box: dog }, { coordinates: 'pixels' }))).toBe(
      'INVALID_ARGUMENT',
    );
    const some = [inImage, truth];
    const request = { recipe, completions: ['[]', '[]'], groundTruth: some } as const;
    expect(codeOf(() => scoreCompletions(request))).toBe('no error'); // nothing to convert
    expect(() => scoreCompletions({ ...request, coordinates: { predictions: 'unit' } })).toThrow(
      'groundTruth[1].imageSize',
    );
    expect(codeOf(() => score(recipe, '[]', truth, { coordinates: 'percent' as never }))).toBe(
      'INVALID_ARGUMENT',
    );
  });

  test('most boxes outside the declared space give a warning', () => {
    const outside = detections([[1200, 10, 1300, 110], 'dog']);
    expect(score(recipe, outside, inImage).warnings).toEqual(['PREDICTIONS_OUTSIDE_SPACE']);
    expect(score(recipe, detections([dog, 'dog']), inImage).warnings).toEqual([]);
    // Numbers below 1 where pixels were declared; image sizes are not needed to see that.
    expect(score(recipe, detections([[0.1, 0.1, 0.2, 0.2], 'dog']), truth).warnings).toEqual([
      'PREDICTIONS_OUTSIDE_SPACE',
    ]);
    expect(score('perception-r1/counting', '', { points: [[0.5, 0.5]] }).warnings).toEqual([
      'GROUND_TRUTH_OUTSIDE_SPACE',
    ]);
  });
});

describe('groups', () => {
  const completions = [detections([dog, 'dog']), '', detections([dog, 'dog']), detections([dog, 'dog'])];

  test('one ground truth per completion or per group', () => {
    const perGroup = scoreCompletions({
      recipe: 'perception-r1/detection',
      completions,
      groundTruth: [truth, truth],
      groupSize: 2,
    });
    const each = scoreCompletions({
      recipe: 'perception-r1/detection',
      completions,
      groundTruth: [truth, truth, truth, truth],
      groupSize: 2,
    });
    expect(each).toEqual(perGroup);
    expect(perGroup.advantages[0]).toBeGreaterThan(0.7);
    expect(perGroup.advantages[1]).toBeLessThan(-0.7);
    expect([...perGroup.advantages.subarray(2)]).toEqual([0, 0]);
  });

  test('without groups every advantage is 0; ids and formula are the caller’s to choose', () => {
    const groundTruth = [truth, truth, truth, truth];
    const alone = scoreCompletions({ recipe: 'perception-r1/detection', completions, groundTruth });
    expect([...alone.advantages]).toEqual([0, 0, 0, 0]);
    const ids = scoreCompletions({
      recipe: 'perception-r1/detection',
      completions,
      groundTruth,
      advantages: { groupIds: Int32Array.of(7, 7, 7, -1), scale: 'none' },
    });
    expect(ids.advantages[1]).toBeCloseTo((-2 * ids.rewards[0]!) / 3, 5);
    expect(ids.advantages[3]).toBe(0);
  });

  test('nothing at all is legal', () => {
    const { rewards, terms } = scoreCompletions({
      recipe: 'perception-r1/ocr',
      completions: [],
      groundTruth: [],
    });
    expect([rewards.length, terms.similarity!.length]).toEqual([0, 0]);
  });
});

describe('recipes', () => {
  test('are frozen plain JSON', () => {
    for (const recipe of Object.values(recipes)) {
      expect(JSON.parse(JSON.stringify(recipe))).toEqual(recipe);
      expect(Object.isFrozen(recipe)).toBe(true);
      expect(Object.isFrozen(recipe.terms)).toBe(true);
    }
  });

  test('a preset written out scores as its name does', () => {
    const text = detections([dog, 'dog'], [[205, 200, 300, 300], 'cat']);
    for (const name of ['perception-r1/detection', 'perception-r1/detection-strict'] as const) {
      const copy = JSON.parse(JSON.stringify(recipes[name])) as RecipeInput;
      expect(score(copy, text, truth)).toEqual(score(name, text, truth));
    }
  });

  test('vocabularies: lists, ids, COCO', () => {
    expect(Object.keys(coco80).length).toBe(80);
    const zebrafish = { boxes: [dog], labels: ['zebrafish'] };
    const text = detections([dog, 'zebrafish']);
    expect(codeOf(() => score('perception-r1/detection', text, zebrafish))).toBe('INVALID_GROUND_TRUTH');
    for (const vocabulary of [['tetra', 'zebrafish'], { zebrafish: 40 }]) {
      expect(score({ extends: 'perception-r1/detection', vocabulary }, text, zebrafish).reward).toBeCloseTo(
        3,
        5,
      );
    }
    expect(
      score({ extends: 'perception-r1/detection', vocabulary: ['tetra', 'zebrafish'] }, text, {
        boxes: [dog],
        labels: [1],
      }).reward,
    ).toBeCloseTo(3, 5);
    expect(
      score('perception-r1/detection', detections([dog, 'dog']), {
        boxes: Float32Array.from(dog),
        labels: Int32Array.of(18),
      }).reward,
    ).toBeCloseTo(3, 5);
  });

  test('a changed vocabulary is not served from a cache', () => {
    const vocabulary = ['dog'];
    const recipe = { extends: 'perception-r1/detection', vocabulary } as const;
    expect(codeOf(() => score(recipe, '[]', { boxes: [cat], labels: ['cat'] }))).toBe('INVALID_GROUND_TRUTH');
    vocabulary.push('cat');
    expect(codeOf(() => score(recipe, '[]', { boxes: [cat], labels: ['cat'] }))).toBe('no error');
  });

  test('refuse what they cannot mean', () => {
    const bad = (recipe: unknown): string => codeOf(() => score(recipe as RecipeInput, '', truth));
    expect(bad('perception-r1/segmentation')).toBe('INVALID_RECIPE');
    expect(bad(null)).toBe('INVALID_RECIPE');
    expect(bad({})).toBe('INVALID_RECIPE');
    expect(bad({ extends: 'nothing' })).toBe('INVALID_RECIPE');
    expect(bad({ extends: 'perception-r1/detection', terms: { similarity: 1 } })).toBe('INVALID_RECIPE');
    expect(bad({ extends: 'perception-r1/detection', terms: {} })).toBe('INVALID_RECIPE');
    expect(bad({ extends: 'perception-r1/detection', terms: { f1: Number.NaN } })).toBe('INVALID_RECIPE');
    expect(bad({ extends: 'perception-r1/detection', reader: 'text' })).toBe('INVALID_RECIPE');
    expect(bad({ extends: 'perception-r1/detection', mising: 1 })).toBe('INVALID_RECIPE');
    expect(bad({ extends: 'perception-r1/detection', clamp: [3, 0] })).toBe('INVALID_RECIPE');
    expect(bad({ extends: 'perception-r1/detection', missingPenalty: -1 })).toBe('INVALID_RECIPE');
    expect(bad({ extends: 'perception-r1/detection', vocabulary: ['a', 'a'] })).toBe('INVALID_RECIPE');
    expect(bad({ extends: 'perception-r1/detection', vocabulary: [] })).toBe('INVALID_RECIPE');
    expect(bad({ extends: 'perception-r1/detection', matcher: { l1: 1 } })).toBe('INVALID_RECIPE');
    expect(bad({ extends: 'perception-r1/detection', matcher: undefined })).toBe('INVALID_RECIPE');
    expect(bad({ extends: 'perception-r1/counting', matcher: null })).toBe('INVALID_RECIPE');
    expect(bad({ extends: 'perception-r1/grounding', matcher: { method: 'greedy' } })).toBe('INVALID_RECIPE');
    const matcher = { l1: 5, giou: 2, class: 1, minIou: 0.5 };
    const said = (recipe: unknown) => () => score(recipe as RecipeInput, '', truth);
    expect(said({ extends: 'perception-r1/detection', matcher: { ...matcher, method: 'optimal' } })).toThrow(
      "recipe.matcher.method: expected 'hungarian' or 'greedy' or 'in-order', received \"optimal\"",
    );
    expect(said({ extends: 'perception-r1/counting', matcher: { method: 1 } })).toThrow(
      "recipe.matcher.method: expected 'hungarian' or 'greedy' or 'in-order', received 1",
    );
    expect(said({ extends: 'perception-r1/detection', matcher: { ...matcher, minIoU: 1 } })).toThrow(
      'recipe.matcher.minIoU: unknown member for detection; known are method, l1, giou, class, minIou',
    );
    expect(said({ extends: 'perception-r1/counting', matcher })).toThrow(
      'recipe.matcher.l1: unknown member for counting; known are method',
    );
  });
});

describe('bad ground truth and requests', () => {
  const bad = (recipe: RecipeName, groundTruth: unknown): string =>
    codeOf(() => score(recipe, '', groundTruth as GroundTruth));

  test('the wrong task, or numbers that are none', () => {
    expect(bad('perception-r1/detection', { text: 'x' })).toBe('INVALID_GROUND_TRUTH');
    expect(bad('perception-r1/detection', { boxes: [dog] })).toBe('INVALID_GROUND_TRUTH');
    expect(bad('perception-r1/detection', { boxes: [dog], labels: [] })).toBe('INVALID_GROUND_TRUTH');
    expect(bad('perception-r1/detection', { boxes: [dog], labels: [12] })).toBe('INVALID_GROUND_TRUTH'); // no such COCO id
    expect(bad('perception-r1/detection', { boxes: [[1, 2, 3]], labels: ['dog'] })).toBe(
      'INVALID_GROUND_TRUTH',
    );
    expect(bad('perception-r1/detection', { boxes: [[1, 2, 3, Number.NaN]], labels: ['dog'] })).toBe(
      'INVALID_GROUND_TRUTH',
    );
    expect(bad('perception-r1/detection', { boxes: [[5, 5, 1, 9]], labels: ['dog'] })).toBe(
      'INVALID_GROUND_TRUTH',
    );
    expect(bad('perception-r1/grounding', { boxes: [dog] })).toBe('INVALID_GROUND_TRUTH');
    expect(bad('perception-r1/grounding', { box: [] })).toBe('INVALID_GROUND_TRUTH');
    expect(bad('perception-r1/grounding', { box: '1,2,3,4' })).toBe('INVALID_GROUND_TRUTH');
    expect(bad('perception-r1/counting', { box: dog })).toBe('INVALID_GROUND_TRUTH');
    expect(bad('perception-r1/counting', { points: [1, 2, 3] })).toBe('INVALID_GROUND_TRUTH');
    expect(bad('perception-r1/ocr', { points: [] })).toBe('INVALID_GROUND_TRUTH');
    expect(bad('perception-r1/ocr', null)).toBe('INVALID_GROUND_TRUTH');
    expect(bad('perception-r1/counting', { points: [1, 2], imageSize: [0, 5] })).toBe('INVALID_GROUND_TRUTH');
  });

  test('the message names the entry and what was expected', () => {
    expect(() =>
      scoreCompletions({
        recipe: 'perception-r1/counting',
        completions: ['', ''],
        groundTruth: [{ points: [] }, { text: 'x' }],
      }),
    ).toThrow('groundTruth[1]: expected {points} for a counting recipe, received {text}');
  });

  test('sizes that do not fit', () => {
    const request = {
      recipe: 'perception-r1/ocr' as const,
      completions: ['a', 'b', 'c'],
      groundTruth: [{ text: 'a' }],
    };
    expect(codeOf(() => scoreCompletions(request))).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => scoreCompletions({ ...request, groupSize: 2 }))).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => scoreCompletions({ ...request, groupSize: 3 }))).toBe('no error');
    expect(
      codeOf(() => scoreCompletions({ ...request, groupSize: 3, completions: ['a', 2 as never, 'c'] })),
    ).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => scoreCompletions({ ...request, groupSize: 3, completions: 'abc' as never }))).toBe(
      'INVALID_ARGUMENT',
    );
    expect(codeOf(() => scoreCompletions({ ...request, groupSise: 3 } as never))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => scoreCompletions(undefined as never))).not.toBe('no error');
    expect(codeOf(() => scoreCompletions({ ...request, groupSize: 3, advantages: { groupSize: 1 } }))).toBe(
      'INVALID_ARGUMENT',
    );
  });
});

describe('parseCompletion', () => {
  test('gives boxes, labels, points and what was wrong with each', () => {
    const parsed = parseCompletion(
      'I see ```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "a dog"}, {"bbox_2d": [9, 9, 1], "label": "x"}, {"point_2d": [5, 6]}, {"bbox_2d": [4, 4, 1, 9]}, {"bbox_2d": [1,',
    );
    expect([...parsed.boxes]).toEqual([1, 2, 3, 4, 4, 4, 1, 9]);
    expect(parsed.labels).toEqual(['a dog', null]);
    expect([...parsed.boxFaults]).toEqual([0, faults.inverted]);
    expect([...parsed.points]).toEqual([5, 6]);
    expect(parsed.rejected.map((item) => describeStatus(item.faults))).toEqual([
      ['malformed'],
      ['truncated'],
    ]);
    expect(parsed.rejected[0]!.text).toBe('{"bbox_2d": [9, 9, 1], "label": "x"}');
    expect(describeStatus(parsed.status)).toEqual(['truncated', 'malformed', 'inverted']);
  });

  test('reads as a recipe reads', () => {
    expect([...parseCompletion('[0.1, 0.2, 0.3, 0.4]', { recipe: 'perception-r1/grounding' }).boxes]).toEqual(
      [100, 200, 300, 400],
    );
    expect(describeStatus(parseCompletion('oops', { recipe: 'perception-r1/detection' }).status)).toContain(
      'format',
    );
    expect(codeOf(() => parseCompletion('', { recipe: 'perception-r1/ocr' }))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => parseCompletion(5 as never))).toBe('INVALID_ARGUMENT');
  });

  test('a megabyte of openings is read', () => {
    for (const opening of [
      '[',
      '(',
      '{',
      '<|box_start|>',
      '<|object_ref_start|>',
      '{"bbox_2d":',
      "'",
      '<think>',
    ]) {
      const text = opening.repeat(1_000_000 / opening.length);
      expect(parseCompletion(text).boxes.length).toBe(0);
      for (const recipe of [
        'perception-r1/grounding',
        'perception-r1/detection',
        'perception-r1/counting',
      ] as const) {
        expect(parseCompletion(text, { recipe }).boxes.length).toBe(0);
      }
    }
  });
});
