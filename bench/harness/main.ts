/** npm run bench: what each kernel takes, beside the peers that `npm run bench:peers` has prepared. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { workloads as advantages } from '../kernels/advantages.js';
import { workloads as assignment } from '../kernels/assignment.js';
import { workloads as distance } from '../kernels/distance.js';
import { workloads as editDistance } from '../kernels/edit-distance.js';
import { workloads as iou } from '../kernels/iou.js';
import { workloads as pipeline } from '../kernels/pipeline.js';
import { Limits } from './limits.js';
import { load, machine } from './machine.js';
import { type Measured, measure } from './measure.js';
import { Peers } from './peers.js';
import { markdown, type Report, summaryLine } from './report.js';

/** In the order of the report; the keys begin the names of their workloads. */
const kernels = { pipeline, assignment, iou, distance, advantages, 'edit-distance': editDistance };

const help = `npm run bench -- [options]

  --only NAME,...    these kernels (${Object.keys(kernels).join(', ')}),
                     or those of their workloads whose names have this in them, commas and brackets
                     left out: --only "pipeline,iou/giou 1024 x 100"
  --quick            a short clock: to try, not to quote
  --clock MS         milliseconds that each side is timed for, of each workload (default 400)
  --no-peers         this alone, even where build/peers has peers
  --recorded         also beside figures of peers that cannot be installed here, from another day
  --json FILE        everything, with the samples
  --markdown FILE    the tables, which are printed anyway
`;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    clock: { type: 'string' },
    'no-peers': { type: 'boolean', default: false },
    recorded: { type: 'boolean', default: false },
    json: { type: 'string' },
    markdown: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(help);
  process.exit();
}

const root = fileURLToPath(new URL('../../../..', import.meta.url));
const clock = Number(options.clock ?? (options.quick ? 50 : 400));
if (!(clock > 0)) {
  console.error(`--clock: expected milliseconds, received ${options.clock}`);
  process.exit(1);
}
const plain = (text: string): string => text.replace(/[,()]/g, '').toLowerCase();
const wanted = options.only?.split(',').map((word) => plain(word.trim()).split('/') as [string, string?]);
for (const [kernel] of wanted ?? []) {
  if (Object.hasOwn(kernels, kernel)) continue;
  console.error(`--only: expected one of ${Object.keys(kernels).join(', ')}, received ${kernel}`);
  process.exit(1);
}
/** A workload; or a kernel that may have some, so that data is made for those alone. */
const isWanted = (kernel: string, what = ''): boolean =>
  wanted?.some(([name, words = '']) => name === kernel && plain(what).includes(what && words)) ?? true;

const before = load();
const peers = new Peers(root, !options['no-peers']);
const limits = Limits.compile(root);
if (!limits)
  console.log('Limits were NOT measured: no C++ compiler made native/bench/limits.cc (CXX names one).');

const tasks: Measured[] = [];
try {
  for (const [kernel, workloads] of Object.entries(kernels)) {
    if (!isWanted(kernel)) continue;
    for (const work of workloads()) {
      if (!isWanted(kernel, work.name.slice(kernel.length + 1))) continue;
      for await (const task of measure(work, clock, peers, limits)) {
        console.log(summaryLine(task));
        tasks.push(task);
      }
    }
  }
} finally {
  peers.stop();
}

if (tasks.length === 0) {
  console.error('--only: no workload has that in its name');
  process.exit(1);
}
const { present, absent } = peers;
const report: Report = {
  machine: machine(root),
  load: [before, load()],
  clock,
  peers: { present, absent },
  tasks,
};
const text = markdown(report, options.recorded);
console.log(`\n${text}`);
if (options.json) writeFileSync(options.json, `${JSON.stringify(report)}\n`);
if (options.markdown) writeFileSync(options.markdown, text);
