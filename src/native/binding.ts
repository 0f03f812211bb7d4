/**
 * Everything the add-on exports; native/node/ is the other side. Arguments are flat typed arrays and numbers, results go
 * into arrays that the caller allocates. With `async` true a function copies its inputs, works off this thread and
 * returns a promise.
 */
export interface Binding {
  info(): { threads: number; hardwareThreads: number; variant: string; compiler: string };
  setThreads(threads: number): void;
  pairwiseIou(
    a: Float32Array,
    b: Float32Array,
    kind: number,
    format: number,
    out: Float32Array,
    async: boolean,
  ): Result<void>;
  pairwiseIouBatch(
    a: Float32Array,
    aOffsets: Int32Array,
    b: Float32Array,
    bOffsets: Int32Array,
    kind: number,
    format: number,
    outOffsets: Int32Array,
    out: Float32Array,
    async: boolean,
  ): Result<void>;
  pairwiseDistance(
    a: Float32Array,
    b: Float32Array,
    metric: number,
    out: Float32Array,
    async: boolean,
  ): Result<void>;
  linearSumAssignment(
    cost: Float32Array | Float64Array,
    rows: number,
    cols: number,
    maximize: boolean,
    columnOfRow: Int32Array,
    async: boolean,
  ): Result<number>;
  linearSumAssignmentBatch(
    costs: Float32Array | Float64Array,
    offsets: Int32Array,
    rows: Int32Array,
    cols: Int32Array,
    maximize: boolean,
    rowOffsets: Int32Array,
    columnOfRow: Int32Array,
    totals: Float64Array,
    async: boolean,
  ): Result<void>;
  groupAdvantages(
    rewards: Float32Array,
    groups: Int32Array,
    byId: boolean,
    groupCount: number,
    options: NativeAdvantageOptions,
    advantages: Float32Array,
    mean: Float32Array,
    std: Float32Array,
    async: boolean,
  ): Result<void>;
  editDistance(
    a: Uint8Array,
    aOffsets: Int32Array,
    b: Uint8Array,
    bOffsets: Int32Array,
    distances: Int32Array,
    async: boolean,
  ): Result<void>;
  score(request: NativeScoreRequest, async: boolean): Result<SpaceCounts>;
  evaluateDetections(request: NativeDetectionRequest, async: boolean): Result<void>;
  averagePrecision(request: NativeAveragePrecisionRequest, async: boolean): Result<void>;
  /** Paths of a ground truth and of results. Always off this thread. */
  loadCoco(groundTruth: string, detections: string | undefined): Promise<NativeCocoDataset>;
  /** Padded `[batch, n, 4]` x `[batch, m, 4]`; counts `[batch]` or empty for all rows. */
  pairwiseIouPadded(
    a: Float32Array,
    aCounts: Int32Array,
    b: Float32Array,
    bCounts: Int32Array,
    batch: number,
    n: number,
    m: number,
    kind: number,
    format: number,
    out: Float32Array,
    async: boolean,
  ): Result<void>;
  pairwiseIouGradient(
    a: Float32Array,
    aCounts: Int32Array,
    b: Float32Array,
    bCounts: Int32Array,
    batch: number,
    n: number,
    m: number,
    kind: number,
    format: number,
    grad: Float32Array,
    gradA: Float32Array,
    gradB: Float32Array,
    async: boolean,
  ): Result<void>;
  /** Padded `[batch, rows, cols]`; counts `[batch]` or empty for all. */
  linearSumAssignmentPadded(
    costs: Float32Array,
    batch: number,
    rows: number,
    cols: number,
    rowCounts: Int32Array,
    colCounts: Int32Array,
    maximize: boolean,
    columnOfRow: Int32Array,
    async: boolean,
  ): Result<void>;
  scoreTensors(request: NativeTensorScoreRequest, async: boolean): Result<void>;
  /**
   * Registers the operations in the libtensorflow that is loaded in this process (native/tensorflow). Every call after
   * the first tells what the first one found.
   */
  registerTensorflow(): { registered: boolean; reason: string; library: string; gpuReason: string };
  /** Keeps a recipe for the TensorFlow op PerceptionR1Score; equal ones get the same number. */
  tensorflowRecipe(recipe: NativeRecipe): number;
  /** Keeps a formula for the TensorFlow op PerceptionR1GroupAdvantages; equal ones get the same number. */
  tensorflowFormula(formula: NativeAdvantageOptions): number;
  parse(text: string, reader: number, vocabulary: NativeVocabulary | undefined): NativeParsed;
  /** Loads the CUDA plug-in where nothing has yet. */
  cudaInfo(): NativeCudaInfo;
  /** Copies to the device's memory. */
  cudaUpload(bytes: Uint8Array, device: number): DeviceHandle;
  /** Waits, and throws what the operations that made the memory found wrong. */
  cudaDownload(handle: DeviceHandle, bytes: Uint8Array, async: boolean): Result<void>;
  /** Operations that work with it keep the memory until they are done. */
  cudaRelease(handle: DeviceHandle): void;
  /**
   * The operations on the GPU. Arrays of one call are handles, or typed arrays that go there and back; result arrays are
   * typed arrays, or undefined: then handles are returned, in the order of these arguments. A synchronous call that
   * returns handles has only queued its work.
   */
  cudaPairwiseIou(
    device: number,
    a: OnDevice<Float32Array>,
    aCounts: OnDevice<Int32Array> | undefined,
    b: OnDevice<Float32Array>,
    bCounts: OnDevice<Int32Array> | undefined,
    batch: number,
    n: number,
    m: number,
    kind: number,
    format: number,
    out: Float32Array | undefined,
    async: boolean,
  ): Result<DeviceHandle[]>;
  cudaPairwiseIouBatch(
    device: number,
    a: OnDevice<Float32Array>,
    aOffsets: Int32Array,
    b: OnDevice<Float32Array>,
    bOffsets: Int32Array,
    kind: number,
    format: number,
    out: Float32Array | undefined,
    async: boolean,
  ): Result<DeviceHandle[]>;
  cudaPairwiseDistance(
    device: number,
    a: OnDevice<Float32Array>,
    b: OnDevice<Float32Array>,
    metric: number,
    out: Float32Array | undefined,
    async: boolean,
  ): Result<DeviceHandle[]>;
  cudaLinearSumAssignmentPadded(
    device: number,
    costs: OnDevice<Float32Array | Float64Array>,
    float64: boolean,
    batch: number,
    rows: number,
    cols: number,
    rowCounts: OnDevice<Int32Array> | undefined,
    colCounts: OnDevice<Int32Array> | undefined,
    maximize: boolean,
    columnOfRow: Int32Array | undefined,
    totals: Float64Array | undefined,
    async: boolean,
  ): Result<DeviceHandle[]>;
  cudaLinearSumAssignmentBatch(
    device: number,
    costs: OnDevice<Float32Array | Float64Array>,
    float64: boolean,
    offsets: Int32Array,
    rows: Int32Array,
    cols: Int32Array,
    maximize: boolean,
    columnOfRow: Int32Array | undefined,
    totals: Float64Array | undefined,
    async: boolean,
  ): Result<DeviceHandle[]>;
  cudaGroupAdvantages(
    device: number,
    rewards: OnDevice<Float32Array>,
    groups: Int32Array,
    byId: boolean,
    groupCount: number,
    options: NativeAdvantageOptions,
    advantages: Float32Array | undefined,
    mean: Float32Array | undefined,
    std: Float32Array | undefined,
    async: boolean,
  ): Result<DeviceHandle[]>;
  cudaEditDistance(
    device: number,
    a: Uint8Array,
    aOffsets: Int32Array,
    b: Uint8Array,
    bOffsets: Int32Array,
    distances: Int32Array,
    async: boolean,
  ): Result<void>;
  /** Handles: rewards, advantages, mean, std and then those of the terms. */
  cudaScoreObjects(device: number, request: NativeDeviceScoreRequest, async: boolean): Result<DeviceHandle[]>;
}

