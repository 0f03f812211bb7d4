import { mkdirSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import type { Benchmark, TaskReader } from '../eval/benchmark.js';
import { type CoordinateChoice, coordinateChoices } from '../eval/coordinates.js';
import { countingTask } from '../eval/counting.js';
import { detectionTask } from '../eval/detection.js';
import { askEndpoint, type EndpointSummary, endpointDefaults } from '../eval/endpoint.js';
import { type EvalTask, type Evaluation, evalTasks, type Findings, figureRows } from '../eval/evaluation.js';
import { groundingTask } from '../eval/grounding.js';
import { nameMissing, readPredictions } from '../eval/join.js';
import { ocrTask } from '../eval/ocr.js';
import { asksSomething, maxTokens } from '../eval/prompts.js';
import { questionsOf } from '../eval/questions.js';
import { type Input, type OnRead, openInput } from '../eval/records.js';
import { evaluationReport } from '../eval/report.js';
import { FileError } from '../files/error.js';
import { writeWhole } from '../files/whole.js';
import { info, packageVersion } from '../info.js';
import { type Problem, Problems } from '../metrics/problems.js';
import { progressBar } from '../progress.js';
import { onInterruption, signals } from './interruption.js';
import { formatTable } from './table.js';
import { UsageError } from './usage.js';

interface Values {
  truth: string;
  predictions?: string;
  images?: string;
  coordinates: CoordinateChoice;
  report?: string;
  json?: boolean;
  quiet?: boolean;
  endpoint?: string;
  model?: string;
  answers?: string;
  limit?: number;
  concurrency?: number;
  retries?: number;
  timeout?: number;
  maxTokens?: number;
  temperature?: number;
  prompt?: string;
}

const readers: Readonly<Record<EvalTask, TaskReader>> = {
  detection: detectionTask,
  grounding: groundingTask,
  counting: countingTask,
  ocr: ocrTask,
};

const number =
  (low: number, high: number, whole: boolean) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === '' || !(value >= low && value <= high) || (whole && !Number.isInteger(value))) {
      throw new InvalidArgumentError(`Expected a ${whole ? 'whole ' : ''}number from ${low} to ${high}.`);
    }
    return value;
  };

const option = (flags: string, text: string, parse?: (text: string) => unknown): Option =>
  parse ? new Option(flags, text).argParser(parse) : new Option(flags, text);

/** What asks a model; of no use without --endpoint. */
const asking = [
  option('--model <name>', "as the server calls it (default: the server's only one)"),
  option(
    '--answers <file>',
    'where answers are kept, as JSON lines; what is answered there already is not asked again',
  ),
  option('--limit <n>', 'only the first n images or questions', number(1, 2 ** 31 - 1, true)),
  option(
    '--concurrency <n>',
    `requests at a time (default: ${endpointDefaults.concurrency})`,
    number(1, 1024, true),
  ),
  option(
    '--retries <n>',
    `how often a question is asked again after a failure (default: ${endpointDefaults.retries})`,
    number(0, 100, true),
  ),
  option(
    '--timeout <seconds>',
    `for a whole answer (default: ${endpointDefaults.timeoutSeconds})`,
    number(0.001, 86_400, false),
  ),
  option(
    '--max-tokens <n>',
    `of an answer (default: ${evalTasks.map((task) => `${task} ${maxTokens[task]}`).join(', ')})`,
    number(1, 2 ** 31 - 1, true),
  ),
  option(
    '--temperature <x>',
    `of sampling (default: ${endpointDefaults.temperature}, greedy)`,
    number(0, 10, false),
  ),
  option(
    '--prompt <template>',
    "what is asked, with {question} and {categories} (default: that of Perception-R1's evaluation)",
  ),
];

