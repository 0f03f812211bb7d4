import { Problems } from '../../metrics/problems.js';
import { pairwiseIou } from '../../ops/iou.js';
import { difference, type Stretch } from '../../report/diff.js';
import { type Drawing, drawingSvg, type Fate, type LabelledBox, type Mark } from '../../report/drawing.js';
import { type EmbeddedImage, embedImage, type ImageFailure, type ImageSize } from '../../report/image.js';
import { escaped, figure, shortened } from '../../report/markup.js';
import { legendHtml } from '../../report/page.js';
import type { EvalTask, EvaluatedItem, LabelledBoxes } from '../evaluation.js';

/** Of the worst items, and of the best. */
const shownItems = 12;
/** Of all the data URIs of a page together. */
const mostEmbeddedCharacters = 20 * 1024 * 1024;
/** Of an item's truth, and of its predictions. */
const mostMarks = 200;
/** In a drawing; more would hide it. */
const mostCaptions = 24;
/** Characters of a label, of an answer, and of texts that are compared. */
const mostLabel = 60;
const mostAnswer = 4000;
const mostCompared = 2000;

/** Why an image is not shown, and what that is called among the problems, if it is one of the files. */
const failures: Record<ImageFailure, readonly [note: string, problem?: string]> = {
  outside: ['its path leaves the image folder', 'paths of images to show that leave the image folder'],
  missing: ['it is not in the image folder', 'images to show that are not in the image folder'],
  unreadable: ['its file cannot be read', 'images to show that cannot be read'],
  format: ['it is no PNG, JPEG, GIF or WebP', 'images to show that are no PNG, JPEG, GIF or WebP'],
  tooLarge: ['this page has no room for it'],
};

/** The images of the items that are shown. */
export class Gallery {
  readonly problems = new Problems();
  readonly #folder: string | undefined;
  readonly #told = new Set<string>();
  #room = mostEmbeddedCharacters;

  constructor(folder: string | undefined) {
    this.#folder = folder;
  }

