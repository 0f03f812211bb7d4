import { perceptualPerplexity } from '../metrics/perplexity.js';
import type { Problem, Problems } from '../metrics/problems.js';

export const evalTasks = ['detection', 'grounding', 'counting', 'ocr'] as const;
export type EvalTask = (typeof evalTasks)[number];

/** What an evaluation is to the table, to `--json` and to the report. */
export interface Evaluation {
  task: EvalTask;
  /** Images or questions. */
  count: number;
  /** Shares are fractions; in the order in which they are shown. null: not available, `notes` says why. */
  figures: Record<string, number | null>;
  /** Why a figure is null, and the like. */
  notes: string[];
  /** What in the files could not be used. */
  problems: Problem[];
  /** The same figures of the parts of a file with several sets. */
  sets?: { name: string; count: number; figures: Record<string, number | null> }[];
  /** Detection only: the categories that have an object to find. */
  categories?: CategoryFigures[];
  /** Detection only, [101] each: precision over recall 0, 0.01 .. 1, means over categories. */
  curves?: { name: string; precision: Float64Array }[];
  /** Filled where a report is wanted. */
  items: EvaluatedItem[];
}

/** Fractions. */
export interface CategoryFigures {
  name: string;
  /** Objects to find. */
  objects: number;
  detections: number;
  AP: number;
  AP50: number;
  AR100: number;
}

/** One image or question, as the report draws it. */
export interface EvaluatedItem {
  /** File name, else id. */
  name: string;
  /** Below the image folder. */
  file?: string;
  size?: { width: number; height: number };
  /** Higher is better; the worst and the best items are told by it. */
  score: number;
  /** 'F1 0.67: 2 of 3 found, 1 wrong' */
  summary: string;
  question?: string;
  /** What the model wrote, its first characters. */
  answer?: string;
  /** Of the boxes and points. */
  space: 'pixels' | 'per-mille';
  /** Empty for OCR. */
  truth: LabelledBoxes;
  predictions: LabelledBoxes;
  /** Detection and grounding: the object that each prediction matched at IoU 0.5, -1 for none. */
  matches?: Int32Array;
  /** Counting only: numbers of objects; null: no answer. */
  counts?: { truth: number; prediction: number | null };
  /** OCR only, their first characters. */
  texts?: { truth: string; prediction: string };
}

export interface LabelledBoxes {
  /** x1 y1 x2 y2 each. */
  boxes: Float32Array;
  /** One per box. */
  labels: (string | null)[];
  /** x y each. */
  points?: Float32Array;
  /** Of the truth: 1 for objects that need not be found, such as COCO's crowds. */
  ignored?: Uint8Array;
}

/** What is to be said about an evaluation, gathered on the way. */
export interface Findings {
  problems: Problems;
  notes: string[];
}

/** Texts that the report shows are cut to this many characters. */
const shownCharacters = 4000;

/** The beginning of a text, for an item. */
export const excerpt = (text: string): string =>
  text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text;

/** The perceptual perplexity of images with so many objects each, as two figures. */
export function perplexityFigures(
  counts: ArrayLike<number>,
  { notes }: Findings,
): Record<string, number | null> {
  const { mean, log10Mean } = perceptualPerplexity(counts);
  if (!Number.isFinite(mean)) {
    notes.push('The perceptual perplexity is larger than any number; its decimal logarithm is given.');
  }
  return {
    perceptualPerplexity: Number.isFinite(mean) ? mean : null,
    perceptualPerplexityLog10: log10Mean,
  };
}

const labels: Readonly<Record<string, string>> = {
  meanIou: 'mean IoU',
  average: 'average of @0.5, @0.75, @0.95',
  centerAccuracy: 'centre accuracy',
  accuracy: 'exact accuracy',
  missing: 'without an answer',
  normalizedEditDistance: 'normalised edit distance',
  f1: 'F1',
  precision: 'precision',
  recall: 'recall',
  bleu: 'BLEU-4',
  meteor: 'METEOR',
  exact: 'exact',
  perceptualPerplexityLog10: 'perceptual perplexity',
};

/** Figures that are no shares. */
const plain: ReadonlySet<string> = new Set(['MAE', 'RMSE']);

/**
 * Figures for people, as the papers print them: shares in percent with one digit. The perplexity, which no number may
 * hold, is told from its logarithm.
 */
export function figureRows(
  figures: Readonly<Record<string, number | null>>,
): { name: string; label: string; text: string }[] {
  return Object.entries(figures)
    .filter(([name]) => name !== 'perceptualPerplexity')
    .map(([name, value]) => ({ name, label: labels[name] ?? name, text: figureText(name, value) }));
}

function figureText(name: string, value: number | null): string {
  if (value === null) return '-';
  if (name === 'missing') return String(value);
  if (name === 'perceptualPerplexityLog10') return powerOfTen(value);
  return plain.has(name) ? value.toFixed(3) : (100 * value).toFixed(1);
}

/** 10 to the power of `exponent`: '1', '229202', '3.47e+83'. */
function powerOfTen(exponent: number): string {
  const whole = Math.floor(exponent);
  if (whole < 6) return String(Number((10 ** exponent).toFixed(exponent < 2 ? 2 : 0)));
  const mantissa = (10 ** (exponent - whole)).toFixed(2);
  return mantissa === '10.00' ? `1.00e+${whole + 1}` : `${mantissa}e+${whole}`;
}