/** Adds the command to `program`; `finish` is given the exit code. */
export function defineEval(program: Command, finish: (exitCode: number) => void): void {
  const command = program
    .command('eval')
    .description(
      "Judge answers by the metrics of Perception-R1's benchmarks: COCO's AP, Acc@IoU, counts, edit distance.",
    )
    .addArgument(new Argument('<task>').choices(evalTasks));
  const group = (heading: string, ...options: Option[]): void => {
    command.optionsGroup(heading);
    for (const one of options) command.addOption(one);
  };
  group(
    'What is judged:',
    option('--truth <file>', 'ground truth; - is standard input').makeOptionMandatory(),
    option('--predictions <file>', 'answers, where they are not in --truth; - is standard input'),
    option(
      '--coordinates <space>',
      'of boxes in answers; auto: thousandths in box tokens, fractions where all are within 0..1, else pixels',
    )
      .choices(coordinateChoices)
      .default('auto'),
  );
  group(
    "Asking a model behind a server of OpenAI's protocol:",
    option('--endpoint <url>', 'such as http://localhost:8000/v1; its key is taken from OPENAI_API_KEY'),
    ...asking,
  );
  group(
    'What comes out:',
    option('--report <file>', 'an HTML page: figures, curves, the worst and the best'),
    option('--images <folder>', 'images, for --report and --endpoint'),
    option('--json', 'print the result as JSON'),
    option('--quiet', 'no progress display'),
  );
  const formats = evalTasks.map((task) => {
    const { truthFormats, answerFormats } = readers[task];
    const lines = (names: readonly string[]): string => names.map((name) => `    ${name}\n`).join('');
    return `  ${task} --truth\n${lines(truthFormats)}  ${task} --predictions\n${lines(answerFormats)}`;
  });
  command
    .addHelpText(
      'after',
      `
Files are told apart by what is in them; JSON lines may be gzip. What cannot be used is named and counted on standard error.

${formats.join('\n')}
Exit code: 0, 1 where nothing could be computed, 2 for a wrong option, 130 or 143 when interrupted: answers so far are kept.

Examples:
  perception-r1 eval detection --truth instances_val2017.json --predictions results.json --report report.html
  perception-r1 eval grounding --truth refcoco_val.json --predictions answers.jsonl --json
  perception-r1 eval counting --truth pixmo_count.jsonl --endpoint http://localhost:8000/v1 --images pixmo --answers a.jsonl`,
    )
    .action(async (task: EvalTask, values: Values) => finish(await evaluate(task, values)));
}

/** @returns the exit code @throws UsageError, FileError, PerceptionError */
async function evaluate(task: EvalTask, values: Values): Promise<number> {
  const { report, quiet = false } = values;
  refuseOptions(task, values);
  info(); // a missing add-on is told before a model is asked
  if (report !== undefined) mkdirSync(dirname(resolve(report)), { recursive: true }); // told now, not in the end

  const findings: Findings = { problems: new Problems(), notes: [] };
  const files = new Files(quiet);
  let evaluation: Evaluation | Interrupted;
  try {
    evaluation = await evaluationOf(readers[task], values, files, findings);
  } finally {
    files.close();
  }
  if ('interrupted' in evaluation) return signals[evaluation.interrupted];

  const html = report === undefined ? undefined : reportOf(evaluation, values, findings);
  evaluation.problems = findings.problems.list(); // the report adds images that are not there
  process.stdout.write(values.json ? jsonOf(evaluation) : tableOf(evaluation, values));
  for (const problem of evaluation.problems) process.stderr.write(`${describeProblem(problem)}\n`);
  if (report !== undefined) writeWhole(report, html!);
  return 0;
}

const needEndpoint = asking.map((one) => one.attributeName() as keyof Values);