export type Result<T> = T | Promise<T>;

/** Memory of a GPU, freed when this is collected or released. */
export interface DeviceHandle {
  readonly __deviceHandle: never;
}

type OnDevice<T> = T | DeviceHandle;

export interface NativeCudaInfo {
  /** Why no GPU can be used; empty where one can. */
  reason: string;
  /** The plug-in's file; empty where none was loaded. */
  path: string;
  description: string;
  devices: { name: string; major: number; minor: number; multiprocessors: number; memory: number }[];
  /** How much memory handles and the operations that work with it hold, in all threads. */
  tensors: number;
  bytes: number;
}

export interface NativeAdvantageOptions {
  scale: number;
  baseline: number;
  epsilon: number;
  ddof: number;
  clipLow: number;
  clipHigh: number;
}

/** core/reward/recipe.h as numbers. */
export interface NativeRecipe {
  task: number;
  reader: number;
  terms: Int32Array;
  weights: Float64Array;
  clampLow: number;
  clampHigh: number;
  /** -1: formulas are evaluated in the ground truth's space. */
  space: number;
  formatGate: boolean;
  countFaulty: boolean;
  formatOnlyWithoutMatch: boolean;
  iouPower: number;
  iouEpsilon: number;
  costL1: number;
  costGiou: number;
  costClass: number;
  minIou: number;
  classes: number;
  /** How predictions and objects are paired. */
  matching: number;
}

