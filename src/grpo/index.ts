/**
 * Group relative policy optimisation of small models that see, over TensorFlow.js tensors: losses, trainers, a policy, tasks
 * on handwriting, and the folders that runs are kept in. docs/grpo.md begins with an example.
 * @packageDocumentation
 */
export { PerceptionError } from '../errors.js';
export { Random } from '../random.js';
export type { LabelledBox } from '../report/drawing.js';
export { type BackendName, type ChosenBackend, useBackend } from './backend.js';
export {
  type CommonConfig,
  type EvaluationConfig,
  type GrpoConfig,
  type OptimizerConfig,
  resolveConfig,
  type SupervisedConfig,
  type TaskConfig,
  type TrainConfig,
  type TrainOptions,
} from './config.js';
export type { Stage } from './defaults.js';
export { type Answer, type EvaluateOptions, type Evaluation, evaluatePolicy } from './evaluate.js';
export {
  loadWeights,
  type OptimizerOptions,
  type StoredTensor,
  storedWeights,
  type TrainingState,
  type TrainingStep,
} from './learner.js';
export {
  type GrpoLossInputs,
  type GrpoLossOptions,
  type GrpoLossType,
  grpoDiagnostics,
  grpoLoss,
  grpoPresets,
  type KlEstimator,
} from './loss.js';
export type { WeightedTask } from './mixture.js';
export {
  VisionPolicy,
  type VisionPolicyOptions,
  type VisionSize,
  type VisionSizeName,
  visionSizes,
} from './model/vision-policy.js';
export {
  AdamW,
  type AdamWOptions,
  type AdamWResult,
  type AdamWState,
  type AdamWStep,
  type LearningRateOptions,
  learningRateSchedule,
} from './optimizer.js';
export type { Policy, Prompt, Rollout, SampleOptions, TokenLogProbs } from './policy.js';
export type { ScoringRoute } from './rollouts.js';
export {
  type Checkpoint,
  readCheckpoint,
  type WriteCheckpointOptions,
  writeCheckpoint,
} from './run/checkpoint.js';
export { RunFolder, type SampleSet, type StepLine } from './run/folder.js';
export { type Overview, overviewSvg } from './run/overview.js';
export { type ProgressOptions, startProgress, type TrainingProgress } from './run/progress.js';
export type { Sample, Scene } from './run/scene.js';
export { type SampleTokensOptions, sampleTokens } from './sampling.js';
export { type SupervisedOptions, SupervisedTrainer } from './supervised.js';
export {
  createTask,
  type Example,
  type SceneObject,
  type Split,
  type Task,
  type TaskName,
  type TaskOptions,
  taskNames,
} from './tasks/index.js';
export { BoxTokenizer, type BoxTokenizerOptions, type Tokenizer } from './tokenizer.js';
export {
  type Evaluated,
  resumeTraining,
  type TrainObserver,
  type TrainResult,
  type TrainRunOptions,
  train,
} from './train.js';
export { type GrpoOptions, GrpoTrainer } from './trainer.js';