/** @throws UsageError, FileError */
function refuseOptions(task: EvalTask, values: Values): void {
  const { truth, predictions, endpoint, answers, images, report, coordinates, prompt } = values;
  if (endpoint === undefined) {
    const idle = needEndpoint.find((name) => values[name] !== undefined);
    if (idle)
      throw new UsageError(`${asking[needEndpoint.indexOf(idle)]!.long}: expected --endpoint beside it`);
    if (images !== undefined && report === undefined) {
      throw new UsageError('--images: expected --report or --endpoint beside it, which use them');
    }
  } else {
    if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
      throw new UsageError(
        `--endpoint: expected a URL such as http://localhost:8000/v1, received "${endpoint}"`,
      );
    }
    if (predictions !== undefined) {
      throw new UsageError(
        '--endpoint: expected no --predictions beside it; what the model answers is kept in --answers',
      );
    }
    if (answers === undefined)
      throw new UsageError('--endpoint: expected --answers <file>, to keep what the model answers');
    if (images === undefined)
      throw new UsageError('--endpoint: expected --images <folder>, to send to the model');
  }
  if (truth === '-' && predictions === '-') {
    throw new UsageError('--predictions: expected a file, since --truth is standard input');
  }
  if (coordinates !== 'auto' && (task === 'counting' || task === 'ocr')) {
    throw new UsageError(`--coordinates: expected none for ${task}, whose figures do not depend on them`);
  }
  if (prompt !== undefined && !asksSomething(task, prompt)) {
    throw new UsageError(`--prompt: expected {question} in it, received "${prompt}"`);
  }
  if (images !== undefined && !statSync(images, { throwIfNoEntry: false })?.isDirectory()) {
    throw new FileError(`--images: expected a folder, received "${images}"`);
  }
}

interface Interrupted {
  interrupted: keyof typeof signals;
}

async function evaluationOf(
  reader: TaskReader,
  values: Values,
  files: Files,
  findings: Findings,
): Promise<Evaluation | Interrupted> {
  const options = { coordinates: values.coordinates, items: values.report !== undefined };
  const { truthFormats, answerFormats } = reader;
  const truth = await files.open(values.truth, '--truth', truthFormats);
  const predictions =
    values.predictions === undefined
      ? undefined
      : await files.open(values.predictions, '--predictions', answerFormats);
  const benchmark = await reader.read(truth, findings, predictions);
  if (benchmark.evaluateResults) {
    if (values.coordinates !== 'auto') {
      throw new UsageError('--coordinates: expected none beside COCO results, which are in pixels');
    }
    return benchmark.evaluateResults(options, findings);
  }
  const { items, noun, answers: own } = benchmark;
  let answers = own;
  if (values.endpoint !== undefined) {
    const count = Math.min(values.limit ?? Infinity, items.length);
    const interrupted = await ask(benchmark, count, values, findings);
    if (interrupted) return { interrupted };
    const file = await files.open(values.answers!, '--answers', answerFormats);
    answers = await readPredictions(file, benchmark, count, findings);
    if (count < items.length)
      findings.notes.push(`Only the first ${count} of ${items.length} ${noun} were asked.`);
  } else if (predictions) {
    answers = await readPredictions(predictions, benchmark, items.length, findings);
  } else if (own) {
    nameMissing(items, own, new Map(), noun, findings);
  }
  if (!answers) {
    throw new UsageError(
      `--truth: "${values.truth}" has no answers: expected --predictions <file>, or --endpoint <url> to ask a model`,
    );
  }
  if (own && answers !== own)
    findings.notes.push('The answers beside the ground truth were not used, since others were given.');
  files.close();
  return benchmark.evaluate(answers, options, findings);
}

/** Asks the first `count` questions. @returns the signal that ended it, where one did */
async function ask(
  benchmark: Benchmark,
  count: number,
  values: Values,
  { problems, notes }: Findings,
): Promise<keyof typeof signals | undefined> {
  const questions = questionsOf(benchmark, count, values.prompt, problems);
  if (questions.length === 0) {
    const [problem] = problems.list().slice(-1);
    throw new FileError(`--truth: "${values.truth}" has nothing that can be asked (${problem?.kind})`);
  }
  const abort = new AbortController();
  const bar =
    values.quiet || !process.stderr.isTTY
      ? undefined
      : progressBar('{bar} {percentage}% | {value} of {total} | {failed} failed | {eta_formatted} left');
  const interruption = onInterruption(() => abort.abort());
  bar?.start(questions.length, 0, { failed: 0 });
  const { model, concurrency, retries, timeout: timeoutSeconds, temperature } = values;
  const apiKey = process.env.OPENAI_API_KEY;
  let summary: EndpointSummary;
  try {
    summary = await askEndpoint(questions, {
      url: values.endpoint!,
      images: values.images!,
      answers: values.answers!,
      maxTokens: values.maxTokens ?? maxTokens[benchmark.task],
      ...(model !== undefined && { model }),
      ...(apiKey && { apiKey }),
      ...(concurrency !== undefined && { concurrency }),
      ...(retries !== undefined && { retries }),
      ...(timeoutSeconds !== undefined && { timeoutSeconds }),
      ...(temperature !== undefined && { temperature }),
      signal: abort.signal,
      onAnswer: (done, _total, failed) => bar?.update(done, { failed }),
    });
  } finally {
    bar?.stop();
    interruption.release();
  }
  const { asked, resumed, left, truncated } = summary;
  problems.merge(summary.problems);
  if (truncated > 0) notes.push(`${truncated} answers end at the limit of tokens (--max-tokens).`);
  if (!interruption.by || left === 0) return undefined;
  process.stderr.write(
    `Interrupted: ${asked + resumed} of ${questions.length} ${benchmark.noun} are settled, the answers in ${values.answers}. To go on, give the same command again.\n`,
  );
  return interruption.by;
}

