import { realpathSync } from 'node:fs';
import { type RunOptions, run, tail } from './command.js';
import { SetupError } from './failure.js';

/** What the check found. */
export interface CheckResult {
  /** Version of the libtensorflow that was loaded. */
  tensorflow: string;
  /** Whether TensorFlow computes on a GPU. */
  gpu: boolean;
  /** The route that our operation took, or why it was not checked. */
  ops: { route: string } | { notChecked: string };
}

/** The exit code where TensorFlow computes and our operations do not. */
const opsFailed = 3;

const marker = 'perception-r1-check:';

/**
 * Runs in a process of its own, since a library that does not fit may end it. Our operation is taken from the project,
 * as a program there would.
 */
const program = `
const { createRequire } = require('node:module');
const { pathToFileURL } = require('node:url');
const [folder, name] = process.argv.slice(1);
const project = createRequire(folder + '/package.json');
const opsFailed = ${opsFailed};
let stage = 1;
const fail = (message) => { throw new Error(message); };

async function ops(tf) {
  let path;
  try {
    path = project.resolve('perception-r1/tfjs');
  } catch (error) {
    if (error.code === 'MODULE_NOT_FOUND') return { notChecked: 'perception-r1 is not installed in the project' };
    if (error.code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') {
      return { notChecked: "the project's perception-r1 has no perception-r1/tfjs" };
    }
    throw error;
  }
  let ours;
  try {
    ours = await import(pathToFileURL(path));
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    return { notChecked: 'perception-r1/tfjs cannot be imported: ' + error.message };
  }
  if (typeof ours.explainRoute !== 'function') {
    return { notChecked: "the project's perception-r1/tfjs has no explainRoute()" };
  }
  const iou = ours.pairwiseIou(tf.tensor2d([[0, 0, 2, 2]]), tf.tensor2d([[1, 0, 3, 2]])).dataSync()[0];
  if (!(Math.abs(iou - 1 / 3) < 1e-6)) fail('expected the IoU of two boxes to be 1/3, pairwiseIou() gave ' + iou);
  const explained = ours.explainRoute();
  if (explained.route !== 'tensorflow') {
    fail("expected explainRoute() to say the route 'tensorflow', it said " + JSON.stringify(explained));
  }
  return { route: explained.route };
}

(async () => {
  const tf = project(name);
  await tf.ready();
  if (tf.getBackend() !== 'tensorflow') fail("expected the backend 'tensorflow', it is '" + tf.getBackend() + "'");
  const product = tf.matMul(tf.tensor2d([[1, 2], [3, 4]]), tf.tensor2d([[5, 6], [7, 8]])).dataSync();
  if (String(product) !== '19,22,43,50') fail('expected a matmul to give 19,22,43,50, it gave ' + product);
  const top = tf.topk(tf.tensor1d([3, 1, 2]), 2).values.dataSync(); // the other file that used util
  if (String(top) !== '3,2') fail('expected topk to give 3,2, it gave ' + top);
  const { binding, isUsingGpuDevice } = tf.backend();
  stage = opsFailed;
  const result = { tensorflow: binding.TF_Version, gpu: isUsingGpuDevice, ops: await ops(tf) };
  process.stdout.write('\\n${marker}' + JSON.stringify(result) + '\\n');
})().catch((error) => {
  console.error(error.stack);
  process.exitCode = stage;
});
`;

/**
 * Loads the package as a program of the project would, and computes.
 * @param name the package
 * @param made what to remove to have all of it made anew
 * @throws SetupError with what the process printed
 */
export async function check(
  project: string,
  name: string,
  made: readonly string[],
  options: RunOptions,
): Promise<CheckResult> {
  const args = ['--input-type=commonjs', '--eval', program, realpathSync(project), name];
  const env: NodeJS.ProcessEnv = { TF_CPP_MIN_LOG_LEVEL: '1', ...process.env };
  delete env.PERCEPTION_R1_TENSORFLOW; // 0 would turn off the route that is looked for
  const { code, stdout, output } = await run([process.execPath], args, { ...options, cwd: project, env });
  const line = stdout.split('\n').find((text) => text.startsWith(marker));
  if (code === 0 && line) return JSON.parse(line.slice(marker.length)) as CheckResult;
  const see = `See ${options.log.path}.`;
  throw code === opsFailed
    ? new SetupError(
        `${name} computes, perception-r1/tfjs does not:\n${tail(output)}`,
        `${see} "perception-r1 doctor" shows what the add-on says.`,
      )
    : new SetupError(
        `${name}: expected the check to pass, it failed (exit ${code}):\n${tail(output)}`,
        `${see} To have all of it made anew, remove these and run the command again:\n${made.join('\n')}`,
      );
}