export interface NativeVocabulary {
  bytes: Uint8Array;
  offsets: Int32Array;
  ids: Int32Array;
}

/** core/reward/score.h: request and result in one object. */
export interface NativeScoreRequest {
  recipe: NativeRecipe;
  vocabulary: NativeVocabulary | undefined;
  completions: Uint8Array;
  completionOffsets: Int32Array;
  completionsPerTruth: number;
  predictionSpace: number;
  truthSpace: number;
  truthOffsets: Int32Array | undefined;
  truthCoordinates: Float64Array | undefined;
  truthLabels: Int32Array | undefined;
  truthTexts: Uint8Array | undefined;
  truthTextOffsets: Int32Array | undefined;
  imageSizes: Float64Array | undefined;
  resizedSizes: Float64Array | undefined;
  groupOffsets: Int32Array | undefined;
  groupOf: Int32Array | undefined;
  groups: number;
  advantage: NativeAdvantageOptions;
  rewards: Float32Array;
  terms: Float32Array;
  advantages: Float32Array;
  status: Uint8Array;
  matches: Int32Array | undefined;
  matchOffsets: Int32Array | undefined;
}

/** core/reward/score_tensors.h: request and result in one object. */
export interface NativeTensorScoreRequest {
  recipe: NativeRecipe;
  count: number;
  predictionsPerTruth: number;
  /** `[count, predictionRows, 4]`, points `[count, predictionRows, 2]`. */
  predictions: Float32Array;
  predictionRows: number;
  /** Detection; else empty. */
  predictionLabels: Int32Array;
  predictionCounts: Int32Array;
  truth: Float32Array;
  truthRows: number;
  truthLabels: Int32Array;
  truthCounts: Int32Array;
  rewards: Float32Array;
  terms: Float32Array;
}

/** As NativeTensorScoreRequest, on the GPU and with advantages. Labels and counts are undefined where there are none. */
export interface NativeDeviceScoreRequest {
  recipe: NativeRecipe;
  count: number;
  predictionsPerTruth: number;
  predictions: OnDevice<Float32Array>;
  predictionRows: number;
  predictionLabels: OnDevice<Int32Array> | undefined;
  predictionCounts: OnDevice<Int32Array> | undefined;
  truth: OnDevice<Float32Array>;
  truthRows: number;
  truthLabels: OnDevice<Int32Array> | undefined;
  truthCounts: OnDevice<Int32Array> | undefined;
  advantage: NativeAdvantageOptions;
  /** These five are typed arrays, or all undefined. */
  rewards: Float32Array | undefined;
  terms: Float32Array | undefined;
  advantages: Float32Array | undefined;
  mean: Float32Array | undefined;
  std: Float32Array | undefined;
}