function reportOf(evaluation: Evaluation, { truth, images }: Values, { problems }: Findings): string {
  return evaluationReport(evaluation, {
    title: truth === '-' ? 'Standard input' : basename(truth),
    version: packageVersion,
    now: new Date(),
    problems,
    ...(images !== undefined && { images }),
  });
}

function jsonOf({ task, count, figures, sets, categories, notes, problems }: Evaluation): string {
  const result = {
    task,
    count,
    figures,
    ...(sets && { sets }),
    ...(categories && { categories }),
    notes,
    problems,
  };
  return `${JSON.stringify(result, null, 2)}\n`;
}

function tableOf({ task, count, figures, sets = [], notes }: Evaluation, { truth }: Values): string {
  const columns = [{ name: sets.length > 0 ? 'all' : '', count, figures }, ...sets];
  const texts = columns.map(
    (column) => new Map(figureRows(column.figures).map(({ name, text }) => [name, text])),
  );
  const rows = figureRows(figures).map(({ name, label }) => [
    label,
    ...texts.map((of) => of.get(name) ?? ''),
  ]);
  const head = ['shares in %', ...columns.map(({ name }) => printable(name))];
  const counts = [
    task === 'detection' ? 'images' : 'questions',
    ...columns.map((column) => String(column.count)),
  ];
  const source = truth === '-' ? 'standard input' : basename(truth);
  return `${[`${task}: ${source}`, formatTable([head, counts, ...rows]), ...notes.map(printable)].join('\n')}\n`;
}

function describeProblem({ kind, count, examples }: Problem): string {
  const more = count > examples.length ? '; …' : '';
  return printable(`${kind}: ${count} (${examples.join('; ')}${more})`);
}

/** What others wrote is not to command the terminal. */
const printable = (text: string): string =>
  text.replaceAll(/\p{Cc}/gu, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`);

/** Below this a file is read before a bar could be seen. */
const shownBytes = 16 * 1024 * 1024;

/** The files of a run, with a progress bar for the one that is being read. */
class Files {
  readonly #quiet: boolean;
  readonly #open: Input[] = [];
  #bar: { path: string; bar: ReturnType<typeof progressBar> } | undefined;

  constructor(quiet: boolean) {
    this.#quiet = quiet || !process.stderr.isTTY;
  }

  async open(path: string, name: string, formats: readonly string[]): Promise<Input> {
    const input = await openInput(path, name, formats, this.#progressOf(path));
    this.#open.push(input);
    return input;
  }

  #progressOf(path: string): OnRead | undefined {
    if (this.#quiet) return undefined;
    return (bytes, total) => {
      if (total === undefined || total < shownBytes) return;
      if (this.#bar?.path !== path) {
        this.#bar?.bar.stop();
        this.#bar = {
          path,
          bar: progressBar(`${basename(path)} {bar} {percentage}%`, { clearOnComplete: true }),
        };
        this.#bar.bar.start(total, 0);
      }
      this.#bar.bar.update(bytes);
    };
  }

  close(): void {
    this.#bar?.bar.stop();
    this.#bar = undefined;
    for (const input of this.#open.splice(0)) input.stop();
  }
}
