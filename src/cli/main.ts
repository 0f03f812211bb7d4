#!/usr/bin/env node
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { PerceptionError } from '../errors.js';
import { FileError } from '../files/error.js';
import { packageVersion } from '../info.js';
import { recipes } from '../rewards/recipes.js';
import { doctor } from './doctor.js';
import { defineEval } from './eval.js';
import { score } from './score.js';
import { setupTfjs } from './setup-tfjs.js';
import { defineStudy } from './study.js';
import { defineTrain } from './train.js';
import { UsageError } from './usage.js';

const wholeNumber =
  (high: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < 1 || value > high) {
      throw new InvalidArgumentError(`Expected a whole number from 1 to ${high}.`);
    }
    return value;
  };

let exitCode = 0;
const program = new Command('perception-r1')
  .description(
    'Rewards for visual perception: scores what a model wrote against what is true, and trains models by it.',
  )
  .version(packageVersion)
  .exitOverride()
  .configureHelp({ helpWidth: 110 });

program
  .command('score')
  .description('Score a file of rollouts: rewards, terms, advantages, and a summary of them.')
  .option(
    '--recipe <name|file>',
    'a preset, or a JSON file with a recipe; lines may carry a "recipe" of their own',
  )
  .requiredOption('--input <file>', 'JSON lines, plain or gzip; - is standard input')
  .option('--group-size <n>', 'each n consecutive lines are the group of one prompt', wholeNumber(65536))
  .option(
    '--output <file>',
    'write scored lines here, gzipped where the name ends in .gz; - is standard output',
  )
  .addOption(
    new Option(
      '--coordinates <space>',
      "the space of predictions and ground truth where it is not the recipe's own",
    ).choices(['pixels', 'per-mille', 'unit']),
  )
  .option('--batch <n>', 'completions per call of the library', wholeNumber(65536), 2048)
  .option('--quiet', 'no progress bar')
  .option('--json', 'print the summary as JSON')
  .addHelpText(
    'after',
    `
Input lines:
  {"completion": "...", "groundTruth": {...}, "id": any, "recipe": name}           one completion
  {"completions": ["...", ...], "groundTruth": {...}, "id": any, "recipe": name}   a whole group
Ground truth: {box} for grounding, {boxes, labels} for detection, {points} for counting, {text} for OCR.

Presets: ${Object.keys(recipes).join(', ')}

Exit code: 0, 1 where a line could not be scored or the run failed, 2 for a wrong option, 130 or 143 when interrupted.

Examples:
  perception-r1 score --recipe perception-r1/detection --group-size 8 --input rollouts.jsonl --output scored.jsonl
  perception-r1 score --recipe my-recipe.json --input rollouts.jsonl.gz --json
  zstdcat rollouts.zst | perception-r1 score --recipe perception-r1/ocr --input - --output - | jq .reward`,
  )
  .action(async (options) => {
    exitCode = await score(options);
  });

program
  .command('doctor')
  .description('Print versions, the add-on, threads and backends, and what is missing and why.')
  .option('--json', 'print it as JSON')
  .addHelpText('after', '\nExit code: 0 where the add-on works, else 1.')
  .action((options) => {
    exitCode = doctor(options);
  });

program
  .command('setup-tfjs')
  .description('Give a project a working tfjs-node where its own installer cannot.')
  .option('--gpu', 'tfjs-node-gpu, with a TensorFlow for NVIDIA GPUs')
  .option('--directory <dir>', 'the folder with package.json', '.')
  .option(
    '--tensorflow <version>',
    "a version of TensorFlow; without it the project's, else the cache's newest, else pip's",
    (text) => {
      if (!/^\d+\.\d+\.\d+$/.test(text)) throw new InvalidArgumentError('Expected a version like 2.21.0.');
      return text;
    },
  )
  .option('--no-save', 'leave package.json and the lock file as they are')
  .option('--dry-run', 'print what would be done, and change nothing')
  .addHelpText(
    'after',
    `
Takes libtensorflow from pip's wheel and compiles the package's own binding against it, with the npm, pip and compiler
that are there. What it made is kept in the user's cache folder; a run after node_modules was removed takes seconds.

Exit code: 0, 1 where something is missing or failed, 2 for a wrong option, 130 or 143 when interrupted.

Examples:
  perception-r1 setup-tfjs --dry-run
  perception-r1 setup-tfjs --gpu --directory trainer`,
  )
  .action(async (options) => {
    exitCode = await setupTfjs(options);
  });

defineEval(program, (code) => {
  exitCode = code;
});
defineTrain(program, (code) => {
  exitCode = code;
});
defineStudy(program, (code) => {
  exitCode = code;
});

program.addHelpText(
  'after',
  `
Examples:
  perception-r1 score --recipe perception-r1/counting --input rollouts.jsonl --group-size 8
  perception-r1 eval detection --truth instances_val2017.json --predictions results.json
  perception-r1 train --stage sft --task detection
  perception-r1 doctor`,
);

// Whoever reads our output may stop early (head, less); that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    exitCode = error.exitCode === 0 ? 0 : 2; // commander has printed its message
  } else {
    const known = [UsageError, FileError, PerceptionError].some((kind) => error instanceof kind);
    const system = (error as NodeJS.ErrnoException).syscall !== undefined;
    const message = known || system ? (error as Error).message : (error as Error).stack;
    process.stderr.write(`perception-r1: ${message}\n`);
    exitCode = error instanceof UsageError ? 2 : 1;
  }
}
process.exitCode = exitCode;
