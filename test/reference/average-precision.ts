/** Average precision of boxes x1 y1 x2 y2 as the COCO API defines it, one figure at a time and from the beginning. */
export interface Item {
  box: readonly number[];
  label: number;
}

export interface TruthItem extends Item {
  crowd: boolean;
  ignore: boolean;
}

export interface DetectionItem extends Item {
  score: number;
}

export interface Image {
  truth: readonly TruthItem[];
  detections: readonly DetectionItem[];
}

export interface Question {
  label: number;
  threshold: number;
  area: readonly [number, number];
  maxDetections: number;
}

const areaOf = ([x1, y1, x2, y2]: readonly number[]): number => (x2! - x1!) * (y2! - y1!);

function overlap(detection: readonly number[], truth: readonly number[], crowd: boolean): number {
  const width = Math.min(detection[2]!, truth[2]!) - Math.max(detection[0]!, truth[0]!);
  const height = Math.min(detection[3]!, truth[3]!) - Math.max(detection[1]!, truth[1]!);
  if (width <= 0 || height <= 0) return 0;
  const common = width * height;
  return common / (crowd ? areaOf(detection) : areaOf(detection) + areaOf(truth) - common);
}

const byScore = (a: { score: number }, b: { score: number }): number => b.score - a.score;

/** What became of each detection of one image, and how many objects there were to find. */
function judge(
  image: Image,
  q: Question,
): { verdicts: { score: number; right: boolean }[]; objects: number } {
  const outside = (box: readonly number[]): boolean => areaOf(box) < q.area[0] || areaOf(box) > q.area[1];
  const truths = image.truth
    .filter(({ label }) => label === q.label)
    .map((item) => ({ ...item, ignored: item.crowd || item.ignore || outside(item.box), taken: false }));
  const found = image.detections
    .filter(({ label }) => label === q.label)
    .sort(byScore)
    .slice(0, q.maxDetections);
  const verdicts: { score: number; right: boolean }[] = [];
  for (const { box, score } of found) {
    // The objects to find come first; only where none of them fits may an ignored one be taken. Of equals, the last.
    let match: (typeof truths)[number] | undefined;
    for (const ignored of [false, true]) {
      if (match) break;
      let best = Math.min(q.threshold, 1 - 1e-10);
      for (const truth of truths) {
        if (truth.ignored !== ignored || (truth.taken && !truth.crowd)) continue;
        const value = overlap(box, truth.box, truth.crowd);
        if (value < best) continue;
        best = value;
        match = truth;
      }
    }
    if (match) match.taken = true;
    if (match ? match.ignored : outside(box)) continue;
    verdicts.push({ score, right: match !== undefined });
  }
  return { verdicts, objects: truths.filter(({ ignored }) => !ignored).length };
}

/** Mean of the precisions at 101 recalls, and the greatest recall; -1 where there is nothing to find. */
export function averagePrecision(images: readonly Image[], q: Question): { ap: number; recall: number } {
  const judged = images.map((image) => judge(image, q));
  const objects = judged.reduce((sum, image) => sum + image.objects, 0);
  if (objects === 0) return { ap: -1, recall: -1 };
  const ranked = judged.flatMap(({ verdicts }) => verdicts).sort(byScore);
  const curve = ranked.map((_, i) => {
    const right = ranked.slice(0, i + 1).filter((verdict) => verdict.right).length;
    return { recall: right / objects, precision: right / (i + 1) };
  });
  const precisions = Array.from({ length: 101 }, (_, k) =>
    Math.max(0, ...curve.filter(({ recall }) => recall >= k * 0.01).map(({ precision }) => precision)),
  );
  return {
    ap: precisions.reduce((sum, precision) => sum + precision, 0) / 101,
    recall: curve.at(-1)?.recall ?? 0,
  };
}
