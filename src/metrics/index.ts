/**
 * What models that see are judged by: average precision of detections, accuracy of grounding and counting, and how far
 * texts are from those that were to be read.
 * @packageDocumentation
 */
export { type CocoDataset, type CocoFiles, loadCoco } from './coco.js';
export { type CountingPrediction, type CountingSummary, evaluateCounting } from './counting.js';
export {
  type AveragePrecisionOptions,
  averagePrecision,
  averagePrecisionAsync,
  type CategorySummary,
  DetectionEvaluator,
  type DetectionFigures,
  type DetectionMatches,
  type DetectionOptions,
  type DetectionSummary,
  detectionFigures,
  evaluateDetections,
  evaluateDetectionsAsync,
  type PrecisionCurves,
} from './detection.js';
export {
  evaluateGrounding,
  type GroundingOptions,
  type GroundingPrediction,
  type GroundingSummary,
} from './grounding.js';
export type { Flags, Flat, ImageDetections, ImageTruth, Label, Labels } from './objects.js';
export { type EditSummary, evaluateOcr, type OcrSummary, type OcrTokenFigure } from './ocr.js';
export { type PerceptualPerplexity, perceptualPerplexity } from './perplexity.js';
export { type Problem, Problems } from './problems.js';
