// Writes examples/rollouts.jsonl: what a model of varying skill might have answered about images of COCO and passages of
// prose. Usage: node scripts/make-samples.mjs instances.json > examples/rollouts.jsonl (annotations as of COCO 2017).
// The same annotations give the same file, byte for byte.
import { readFileSync } from 'node:fs';

const groupSize = 8;
const prompts = { detection: 14, grounding: 14, counting: 12, ocr: 12 };

// Public domain: Carroll 1865, Austen 1813, Melville 1851, Dickens 1859, Lincoln 1863, Jefferson 1776, Shelley 1818,
// Descartes 1637, Goethe 1808, Cervantes 1605, Dante 1321, the Analects.
const passages = [
  'Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: once or twice she had peeped into the book her sister was reading, but it had no pictures or conversations in it.',
  'It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.',
  'Call me Ishmael. Some years ago—never mind how long precisely—having little or no money in my purse, and nothing particular to interest me on shore, I thought I would sail about a little and see the watery part of the world.',
  'It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it was the epoch of belief, it was the epoch of incredulity.',
  'Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in Liberty, and dedicated to the proposition that all men are created equal.',
  'When in the Course of human events, it becomes necessary for one people to dissolve the political bands which have connected them with another, a decent respect to the opinions of mankind requires that they should declare the causes which impel them to the separation.',
  'My name is Ozymandias, king of kings:\nLook on my works, ye Mighty, and despair!\nNothing beside remains. Round the decay\nOf that colossal wreck, boundless and bare\nThe lone and level sands stretch far away.',
  'Le bon sens est la chose du monde la mieux partagée; car chacun pense en être si bien pourvu, que ceux même qui sont les plus difficiles à contenter en toute autre chose n’ont point coutume d’en désirer plus qu’ils en ont.',
  'Habe nun, ach! Philosophie,\nJuristerei und Medizin,\nUnd leider auch Theologie\nDurchaus studiert, mit heißem Bemühn.\nDa steh ich nun, ich armer Tor!\nUnd bin so klug als wie zuvor.',
  'En un lugar de la Mancha, de cuyo nombre no quiero acordarme, no ha mucho tiempo que vivía un hidalgo de los de lanza en astillero, adarga antigua, rocín flaco y galgo corredor.',
  'Nel mezzo del cammin di nostra vita\nmi ritrovai per una selva oscura,\nché la diritta via era smarrita.',
  '子曰：「學而時習之，不亦說乎？有朋自遠方來，不亦樂乎？人不知而不慍，不亦君子乎？」',
];

const path = process.argv[2];
if (!path) {
  console.error('usage: node scripts/make-samples.mjs instances_val2017.json > examples/rollouts.jsonl');
  process.exit(2);
}
const coco = JSON.parse(readFileSync(path, 'utf8'));