  /** The item's image, or why it is not shown; neither where there is no folder. */
  imageOf({ name, file }: EvaluatedItem): { image?: EmbeddedImage; note?: string } {
    if (this.#folder === undefined) return {};
    if (file === undefined) {
      this.#tell('items to show that name no image file', name);
      return { note: 'Not shown: the image, since no file is named.' };
    }
    const image = embedImage(this.#folder, file, Math.floor((this.#room * 3) / 4) - 64);
    if (typeof image === 'string') {
      const [note, problem] = failures[image];
      if (problem !== undefined) this.#tell(problem, file);
      return { note: `Not shown: the image, since ${note}.` };
    }
    this.#room -= image.uri.length;
    return { image };
  }

  #tell(kind: string, name: string): void {
    const key = `${kind}: ${name}`;
    if (!this.#told.has(key)) this.problems.add(kind, shortened(name, 200));
    this.#told.add(key);
  }
}

/** The worst and the best items; of equally good ones those with more in them. */
export function itemSections(task: EvalTask, items: readonly EvaluatedItem[], gallery: Gallery): string[] {
  const ranked = items.map((item, i) => ({
    item,
    i,
    score: Number.isNaN(item.score) ? -Infinity : item.score,
    content: contentOf(item),
  }));
  type Ranked = (typeof ranked)[0];
  const then = (a: Ranked, b: Ranked): number => b.content - a.content || a.i - b.i;
  const worst = ranked.sort((a, b) => a.score - b.score || then(a, b)).slice(0, shownItems);
  const shown = new Set(worst);
  const best = ranked
    .filter((one) => !shown.has(one))
    .sort((a, b) => b.score - a.score || then(a, b))
    .slice(0, shownItems);
  const groups =
    best.length === 0
      ? [{ title: 'All items, the worst first', group: worst }]
      : [
          { title: `The worst ${worst.length}`, group: worst },
          { title: `The best ${best.length}`, group: best },
        ];
  return groups.map(({ title, group }) => {
    const fates = new Set<Fate>();
    const cards = group.map(({ item }) => itemCard(item, gallery, fates));
    if (cards.length === 0) return '';
    const keys = (fates.size > 0 ? legendHtml(fates) : '') + (task === 'ocr' ? differenceLegend : '');
    const grid = task === 'ocr' ? 'rows' : 'grid';
    return `<section><h2>${title}</h2>${keys}<div class="${grid}">${cards.join('\n')}</div></section>`;
  });
}

const differenceLegend =
  '<p class="quiet"><del>Dotted</del>: only in the ground truth. <ins>Underlined</ins>: only in the prediction.</p>';

/** How much there is to see. */
const contentOf = ({ truth, predictions, texts }: EvaluatedItem): number =>
  truth.boxes.length + predictions.boxes.length + (texts ? texts.truth.length + texts.prediction.length : 0);

/** @param fates of what is drawn are added */
function itemCard(item: EvaluatedItem, gallery: Gallery, fates: Set<Fate>): string {
  const { image, note } = gallery.imageOf(item);
  const { drawing, notes } = drawingOf(item, image);
  const drawn = image !== undefined || drawing.truth.length + drawing.predictions.length > 0;
  for (const { fate } of [...drawing.truth, ...drawing.predictions]) fates.add(fate);
  const picture = drawn ? drawingSvg(drawing, { width: 360 }) : '';
  const parts = [
    `<h3><bdi>${escaped(shortened(item.name, 200))}</bdi></h3>`,
    `<p class="summary">${escaped(shortened(item.summary, 300))}</p>`,
    item.question === undefined
      ? ''
      : `<p class="prompt" dir="auto">${escaped(shortened(item.question, 1000))}</p>`,
    item.texts ? comparison(item.texts, picture) : picture,
    ...[...(note === undefined ? [] : [note]), ...notes].map((text) => `<p class="note">${text}</p>`),
    item.answer === undefined ? '' : answerOf(item.answer),
  ];
  return `<article class="card">${parts.join('')}</article>`;
}

function answerOf(answer: string): string {
  const cut = answer.length > mostAnswer ? ` (the first ${figure(mostAnswer)} characters)` : '';
  return `<details><summary>answer${cut}</summary><pre dir="auto">${escaped(shortened(answer, mostAnswer))}</pre></details>`;
}

/** Truth and prediction side by side, with what only one of them has, beside the picture. */
function comparison({ truth, prediction }: NonNullable<EvaluatedItem['texts']>, picture: string): string {
  const [a, b] = [shortened(truth, mostCompared), shortened(prediction, mostCompared)];
  const { a: expected, b: received } = difference(a, b);
  const cut = (text: string): string =>
    text.length > mostCompared ? `, the first ${figure(mostCompared)} characters` : '';
  const side = (name: string, tag: 'del' | 'ins', stretches: readonly Stretch[]): string => {
    const parts = stretches.map(({ text, common }) =>
      common ? escaped(text) : `<${tag}>${escaped(text)}</${tag}>`,
    );
    const content =
      parts.length === 0 ? '<p class="note">empty</p>' : `<pre dir="auto">${parts.join('')}</pre>`;
    return `<div><h4>${name}</h4>${content}</div>`;
  };
  return `<div class="texts">${picture}${side(`ground truth${cut(truth)}`, 'del', expected)}${side(`prediction${cut(prediction)}`, 'ins', received)}</div>`;
}

// Drawings

/** What is drawn of an item, and what is to be said about what is not. */
function drawingOf(
  item: EvaluatedItem,
  image: EmbeddedImage | undefined,
): { drawing: Drawing; notes: string[] } {
  const known = [item.size, image?.size].find((size) => size !== undefined && isSize(size));
  const size = known ?? (item.space === 'pixels' ? extentOf(item) : { width: 1, height: 1 });
  const scale = item.space === 'pixels' ? { x: 1000 / size.width, y: 1000 / size.height } : { x: 1, y: 1 };
  const boxes = { truth: placed(item.truth, scale), predictions: placed(item.predictions, scale) };
  const { truth, predictions } = marksOf(item, boxes);
  const all = [...truth, ...predictions];
  const undrawn = countOf(item.truth) + countOf(item.predictions) - all.length;
  const notFinite = all.filter(({ box }) => !box.every(Number.isFinite)).length;
  const outside = all.filter(({ box }) => isOutside(box)).length;
  const notes = [
    ...(known || all.length === 0
      ? []
      : ['The size of the image is not known: the shape of the canvas is a guess.']),
    ...(undrawn > 0 ? [`Boxes beyond the first ${mostMarks}, which are not drawn: ${figure(undrawn)}.`] : []),
    ...(notFinite > 0 ? [`Boxes that are not finite: ${figure(notFinite)}.`] : []),
    ...(outside > 0 ? [`Boxes outside of the image: ${figure(outside)}.`] : []),
  ];
  const links = [...(item.matches ?? [])].map((object, prediction) => [object, prediction] as const);
  const drawing: Drawing = {
    title: shortened(item.summary, 300),
    ...(image && { image: image.uri }),
    ...size,
    truth,
    predictions,
    links: links.slice(0, mostMarks),
  };
  return { drawing, notes };
}

const isSize = ({ width, height }: ImageSize): boolean =>
  [width, height].every((side) => side > 0 && side < 1e6);

/** A canvas for boxes in pixels of an image of unknown size: where the truth ends, else the predictions. */
function extentOf({ truth, predictions }: EvaluatedItem): ImageSize {
  const size = { width: 0, height: 0 };
  for (const { boxes, points = [] } of [truth, predictions]) {
    if (size.width > 0 && size.height > 0) break;
    const take = (numbers: ArrayLike<number>): void => {
      for (let i = 0; i < numbers.length; i++) {
        const side = i % 2 === 0 ? 'width' : 'height';
        const value = numbers[i]! * 1.05;
        if (value < 1e6) size[side] = Math.max(size[side], value);
      }
    };
    take(boxes);
    take(points);
  }
  return { width: size.width || 1000, height: size.height || 1000 };
}

const countOf = ({ boxes, points }: LabelledBoxes): number => boxes.length / 4 + (points?.length ?? 0) / 2;

/** The first boxes, then points, in per-mille. */
function placed(list: LabelledBoxes, scale: { x: number; y: number }): LabelledBox[] {
  const { boxes, points = new Float32Array() } = list;
  const each = (numbers: Float32Array, width: number): number[][] =>
    Array.from({ length: Math.min(mostMarks, numbers.length / width) }, (_, i) =>
      [...numbers.subarray(i * width, (i + 1) * width)].map(
        (value, c) => value * (c % 2 === 0 ? scale.x : scale.y),
      ),
    );
  return [
    ...each(boxes, 4).map((box, i) => ({ label: labelOf(list, i), box })),
    ...each(points, 2).map((box) => ({ label: '', box })),
  ].slice(0, mostMarks);
}

const isOutside = (box: readonly number[]): boolean => {
  const [x1, y1, x2 = x1!, y2 = y1!] = box as [number, number];
  const beyond = (a: number, b: number): boolean => Math.max(a, b) <= 0 || Math.min(a, b) >= 1000;
  return beyond(x1, x2) || beyond(y1, y2);
};

/** How each box fared. Where nothing was matched there are no misses. */
function marksOf(
  { matches, truth, predictions }: EvaluatedItem,
  placed: { truth: LabelledBox[]; predictions: LabelledBox[] },
): { truth: Mark[]; predictions: Mark[] } {
  const named = (what: string, label: string): string => (label === '' ? what : `${what} ${label}`);
  if (!matches) {
    const marks = (what: string, fate: Fate, boxes: LabelledBox[]): Mark[] =>
      boxes.map((box) => ({ ...box, fate, caption: box.label, text: named(what, box.label) }));
    return captioned({
      truth: marks('object', 'found', placed.truth),
      predictions: marks('prediction', 'right', placed.predictions),
    });
  }
  const isIgnored = (object: number): boolean => truth.ignored?.[object] === 1;
  /** The first prediction of each object, drawn or not; a region of many objects may have several. */
  const found = new Map<number, number>();
  for (const [j, object] of matches.entries()) if (!found.has(object)) found.set(object, j);
  const marks = placed.predictions.map(({ label, box }, j): Mark => {
    const object = matches[j] ?? -1;
    const what = named('prediction', label);
    if (object < 0) return { label, box, fate: 'false', caption: label, text: `${what}: matches no object` };
    const name = labelOf(truth, object);
    const iou = isIgnored(object) ? undefined : iouOf(truth.boxes, object, predictions.boxes, j);
    return {
      label,
      box,
      fate: isRight(name, label) ? 'right' : 'wrong',
      caption: [label, iou?.toFixed(2).replace(/^0/, '')].filter((part) => part).join(' '),
      text: `${what} for ${named('object', name)}${iou === undefined ? '' : `, IoU ${iou.toFixed(2)}`}`,
    };
  });
  return captioned({
    truth: placed.truth.map(({ label, box }, i): Mark => {
      const what = named('object', label);
      if (isIgnored(i)) {
        const text = `${what}: need not be found`;
        return { label, box, fate: 'found', caption: `${label} (ignored)`.trim(), text };
      }
      const match = found.get(i);
      if (match === undefined) return { label, box, fate: 'missed', caption: label, text: `${what}: missed` };
      const name = labelOf(predictions, match);
      // Where the label is right, the prediction's caption has it.
      const caption = name !== '' && isRight(label, name) ? '' : label;
      return { label, box, fate: 'found', caption, text: `${what}: predicted as ${name || 'box'}` };
    }),
    predictions: marks,
  });
}

const labelOf = ({ labels }: LabelledBoxes, i: number): string => shortened(labels[i] ?? '', mostLabel);

/** Without a label there is none to be wrong. */
const isRight = (a: string, b: string): boolean => a === '' || b === '' || a === b;

/** Overlap of box i and box j; none where one is not finite. */
function iouOf(truth: Float32Array, i: number, predictions: Float32Array, j: number): number | undefined {
  const [a, b] = [truth.subarray(4 * i, 4 * i + 4), predictions.subarray(4 * j, 4 * j + 4)];
  return a.length === 4 && [...a, ...b].every(Number.isFinite) ? pairwiseIou(a, b)[0] : undefined;
}

/** With the captions that there is room for, those of what went wrong first. */
function captioned(marks: { truth: Mark[]; predictions: Mark[] }): { truth: Mark[]; predictions: Mark[] } {
  const all = [...marks.truth, ...marks.predictions].filter(({ caption }) => caption !== '');
  const isWrong = ({ fate }: Mark): boolean => fate !== 'found' && fate !== 'right';
  const sorted = [...all.filter(isWrong), ...all.filter((mark) => !isWrong(mark))];
  for (const mark of sorted.slice(mostCaptions)) mark.caption = '';
  return marks;
}
