import { describe } from '../errors.js';
import { evaluateOcr } from '../metrics/ocr.js';
import { answerText } from '../metrics/text/answer.js';
import type { Benchmark, EvaluationOptions, TaskReader } from './benchmark.js';
import {
  type EvaluatedItem,
  type Evaluation,
  excerpt,
  type Findings,
  perplexityFigures,
} from './evaluation.js';
import { groundTruthOf, type ItemWithTruth, nameOf, readDataset, Unusable } from './items.js';
import { type Fields, isObject } from './records.js';

export const ocrTask: TaskReader = {
  truthFormats: [
    'PR1 annotations: [{"image": "a.png", "conversations": [{...}, {"value": "the text"}], "output": "what was read"}, ...]',
    'Pairs: [{"label": "what was read", "answer": "the text"}, ...]',
    'JSON lines: {"groundTruth": {"text": "the text"}, "image": "a.png", "completion": "what was read"}',
  ],
  answerFormats: [
    'JSON lines: {"key" or "id" or "image": "...", "completion" or "output" or "model_output": "..."}',
  ],
  async read(input, findings): Promise<Benchmark> {
    const { items, records, answers } = await readDataset(input, findings, readTruth);
    return {
      task: 'ocr',
      noun: 'questions',
      items,
      records,
      answers,
      evaluate: async (given, options, found) =>
        evaluate(items.slice(0, given.length), given, options, found),
    };
  },
};

function readTruth(fields: Fields): { truth: string; answer?: string } {
  const { conversations, label, answer } = fields;
  const own = groundTruthOf(fields);
  if (own) return { truth: text(own.text, 'groundTruth.text') };
  if (Array.isArray(conversations)) {
    const turn: unknown = conversations[1];
    return { truth: text(isObject(turn) ? turn.value : turn, 'conversations[1].value') };
  }
  const truth = text(answer, 'groundTruth.text, conversations[1].value or answer');
  return { truth, ...(typeof label === 'string' && { answer: label }) };
}

function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw new Unusable(`${name}: expected a text, received ${describe(value)}`);
  return value;
}

function evaluate(
  items: readonly ItemWithTruth<string>[],
  answers: readonly (string | null)[],
  options: EvaluationOptions,
  findings: Findings,
): Evaluation {
  const summary = evaluateOcr(
    items.map(({ truth }) => truth),
    answers,
  );
  const { count, missing, normalizedEditDistance, exact, precision, recall, f1, bleu, meteor } = summary;
  for (const reason of new Set(Object.values(summary.unavailable))) findings.notes.push(reason);
  return {
    task: 'ocr',
    count,
    figures: {
      normalizedEditDistance,
      f1,
      precision,
      recall,
      bleu,
      meteor,
      exact,
      missing,
      ...perplexityFigures(new Uint8Array(count).fill(1), findings),
    },
    notes: findings.notes,
    problems: findings.problems.list(),
    items: options.items ? items.map((item, i) => itemOf(item, answers[i]!, summary.editDistances[i]!)) : [],
  };
}

function itemOf(item: ItemWithTruth<string>, answer: string | null, distance: number): EvaluatedItem {
  const { image, question, size, truth } = item;
  return {
    name: nameOf(item),
    ...(image !== undefined && { file: image }),
    ...(size && { size }),
    score: 1 - distance,
    summary: answer === null ? 'no answer' : `edit distance ${(100 * distance).toFixed(1)} %`,
    ...(question !== undefined && { question }),
    ...(answer !== null && { answer: excerpt(answer) }),
    space: 'pixels',
    truth: { boxes: new Float32Array(0), labels: [] },
    predictions: { boxes: new Float32Array(0), labels: [] },
    texts: { truth: excerpt(truth), prediction: excerpt(answerText(answer ?? '')) },
  };
}
