/** What other implementations returned for given inputs: the released Perception-R1 rewards, rapidfuzz and nltk, scipy. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import {
  editDistanceBatch,
  linearSumAssignment,
  PerceptionError,
  type RecipeInput,
  scoreCompletions,
} from '../src/index.js';
import { fixtureProblem } from './reference/assignment.js';

function fixture<T>(name: string): T {
  return JSON.parse(
    gunzipSync(readFileSync(new URL(`fixtures/${name}.json.gz`, import.meta.url))).toString(),
  ) as T;
}

/** The positions where two lists differ by more than `tolerance`. */
function differences(actual: ArrayLike<number>, expected: readonly number[], tolerance: number): string[] {
  expect(actual.length).toBe(expected.length);
  return expected.flatMap((value, i) =>
    Math.abs(actual[i]! - value) <= tolerance ? [] : [`${i}: expected ${value}, received ${actual[i]}`],
  );
}

interface Case<S> {
  kind: string;
  completion: string;
  solution: S;
}

describe('released Perception-R1 rewards', () => {
  test('detection, with and without its penalty, on 400 completions', () => {
    type Detection = Case<{ target_id: number[]; target_box: number[][] }> & {
      reward_penalty: number;
      reward_no_penalty: number;
    };
    const { cases } = fixture<{ cases: Detection[] }>('pr1_detection');
    const score = (recipe: RecipeInput | 'perception-r1/detection' | 'perception-r1/detection-no-penalty') =>
      scoreCompletions({
        recipe,
        completions: cases.map((c) => c.completion),
        groundTruth: cases.map((c) => ({ boxes: c.solution.target_box, labels: c.solution.target_id })),
      }).rewards;
    expect(cases.length).toBe(400);
    expect(
      differences(
        score('perception-r1/detection'),
        cases.map((c) => c.reward_penalty),
        1e-4,
      ),
    ).toEqual([]);
    const withoutPenalty = cases.map((c) => c.reward_no_penalty);
    expect(differences(score('perception-r1/detection-no-penalty'), withoutPenalty, 1e-4)).toEqual([]);
    expect(
      differences(score({ extends: 'perception-r1/detection', missingPenalty: 0 }), withoutPenalty, 1e-4),
    ).toEqual([]);
  });

  test('counting, on 300 completions', () => {
    const { cases } = fixture<{ cases: (Case<number[][]> & { reward: number })[] }>('pr1_counting');
    const { rewards } = scoreCompletions({
      recipe: 'perception-r1/counting',
      completions: cases.map((c) => c.completion),
      groundTruth: cases.map((c) => ({ points: c.solution })),
    });
    expect(cases.length).toBe(300);
    expect(
      differences(
        rewards,
        cases.map((c) => c.reward),
        1e-4,
      ),
    ).toEqual([]);
  });

  test('grounding and its format reward, on 300 completions', () => {
    const { cases } = fixture<{ cases: (Case<number[]> & { reward: number | null; format: number })[] }>(
      'pr1_grounding',
    );
    const { rewards, terms } = scoreCompletions({
      recipe: 'perception-r1/grounding',
      completions: cases.map((c) => c.completion),
      groundTruth: cases.map((c) => ({ box: c.solution })),
    });
    // The released code divides by zero where both boxes have no area; that is 0 here.
    const iou = cases.map((c) => c.reward ?? 0);
    expect(cases.length).toBe(300);
    expect(differences(terms.iou!, iou, 1e-4)).toEqual([]);
    expect(
      differences(
        terms.format!,
        cases.map((c) => c.format),
        0,
      ),
    ).toEqual([]);
    expect(
      differences(
        rewards,
        cases.map((c, i) => iou[i]! + c.format),
        1e-4,
      ),
    ).toEqual([]);
  });
});

describe('OCR', () => {
  interface Page {
    prediction: string;
    reference: string;
    edit_distance: number;
    normalized_edit_distance: number;
    bleu?: number;
    precision?: number;
    recall?: number;
    f_measure?: number;
  }
  const { cases } = fixture<{ cases: Page[] }>('ocr_text');

  test('edit distance of 160 pages is exact', () => {
    const distances = editDistanceBatch(
      cases.map((c) => c.prediction),
      cases.map((c) => c.reference),
    );
    expect(cases.length).toBe(160);
    expect(Array.from(distances)).toEqual(cases.map((c) => c.edit_distance));
  });

  test('the reward and the token measures', () => {
    const score = (pages: Page[], terms: RecipeInput['terms']) =>
      scoreCompletions({
        recipe: { extends: 'perception-r1/ocr', terms: terms! },
        completions: pages.map((c) => c.prediction),
        groundTruth: pages.map((c) => ({ text: c.reference })),
      });
    const all = score(cases, { similarity: 1 });
    expect(
      differences(
        all.rewards,
        cases.map((c) => 1 - c.normalized_edit_distance),
        1e-6,
      ),
    ).toEqual([]);

    const english = cases.filter((c) => c.bleu !== undefined);
    expect(english.length).toBeGreaterThan(90);
    const { terms } = score(english, { similarity: 1, precision: 0, recall: 0, f1: 0, bleu: 0 });
    expect(
      differences(
        terms.bleu!,
        english.map((c) => c.bleu!),
        1e-6,
      ),
    ).toEqual([]);
    expect(
      differences(
        terms.precision!,
        english.map((c) => c.precision!),
        1e-6,
      ),
    ).toEqual([]);
    expect(
      differences(
        terms.recall!,
        english.map((c) => c.recall!),
        1e-6,
      ),
    ).toEqual([]);
    expect(
      differences(
        terms.f1!,
        english.map((c) => c.f_measure!),
        1e-6,
      ),
    ).toEqual([]);
  });
});

test("scipy's answers to 2,000 assignments: same total and, ties included, same pairs", () => {
  const { answers } = fixture<{ answers: ([number, number[], number[]] | null)[] }>('scipy_assignment');
  expect(answers.length).toBe(2000);
  let infeasible = 0;
  const wrong: number[] = [];
  answers.forEach((answer, index) => {
    const { cost, rows, cols, maximize } = fixtureProblem(index);
    if (answer === null) {
      infeasible++;
      expect(() => linearSumAssignment(cost, rows, cols, { maximize })).toThrow(PerceptionError);
      return;
    }
    const result = linearSumAssignment(cost, rows, cols, { maximize });
    const same =
      Math.abs(result.cost - answer[0]) <= 1e-9 * Math.max(1, Math.abs(answer[0])) &&
      Array.from(result.rowIndices).join() === answer[1].join() &&
      Array.from(result.columnIndices).join() === answer[2].join();
    if (!same) wrong.push(index);
  });
  expect(wrong).toEqual([]);
  expect(infeasible).toBeGreaterThan(20);
});
