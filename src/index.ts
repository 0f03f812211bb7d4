/**
 * The reward core of Perception-R1: boxes, assignments, advantages, edit distance, and the scoring of completions.
 * @packageDocumentation
 */
export { type ErrorCode, PerceptionError } from './errors.js';
export { type Info, info, setThreads } from './info.js';
export {
  type AdvantageBaseline,
  type AdvantageFormula,
  type AdvantageGroups,
  type AdvantageOptions,
  type AdvantageScale,
  type Advantages,
  groupAdvantages,
  groupAdvantagesAsync,
} from './ops/advantages.js';
export {
  type Assignment,
  type AssignmentBatch,
  type AssignmentOptions,
  linearSumAssignment,
  linearSumAssignmentAsync,
  linearSumAssignmentBatch,
  linearSumAssignmentBatchAsync,
} from './ops/assignment.js';
export {
  type BoxFormat,
  type DistanceOptions,
  type IouKind,
  type IouOptions,
  type PointMetric,
  pairwiseDistance,
  pairwiseDistanceAsync,
  pairwiseIou,
  pairwiseIouAsync,
  pairwiseIouBatch,
  pairwiseIouBatchAsync,
} from './ops/iou.js';
export { editDistance, editDistanceBatch, editDistanceBatchAsync } from './ops/text.js';
export type { Ragged, RaggedMatrices } from './ragged.js';
export type {
  CountingTruth,
  DetectionTruth,
  GroundingTruth,
  GroundTruth,
  Numbers,
  OcrTruth,
} from './rewards/ground-truth.js';
export { type ParsedCompletion, type ParseOptions, parseCompletion } from './rewards/parse.js';
export {
  type CoordinateSpace,
  type Matcher,
  type Reader,
  type Recipe,
  type RecipeInput,
  type RecipeName,
  recipes,
  type Task,
  type TermName,
} from './rewards/recipes.js';
export {
  type Coordinates,
  type ScoreRequest,
  type Scores,
  type ScoreWarning,
  scoreCompletions,
  scoreCompletionsAsync,
} from './rewards/score.js';
export { describeStatus, type FaultName, faults } from './rewards/status.js';
export { coco80, type VocabularyOption } from './rewards/vocabulary.js';