// mulberry32
let state = 20250410;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const chance = (p) => random() < p;
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
function shuffled(list) {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = below(i + 1);
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

const names = new Map(coco.categories.map(({ id, name }) => [id, name]));
const allNames = [...names.values()];
const images = coco.images
  .map(({ id, width, height }) => ({
    id,
    size: [width, height],
    objects: coco.annotations
      .filter((a) => a.image_id === id && !a.iscrowd)
      .map(({ bbox: [x, y, w, h], category_id }) => ({
        label: names.get(category_id),
        box: [x, y, x + w, y + h],
      })),
  }))
  .sort((a, b) => a.id - b.id);

/** `skill` is 0..1; a skilled model is nearly exact. */
function jitter([x1, y1, x2, y2], skill, [width, height]) {
  const spread = 0.02 + 0.3 * (1 - skill) ** 2;
  const dx = normal() * spread * (x2 - x1);
  const dy = normal() * spread * (y2 - y1);
  const sx = Math.exp(normal() * spread);
  const sy = Math.exp(normal() * spread);
  const clip = (v, high) => Math.round(Math.min(Math.max(v, 0), high));
  const [cx, cy] = [(x1 + x2) / 2 + dx, (y1 + y2) / 2 + dy];
  const [w, h] = [(x2 - x1) * sx, (y2 - y1) * sy];
  return [
    clip(cx - w / 2, width),
    clip(cy - h / 2, height),
    clip(cx + w / 2, width),
    clip(cy + h / 2, height),
  ];
}

const perMille = (box, [width, height]) =>
  box.map((v, i) => Math.round((1000 * v) / (i % 2 ? height : width)));

function group(make) {
  // Between hopeless and nearly exact within one group: this is what gives advantages something to tell apart.
  const level = 0.35 + 0.5 * random();
  return Array.from({ length: groupSize }, () => make(Math.min(Math.max(level + 0.25 * normal(), 0), 1)));
}

function detectionAnswer({ objects, size }, skill) {
  const miss = 1 - skill;
  const answers = [];
  for (const { label, box } of shuffled(objects)) {
    if (chance(0.35 * miss)) continue;
    answers.push({ bbox_2d: jitter(box, skill, size), label: chance(0.2 * miss) ? pick(allNames) : label });
    if (chance(0.15 * miss)) answers.push({ bbox_2d: jitter(box, skill, size), label });
  }
  if (chance(0.3 * miss)) {
    const [x, y] = [below(size[0] / 2), below(size[1] / 2)];
    answers.push({ bbox_2d: [x, y, x + 40 + below(100), y + 40 + below(100)], label: pick(allNames) });
  }
  if (chance(0.08 * miss)) answers.push({ bbox_2d: jitter(objects[0].box, skill, size), label: 'thing' });
  if (chance(0.06 * miss)) return 'I cannot find any objects in this image.';
  const items = answers.map(
    ({ bbox_2d, label }) => `{"bbox_2d": [${bbox_2d.join(', ')}], "label": "${label}"}`,
  );
  let text = chance(0.5) ? `[${items.join(', ')}]` : `\`\`\`json\n[\n\t${items.join(',\n\t')}\n]\n\`\`\``;
  if (chance(0.12 * miss)) text = `Here are the objects in the image:\n${text}`;
  if (chance(0.15 * miss)) text = text.slice(0, Math.floor(text.length * (0.5 + 0.45 * random())));
  return text;
}

const token = ([x1, y1, x2, y2]) => `<|box_start|>(${x1},${y1}),(${x2},${y2})<|box_end|>`;

function groundingAnswer({ object, distractor, size }, skill) {
  const miss = 1 - skill;
  const aim = distractor && chance(0.3 * miss) ? distractor : object;
  const box = perMille(jitter(aim.box, skill, size), size);
  if (chance(0.1 * miss)) return `The ${object.label} is at (${box.join(', ')}).`;
  if (chance(0.05 * miss)) return `There is no ${object.label}.`;
  if (chance(0.08 * miss))
    return `<|object_ref_start|>${object.label}<|object_ref_end|><|box_start|>(${box[0]},${box[1]}),(`;
  return `<|object_ref_start|>the ${object.label}<|object_ref_end|>${token(box)}<|im_end|>`;
}

function countingAnswer({ label, boxes, size }, skill) {
  const miss = 1 - skill;
  const found = [];
  for (const box of shuffled(boxes)) {
    if (chance(0.4 * miss)) continue;
    found.push(perMille(jitter(box, skill, size), size));
    if (chance(0.1 * miss)) found.push(perMille(jitter(box, skill, size), size));
  }
  if (chance(0.06 * miss)) return `There are ${found.length}.`;
  const items = found.map((box) => (chance(0.02 * miss) ? token(box).replace('),(', ')(') : token(box)));
  const end = chance(0.1 * miss) ? '' : '<|im_end|>';
  return `<|object_ref_start|>${label}<|object_ref_end|>${items.join('')}${end}`;
}

const lookAlike = {
  l: '1',
  1: 'l',
  o: '0',
  0: 'o',
  e: 'c',
  c: 'e',
  n: 'u',
  u: 'n',
  i: 'í',
  s: '5',
  m: 'rn',
  é: 'e',
};

function ocrAnswer(text, skill) {
  const rate = 0.12 * (1 - skill) ** 2;
  let out = '';
  for (const character of text) {
    // Half of the errors are misread characters, a quarter additions, a quarter omissions.
    const error = chance(rate) ? random() : undefined;
    if (error === undefined) out += character;
    else if (error < 0.5) out += lookAlike[character] ?? pick([...text]);
    else if (error < 0.75) out += character + pick([...text]);
  }
  if (chance(0.1 * (1 - skill))) return out.slice(0, Math.floor(out.length * (0.4 + 0.5 * random())));
  return chance(0.06 * (1 - skill)) ? `The text reads: ${out}` : out;
}

function write(task, id, groundTruth, completions) {
  console.log(JSON.stringify({ id, recipe: `perception-r1/${task}`, groundTruth, completions }));
}

const hundredths = (box) => box.map((v) => Math.round(100 * v) / 100);

const scenes = images.filter(({ objects }) => objects.length >= 2 && objects.length <= 9);
for (const scene of shuffled(scenes).slice(0, prompts.detection)) {
  const truth = {
    boxes: scene.objects.map(({ box }) => hundredths(box)),
    labels: scene.objects.map(({ label }) => label),
    imageSize: scene.size,
  };
  write(
    'detection',
    `detection/${scene.id}`,
    truth,
    group((skill) => detectionAnswer(scene, skill)),
  );
}

// The only one of its kind in the image, and large enough to be meant.
const referents = images.flatMap(({ id, size, objects }) => {
  const single = objects.filter(
    ({ label, box: [x1, y1, x2, y2] }) =>
      objects.filter((other) => other.label === label).length === 1 &&
      (x2 - x1) * (y2 - y1) > 0.02 * size[0] * size[1],
  );
  if (single.length === 0) return [];
  const object = pick(single);
  return [{ id, size, object, distractor: objects.find((other) => other !== object) }];
});
for (const scene of shuffled(referents).slice(0, prompts.grounding)) {
  const truth = { box: perMille(scene.object.box, scene.size) };
  write(
    'grounding',
    `grounding/${scene.id}/${scene.object.label}`,
    truth,
    group((skill) => groundingAnswer(scene, skill)),
  );
}

const crowds = images.flatMap(({ id, size, objects }) =>
  [...new Set(objects.map(({ label }) => label))]
    .map((label) => ({
      id,
      size,
      label,
      boxes: objects.filter((o) => o.label === label).map(({ box }) => box),
    }))
    .filter(({ boxes }) => boxes.length >= 3 && boxes.length <= 12),
);
for (const scene of shuffled(crowds).slice(0, prompts.counting)) {
  const points = scene.boxes.map((box) => {
    const [x1, y1, x2, y2] = perMille(box, scene.size);
    return [(x1 + x2) / 2, (y1 + y2) / 2];
  });
  write(
    'counting',
    `counting/${scene.id}/${scene.label}`,
    { points },
    group((skill) => countingAnswer(scene, skill)),
  );
}

for (const [i, text] of passages.slice(0, prompts.ocr).entries()) {
  write(
    'ocr',
    `ocr/${i + 1}`,
    { text },
    group((skill) => ocrAnswer(text, skill)),
  );
}
