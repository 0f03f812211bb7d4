// The prompts of Perception-R1 (arXiv 2504.07954), cut where a digit goes. Each piece is one token of BoxTokenizer.

export const groundingBefore = 'Output the bounding box of the ';
export const groundingAfter = ' in the image.';
export const countingBefore = 'Output all the bounding boxes of the ';
export const detectionPrompt = 'Please output bbox coordinates and names of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9.';
export const ocrPrompt = 'OCR this image.';
export const thinkSuffix = ' Output the thinking process in <think> </think> tags.';

export const phrases: readonly string[] = [
  groundingBefore,
  groundingAfter,
  countingBefore,
  detectionPrompt,
  ocrPrompt,
  thinkSuffix,
];
