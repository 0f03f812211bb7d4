import type { CoordinateChoice } from './coordinates.js';
import type { EvalTask, Evaluation, Findings } from './evaluation.js';
import type { Asked } from './join.js';
import type { Input } from './records.js';

/** Ground truth that has been read: what is asked, and how answers are judged. */
export interface Benchmark extends Asked {
  task: EvalTask;
  /** Detection only: the names of the categories. */
  categories?: readonly string[];
  /** The answers that came with the ground truth, one per item; undefined where none did. */
  answers: (string | null)[] | undefined;
  /**
   * @param answers to the first items, null where there is none
   * @throws PerceptionError
   */
  evaluate(
    answers: readonly (string | null)[],
    options: EvaluationOptions,
    findings: Findings,
  ): Promise<Evaluation>;
  /** Detection only: evaluates what a file of COCO results holds. */
  evaluateResults?(options: EvaluationOptions, findings: Findings): Promise<Evaluation>;
}

export interface EvaluationOptions {
  /** Of the answers. */
  coordinates: CoordinateChoice;
  /** Fill `items`, which the report draws. */
  items: boolean;
}

/** A task by the files that it reads. */
export interface TaskReader {
  /** Of ground truth and of answers, an example each. */
  truthFormats: readonly string[];
  answerFormats: readonly string[];
  /**
   * @param predictions for detection, which reads COCO's results together with its ground truth
   * @throws FileError, PerceptionError
   */
  read(truth: Input, findings: Findings, predictions?: Input): Promise<Benchmark>;
}
