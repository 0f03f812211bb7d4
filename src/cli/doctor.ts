import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { type CudaInfo, type Info, info, packageVersion } from '../info.js';
import { linearSumAssignment } from '../ops/assignment.js';
import { pairwiseIou } from '../ops/iou.js';
import { scoreCompletions } from '../rewards/score.js';
import type { Route } from '../tfjs/route.js';

const marker = 'perception-r1-route:';

/** Which tfjs-node a program in the current folder would load, and the route that the tensor operations take on it. */
export interface TensorflowJs {
  package: string | null;
  route: Route | null;
  /** Why there is no route to tell; null where there is one. */
  problem: string | null;
}

/** What `doctor --json` prints. */
export interface DoctorReport {
  ok: boolean;
  version: string;
  node: { version: string; v8: string; napi: string; platform: string; arch: string; libc: string };
  /** What the add-on says of itself; null where it cannot be loaded. */
  addon: Info['addon'] | null;
  /** Why the add-on cannot be loaded or does not work; null where it does. */
  problem: string | null;
  cpu: { model: string; variant: string | null; threads: number | null; hardwareThreads: number };
  cuda: Info['cuda'] | null;
  tensorflowJs: TensorflowJs;
  environment: Record<string, string | null>;
  /** Other commands: the first line of what they say of their version, null where they are not found. */
  tools: Record<string, { version: string | null; neededFor: string }>;
}

const variables = [
  'PERCEPTION_R1_THREADS',
  'PERCEPTION_R1_ADDON',
  'PERCEPTION_R1_CUDA',
  'PERCEPTION_R1_TENSORFLOW',
];

const tools = [
  { name: 'cmake', command: 'cmake', neededFor: 'building the add-on' },
  { name: 'c++', command: process.env.CXX || 'c++', neededFor: 'building the add-on (C++20)' },
  { name: 'python3', command: 'python3', neededFor: 'building the add-on with node-gyp' },
  { name: 'nvcc', command: 'nvcc', neededFor: 'building GPU kernels' },
];

/** Prints what is here and whether the add-on works. @returns the exit code, 1 where it does not */
export function doctor(options: { json?: boolean }): number {
  const report = examine();
  process.stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : format(report));
  return report.ok ? 0 : 1;
}

function examine(): DoctorReport {
  let found: Info | undefined;
  let problem: string | null = null;
  try {
    found = info();
    problem = selfCheck(found.cuda.available);
  } catch (error) {
    problem = (error as Error).message;
  }
  const processors = cpus();
  return {
    ok: problem === null,
    version: packageVersion,
    node: {
      version: process.versions.node,
      v8: process.versions.v8,
      napi: process.versions.napi ?? 'unknown',
      platform: process.platform,
      arch: process.arch,
      libc: libc(),
    },
    addon: found?.addon ?? null,
    problem,
    cpu: {
      model: processors[0]?.model.trim() || 'unknown',
      variant: found?.cpu.variant ?? null,
      threads: found?.cpu.threads ?? null,
      hardwareThreads: found?.cpu.hardwareThreads ?? processors.length,
    },
    cuda: found?.cuda ?? null,
    tensorflowJs: tensorflowJs(),
    environment: Object.fromEntries(variables.map((name) => [name, process.env[name] ?? null])),
    tools: Object.fromEntries(
      tools.map(({ name, command, neededFor }) => [name, { version: versionOf(command), neededFor }]),
    ),
  };
}

/** Small problems with known answers; what came out wrong, or null. */
function selfCheck(gpu: boolean): string | null {
  const [a, b] = [new Float32Array([0, 0, 2, 2]), new Float32Array([1, 0, 3, 2])];
  const iou = pairwiseIou(a, b)[0]!;
  const gpuIou = gpu ? pairwiseIou(a, b, { device: 'cuda' })[0]! : iou;
  const { cost } = linearSumAssignment(new Float64Array([4, 1, 2, 3]), 2, 2);
  const reward = scoreCompletions({
    recipe: 'perception-r1/counting-strict',
    completions: ['<|box_start|>(10,10),(20,20)<|box_end|>'],
    groundTruth: [{ points: [[15, 15]] }],
  }).rewards[0]!;
  const wrong = [
    Math.abs(iou - 1 / 3) < 1e-6 ? '' : `the IoU of two boxes is ${iou}, expected 1/3`,
    gpuIou === iou ? '' : `the IoU of two boxes is ${gpuIou} on the GPU, expected ${iou}`,
    cost === 3 ? '' : `a 2x2 assignment costs ${cost}, expected 3`,
    Math.abs(reward - 1) < 1e-6 ? '' : `a right answer is rewarded with ${reward}, expected 1`,
  ].filter(Boolean);
  return wrong.length > 0 ? `self check: ${wrong.join('; ')}. Build the add-on again.` : null;
}

