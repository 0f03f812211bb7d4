import { invalid, PerceptionError } from '../errors.js';
import type { NativeVocabulary } from '../native/binding.js';
import { packStrings } from '../ops/text.js';

/**
 * The labels a detection recipe knows: `'coco-80'`, a list (ids are positions), or label -> id.
 */
export type VocabularyOption = 'coco-80' | readonly string[] | Readonly<Record<string, number>>;

/** The 80 categories of COCO detection and their ids, 1..90 with gaps. */
export const coco80: Readonly<Record<string, number>> = Object.freeze({
  person: 1,
  bicycle: 2,
  car: 3,
  motorcycle: 4,
  airplane: 5,
  bus: 6,
  train: 7,
  truck: 8,
  boat: 9,
  'traffic light': 10,
  'fire hydrant': 11,
  'stop sign': 13,
  'parking meter': 14,
  bench: 15,
  bird: 16,
  cat: 17,
  dog: 18,
  horse: 19,
  sheep: 20,
  cow: 21,
  elephant: 22,
  bear: 23,
  zebra: 24,
  giraffe: 25,
  backpack: 27,
  umbrella: 28,
  handbag: 31,
  tie: 32,
  suitcase: 33,
  frisbee: 34,
  skis: 35,
  snowboard: 36,
  'sports ball': 37,
  kite: 38,
  'baseball bat': 39,
  'baseball glove': 40,
  skateboard: 41,
  surfboard: 42,
  'tennis racket': 43,
  bottle: 44,
  'wine glass': 46,
  cup: 47,
  fork: 48,
  knife: 49,
  spoon: 50,
  bowl: 51,
  banana: 52,
  apple: 53,
  sandwich: 54,
  orange: 55,
  broccoli: 56,
  carrot: 57,
  'hot dog': 58,
  pizza: 59,
  donut: 60,
  cake: 61,
  chair: 62,
  couch: 63,
  'potted plant': 64,
  bed: 65,
  'dining table': 67,
  toilet: 70,
  tv: 72,
  laptop: 73,
  mouse: 74,
  remote: 75,
  keyboard: 76,
  'cell phone': 77,
  microwave: 78,
  oven: 79,
  toaster: 80,
  sink: 81,
  refrigerator: 82,
  book: 84,
  clock: 85,
  vase: 86,
  scissors: 87,
  'teddy bear': 88,
  'hair drier': 89,
  toothbrush: 90,
});

/** @internal A vocabulary ready for use. */
export interface Vocabulary {
  ids: ReadonlyMap<string, number>;
  known: ReadonlySet<number>;
  native: NativeVocabulary;
  /** Classes that the matcher's softmax runs over: COCO's 90 ids as released, else the number of labels. */
  classes: number;
}

const cache = new WeakMap<object, Vocabulary>();

/** @internal @throws PerceptionError INVALID_RECIPE */
export function vocabularyOf(option: VocabularyOption): Vocabulary {
  const source = option === 'coco-80' ? coco80 : option;
  if (typeof source !== 'object' || source === null) {
    throw invalid(
      'INVALID_RECIPE',
      'recipe.vocabulary',
      "'coco-80', a list of labels or {label: id}",
      option,
    );
  }
  const cached = cache.get(source);
  if (cached) return cached;
  const entries: [string, number][] = Array.isArray(source)
    ? source.map((label: string, id) => [label, id])
    : Object.entries(source as Record<string, number>);
  if (entries.length === 0)
    throw invalid('INVALID_RECIPE', 'recipe.vocabulary', 'at least one label', source);
  for (const [label, id] of entries) {
    if (typeof label !== 'string')
      throw invalid('INVALID_RECIPE', 'recipe.vocabulary', 'labels that are strings', label);
    if (!Number.isInteger(id) || id < 0 || id > 2147483647) {
      throw invalid('INVALID_RECIPE', `recipe.vocabulary['${label}']`, 'a whole number of at least 0', id);
    }
  }
  const ids = new Map(entries);
  if (ids.size !== entries.length) {
    throw new PerceptionError(
      'INVALID_RECIPE',
      'recipe.vocabulary: expected labels that differ, received one twice',
    );
  }
  const labels = packStrings([...ids.keys()], 'recipe.vocabulary');
  const vocabulary: Vocabulary = {
    ids,
    known: new Set(ids.values()),
    native: { bytes: labels.bytes.slice(), offsets: labels.offsets, ids: Int32Array.from(ids.values()) },
    classes: source === coco80 ? 90 : ids.size,
  };
  labels.release();
  // A frozen or shared list is looked up again batch after batch; one that is changed must not meet a stale entry.
  if (Object.isFrozen(source)) cache.set(source, vocabulary);
  return vocabulary;
}
