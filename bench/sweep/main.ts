/** npm run bench:sweep: this build and an earlier one by turns, each kernel over its sizes. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { commitOf, load, machine } from '../harness/machine.js';
import { type Kernel, kernels, sizes } from './cases.js';
import { compare, difference, type Row, slower } from './compare.js';
import { sweepSvg } from './plot.js';
import { Side } from './side.js';

const help = `npm run bench:sweep -- --against FOLDER [options]

Each kernel over sizes from 1 to 5,000, on one thread, this build and another of the same package by turns.

  --against FOLDER   a checkout of another version, built there (git worktree add FOLDER COMMIT,
                     then npm ci in it)
  --only WORD,...    kernels whose names have one of these in them
  --sizes N,...      these sizes alone
  --clock MS         milliseconds that each build is timed for, of each size (default 60); what comes
                     out slower is measured again at the end, four times as long and in new
                     processes, and that counts
  --out FOLDER       where sweep-DATE.json and sweep-DATE.svg are written (default build/sweep)
`;

const { values: options } = parseArgs({
  options: {
    against: { type: 'string' },
    only: { type: 'string' },
    sizes: { type: 'string' },
    clock: { type: 'string', default: '60' },
    out: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help || options.against === undefined) {
  console.log(help);
  process.exit(options.help ? 0 : 1);
}

const root = fileURLToPath(new URL('../../../..', import.meta.url));
const against = resolve(options.against);
const clock = Number(options.clock);
if (!(clock > 0)) {
  console.error(`--clock: expected milliseconds, received ${options.clock}`);
  process.exit(1);
}
if (!existsSync(join(against, 'dist', 'index.js'))) {
  console.error(`--against: expected the folder of a checkout that was built, received ${against}`);
  process.exit(1);
}
const words = options.only?.split(',').map((word) => word.trim().toLowerCase());
const wantedSizes = options.sizes?.split(',').map(Number) ?? sizes;
const wanted = kernels.filter(({ name }) => words?.some((word) => name.toLowerCase().includes(word)) ?? true);
if (wanted.length === 0 || !wantedSizes.every((size) => Number.isInteger(size) && size > 0)) {
  console.error(
    `Expected kernels among:\n  ${kernels.map(({ name }) => name).join('\n  ')}\nand whole sizes`,
  );
  process.exit(1);
}

/** How often the builds take turns, and how often where one run takes longer than the clock. */
const turnsOf = { quick: 15, slow: 3 };

/** The two builds, each in a process of its own. */
type Sides = readonly [before: Side, after: Side];

const start = async (): Promise<Sides> => [await Side.start(against), await Side.start(root)];

async function startAgain(sides: Sides): Promise<Sides> {
  for (const side of sides) side.stop();
  return start();
}

/** Both on one size for about `time` milliseconds each; which of them is first changes from turn to turn. */
async function measure(
  [before, after]: Sides,
  { name, sizeOf }: Kernel,
  size: number,
  time: number,
): Promise<Row> {
  const old = await before.load(name, size);
  const own = await after.load(name, size);
  const differs = difference(old.answer, own.answer);
  if (differs) throw new Error(`the answers are not the same: ${differs}`);
  const { problems } = own;
  const slow = Math.max(old.first, own.first) > time;
  const count = slow ? turnsOf.slow : turnsOf.quick;
  const run = async (side: Side): Promise<number> => (1000 * (await side.run(time / count)).least) / problems;
  if (!slow) for (const side of [before, after]) await side.run(time / 4); // to warm up
  const turns: { before: number; after: number }[] = [];
  for (let turn = 0; turn < count; turn++) {
    if (turn % 2 === 0) turns.push({ before: await run(before), after: await run(after) });
    else turns.push({ after: await run(after), before: await run(before) });
  }
  return { kernel: name, sizeOf, size, problems, ...compare(turns) };
}

const line = ({ kernel, size, before, after, ratio, low, high }: Row): string =>
  `${ratio < slower ? 'SLOWER ' : ''}${kernel}, ${size}: ${before.toPrecision(3)} -> ${after.toPrecision(3)} us, ${ratio.toFixed(2)} x (${low.toFixed(2)} to ${high.toFixed(2)})`;

const loadBefore = load();
const rows: Row[] = [];
const failed: Record<string, string> = {};
let sides = await start();
const [before] = sides;
try {
  for (const kernel of wanted)
    for (const size of wantedSizes) {
      try {
        const row = await measure(sides, kernel, size, clock);
        rows.push(row);
        console.log(line(row));
      } catch (error) {
        failed[`${kernel.name}, ${size}`] = (error as Error).message;
        console.log(`FAILED ${kernel.name}, ${size}: ${(error as Error).message}`);
        sides = await startAgain(sides); // one of them may have ended
      }
    }
  for (const [i, row] of rows.entries()) {
    if (row.ratio >= slower) continue;
    sides = await startAgain(sides);
    const kernel = wanted.find(({ name }) => name === row.kernel)!;
    rows[i] = await measure(sides, kernel, row.size, 4 * clock);
    console.log(`again: ${line(rows[i])}`);
  }
} finally {
  for (const side of sides) side.stop();
}

const late = rows.filter(({ ratio }) => ratio < slower);
console.log(
  `\n${late.length} of ${rows.length} slower than before${late.map((row) => `\n  ${line(row)}`).join('')}`,
);
const facts = machine(root);
const other = {
  version: before.version,
  commit: commitOf(against),
  compiler: before.compiler,
  variant: before.variant,
};
const report = { machine: facts, before: other, load: [loadBefore, load()], clock, rows, failed };
const day = facts.date.slice(0, 10);
const folder = options.out ?? join(root, 'build', 'sweep');
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, `sweep-${day}.json`), `${JSON.stringify(report, undefined, 1)}\n`);
const notes = [
  `${facts.cpu}, ${facts.variant}, one thread, ${day}: ${facts.commit ?? facts.version} beside ${other.commit ?? other.version}, by turns.`,
  'Dots: how many times as fast as before, the median over turns; lines: the least and the greatest of them.',
];
if (rows.length > 0)
  writeFileSync(
    join(folder, `sweep-${day}.svg`),
    sweepSvg('Each kernel beside the build before, size by size', notes, rows),
  );
if (Object.keys(failed).length > 0) process.exitCode = 1;
