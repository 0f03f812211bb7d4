/**
 * The reward core of Perception-R1: boxes, assignments, advantages, edit distance, and the scoring of completions.
 * @packageDocumentation
 */
export type { DeviceChoice, DeviceOption } from './device/choose.js';
export { type DeviceArray, type DeviceDtype, DeviceTensor } from './device/tensor.js';
export { type ErrorCode, PerceptionError } from './errors.js';
export { type CudaInfo, type GpuInfo, type Info, info, setThreads } from './info.js';
export {
  type AdvantageBaseline,
  type AdvantageFormula,
  type AdvantageGroups,
  type AdvantageOptions,
  type AdvantageScale,
  type Advantages,
  type ArrayAdvantageOptions,
  type DeviceAdvantages,
  groupAdvantages,
  groupAdvantagesAsync,
} from './ops/advantages.js';
export {
  type Assignment,
  type AssignmentBatch,
  type AssignmentOptions,
  type DeviceAssignmentBatch,
  type DeviceAssignmentOptions,
  type DeviceCosts,
  linearSumAssignment,
  linearSumAssignmentAsync,
  linearSumAssignmentBatch,
  linearSumAssignmentBatchAsync,
} from './ops/assignment.js';
export {
  type BoxFormat,
  type DeviceDistanceOptions,
  type DeviceIouOptions,
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
export {
  type DeviceObjectsRequest,
  type ObjectScores,
  type ObjectsRequest,
  type Padded,
  scoreObjects,
  scoreObjectsAsync,
} from './rewards/objects.js';
export { type ParsedCompletion, type ParseOptions, parseCompletion } from './rewards/parse.js';
export {
  type CoordinateSpace,
  type Matcher,
  type MatchingMethod,
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