/** Looked at in a process of its own: a libtensorflow that does not fit may end it. */
function tensorflowJs(): TensorflowJs {
  const project = createRequire(join(process.cwd(), 'package.json'));
  const name = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'].find((candidate) => {
    try {
      return project.resolve(candidate);
    } catch {
      return false;
    }
  });
  if (name === undefined) {
    const problem = 'no tfjs-node in this folder; "perception-r1 setup-tfjs" provides one that works';
    return { package: null, route: null, problem };
  }
  const program = `
    import { createRequire } from 'node:module';
    createRequire(process.argv[1])(process.argv[2]);
    const { explainRoute } = await import(process.argv[3]);
    console.log(${JSON.stringify(marker)} + JSON.stringify(explainRoute()));`;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [
      '--input-type=module',
      '--eval',
      program,
      join(process.cwd(), 'package.json'),
      name,
      new URL('../tfjs/index.js', import.meta.url).href,
    ],
    { encoding: 'utf8', timeout: 60_000, env: { TF_CPP_MIN_LOG_LEVEL: '2', ...process.env } },
  );
  const line = stdout?.split('\n').find((text) => text.startsWith(marker));
  if (line) return { package: name, route: JSON.parse(line.slice(marker.length)) as Route, problem: null };
  const said = stderr?.split('\n').find((text) => /Error: /.test(text)) ?? `it ended with status ${status}`;
  const problem = `${name} cannot be loaded (${said.trim()}); "perception-r1 setup-tfjs" mends it`;
  return { package: name, route: null, problem };
}

function libc(): string {
  if (process.platform !== 'linux') return 'system';
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime ? `glibc ${header.glibcVersionRuntime}` : 'musl';
}

function versionOf(command: string): string | null {
  const { error, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8', timeout: 5000 });
  if (error) return null;
  // nvcc opens with its copyright; the line with the release tells.
  const lines = stdout.trim().split('\n');
  return (lines.find((line) => /\d+\.\d+/.test(line)) ?? lines[0] ?? '').trim() || 'unknown version';
}

function describeTensorflowJs({ package: name, route, problem }: TensorflowJs): string {
  if (!route) return problem ?? '';
  const gpu = route.gpuReason ? `; no GPU kernels: ${route.gpuReason}` : '';
  return `${name}: ${route.route} route, since ${route.reason}${gpu}`;
}

function describeCuda(cuda: CudaInfo | null): string {
  if (!cuda?.available) return `not used: ${cuda?.reason ?? 'no add-on'}`;
  const devices = cuda.devices.map(({ name, computeCapability, multiprocessors, memory }) => {
    const size = `${(memory / 2 ** 30).toFixed(1)} GiB`;
    return `${name} (compute capability ${computeCapability}, ${multiprocessors} multiprocessors, ${size})`;
  });
  return `${devices.join(', ')}; ${cuda.plugin} (${cuda.description})`;
}

function format(report: DoctorReport): string {
  const { node, addon, cpu, cuda, environment } = report;
  const rows: [string, string][] = [
    ['perception-r1', report.version],
    ['Node', `${node.version} (V8 ${node.v8}, Node-API ${node.napi})`],
    ['platform', `${node.platform}-${node.arch}, ${node.libc}`],
    ['add-on', addon ? `${addon.path} (${addon.compiler})` : 'not loaded, see below'],
    ['CPU', `${cpu.model}${cpu.variant ? `; kernels: ${cpu.variant}` : ''}`],
    ['threads', `${cpu.threads ?? '-'} of ${cpu.hardwareThreads}`],
    ['CUDA', describeCuda(cuda)],
    ['TensorFlow.js', describeTensorflowJs(report.tensorflowJs)],
    ...Object.entries(environment).map(([name, value]): [string, string] => [name, value ?? 'not set']),
    ...Object.entries(report.tools).map(([name, { version, neededFor }]): [string, string] => [
      name,
      version ?? `not found; needed only for ${neededFor}`,
    ]),
    ['self check', report.ok ? 'passed' : 'failed'],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
  if (report.problem) lines.push('', report.problem);
  return `${lines.join('\n')}\n`;
}
