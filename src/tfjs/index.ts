/**
 * The operations on TensorFlow.js tensors. On tfjs-node and tfjs-node-gpu they run as TensorFlow ops on TensorFlow's own
 * buffers, on every other backend on the tensors' values; {@link explainRoute} tells which.
 * @packageDocumentation
 */
export { PerceptionError } from '../errors.js';
export { type GroupAdvantagesOptions, groupAdvantages, groupAdvantagesAsync } from './advantages.js';
export {
  type LinearSumAssignmentOptions,
  linearSumAssignment,
  linearSumAssignmentAsync,
} from './assignment.js';
export { type PairwiseIouOptions, pairwiseIou, pairwiseIouAsync } from './iou.js';
export {
  type CountingRewardRequest,
  countingReward,
  countingRewardAsync,
  type DetectionRewardRequest,
  detectionReward,
  detectionRewardAsync,
  type GroundingRewardRequest,
  groundingReward,
  groundingRewardAsync,
  type TensorRewards,
} from './rewards.js';
export { explainRoute, type Route } from './route.js';
