import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { invalid } from '../errors.js';
import type { NativeCocoDataset } from '../native/binding.js';
import { runAsync } from '../native/load.js';
import { optionsObject } from '../ops/validate.js';
import type { Flat, ImageDetections, ImageTruth, Labels } from './objects.js';
import type { Problem } from './problems.js';

/** What COCO's files say, ready for `evaluateDetections` with the format 'xywh'. Image i is the same in all lists. */
export interface CocoDataset {
  images: {
    /** Ascending: the order in which the COCO API evaluates. */
    ids: Float64Array;
    fileNames: (string | null)[];
    /** `[images, 2]`, width and height; 0 where unknown. */
    sizes: Float64Array;
  };
  categories: {
    /** Ascending. */
    ids: Float64Array;
    names: (string | null)[];
  };
  /** Boxes x y width height; labels are category ids. `areas` are the file's (of segmentations), else width x height. */
  truth: Flat<ImageTruth>;
  /** Likewise, in the order of the file within each image. Only where a results file was given. */
  detections?: Flat<ImageDetections>;
  /** Records that were left out since they could not be used. */
  problems: Problem[];
}

export interface CocoFiles {
  /** A results file: a JSON list of `{image_id, category_id, bbox, score}`. Default none. */
  detections?: string;
}

function pathOf(value: unknown, name: string): string {
  if (typeof value !== 'string' || value === '') throw invalid('INVALID_ARGUMENT', name, 'a path', value);
  return value;
}

/** Places in the list of categories to their ids: an Int32Array wherever these fit. */
function categoryIds(places: Int32Array, ids: Float64Array): Labels {
  if (!ids.every((id) => Math.abs(id) < 2 ** 31)) return Array.from(places, (place) => ids[place]!);
  for (let i = 0; i < places.length; i++) places[i] = ids[places[i]!]!;
  return places;
}

/**
 * Reads a ground truth of COCO (instances JSON) and, where one is given, a results file, both natively, in one pass and off
 * this thread; segmentations and whatever else is not needed is passed over. What comes out is what the COCO API
 * (pycocotools) evaluates: the images by ascending id, within each the order of the file, `iscrowd` missing is 0, `area`
 * missing is width x height, and `ignore` is not read, since it overwrites that.
 *
 * Records that cannot be used (of unknown images or categories, without a usable id, bbox, score, area or iscrowd) are left
 * out and told in `problems`, counted from 0 in their list. A bbox is usable if it is four finite numbers, none of width and
 * height negative; an id if it is a whole number below 2^53.
 *
 * @throws PerceptionError INVALID_INPUT for a file that is not complete, is no JSON or no such file of COCO, or in which two
 * images, annotations or categories have one id; TOO_LARGE for more than 2^29 records
 * @throws Error as node:fs throws for a file that is not there or may not be read
 * @example
 * const { truth, detections } = await loadCoco('instances_val2017.json', { detections: 'results.json' });
 * (await evaluateDetectionsAsync(truth, detections, { format: 'xywh' })).AP
 */
export async function loadCoco(groundTruth: string, options?: CocoFiles): Promise<CocoDataset> {
  const o = optionsObject(options, 'options', ['detections']);
  const truthPath = pathOf(groundTruth, 'groundTruth');
  const detectionsPath = o.detections === undefined ? undefined : pathOf(o.detections, 'detections');
  await access(truthPath, constants.R_OK);
  if (detectionsPath !== undefined) await access(detectionsPath, constants.R_OK);
  return runAsync({
    start: (native) => native.loadCoco(truthPath, detectionsPath),
    finish: ({ truth, detections, ...lists }: NativeCocoDataset): CocoDataset => ({
      images: { ids: lists.imageIds, fileNames: lists.fileNames, sizes: lists.imageSizes },
      categories: { ids: lists.categoryIds, names: lists.categoryNames },
      truth: { ...truth, labels: categoryIds(truth.labels, lists.categoryIds) },
      ...(detections && {
        detections: { ...detections, labels: categoryIds(detections.labels, lists.categoryIds) },
      }),
      problems: lists.problems,
    }),
  });
}