/** core/metrics/detection.h: DetectionTruth and Detections. */
export interface NativeObjectLists {
  truthBoxes: Float64Array;
  truthCategories: Int32Array;
  truthOffsets: Int32Array;
  /** NaN: the box's own. */
  truthAreas: Float64Array;
  truthCrowd: Uint8Array;
  truthIgnore: Uint8Array;
  boxes: Float64Array;
  categories: Int32Array;
  offsets: Int32Array;
  scores: Float64Array;
}

/** core/metrics/detection.h: DetectionProtocol. */
export interface NativeDetectionProtocol {
  format: number;
  categoryCount: number;
  byCategory: boolean;
  thresholds: Float64Array;
  areaRanges: Float64Array;
  maxDetections: Int32Array;
}

/** core/metrics/detection.h: request and result in one object. */
export interface NativeDetectionRequest extends NativeDetectionProtocol, NativeObjectLists {
  averagePrecision: Float64Array;
  recall: Float64Array;
  objects: Int32Array;
  precision: Float64Array | undefined;
  scoresAtRecall: Float64Array | undefined;
  matches: Int32Array | undefined;
  ignored: Uint8Array | undefined;
  ignoredTruth: Uint8Array | undefined;
}

export interface NativeAveragePrecisionRequest extends NativeDetectionProtocol, NativeObjectLists {
  perTruth: number;
  out: Float32Array;
}

/** core/metrics/coco_files.h: boxes of all images one after the other, labels being places in the categories. */
interface NativeCocoObjects {
  boxes: Float64Array;
  labels: Int32Array;
  offsets: Int32Array;
}

/** core/metrics/coco_files.h: CocoDataset. */
export interface NativeCocoDataset {
  imageIds: Float64Array;
  fileNames: (string | null)[];
  imageSizes: Float64Array;
  categoryIds: Float64Array;
  categoryNames: (string | null)[];
  truth: NativeCocoObjects & { areas: Float64Array; crowd: Uint8Array };
  detections?: NativeCocoObjects & { scores: Float64Array };
  problems: { kind: string; count: number; examples: string[] }[];
}

export interface SpaceCounts {
  predictions: number;
  predictionsOutside: number;
  truths: number;
  truthsOutside: number;
}

export interface NativeParsed {
  boxes: Float32Array;
  labels: (string | null)[];
  boxFaults: Uint8Array;
  points: Float32Array;
  pointLabels: (string | null)[];
  pointFaults: Uint8Array;
  rejected: { text: string; faults: number }[];
  status: number;
}

/** The exports' names; a test holds the built add-on against them. */
export const bindingNames: readonly (keyof Binding)[] = [
  'info',
  'setThreads',
  'pairwiseIou',
  'pairwiseIouBatch',
  'pairwiseDistance',
  'linearSumAssignment',
  'linearSumAssignmentBatch',
  'groupAdvantages',
  'editDistance',
  'score',
  'evaluateDetections',
  'averagePrecision',
  'loadCoco',
  'parse',
  'pairwiseIouPadded',
  'pairwiseIouGradient',
  'linearSumAssignmentPadded',
  'scoreTensors',
  'registerTensorflow',
  'tensorflowRecipe',
  'tensorflowFormula',
  'cudaInfo',
  'cudaUpload',
  'cudaDownload',
  'cudaRelease',
  'cudaPairwiseIou',
  'cudaPairwiseIouBatch',
  'cudaPairwiseDistance',
  'cudaLinearSumAssignmentPadded',
  'cudaLinearSumAssignmentBatch',
  'cudaGroupAdvantages',
  'cudaEditDistance',
  'cudaScoreObjects',
];
