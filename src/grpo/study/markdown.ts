import type { Machine } from './machine.js';
import type { Finding, PerplexityRow, Report, Section, Summary, Table } from './tables.js';

/** A report and what it was made with: what the files of results hold. */
export interface Published extends Report {
  /** Year, month and day. */
  date: string;
  /** What to enter to have it again. */
  command: string;
  machine: Machine;
  /** Runs at a time, and threads of each. */
  jobs: number;
  threads: number;
}

/** A report as Markdown. */
export function reportMarkdown(published: Published): string {
  const { date, command, machine, jobs, threads, seeds, scale, scenes, sections, runs } = published;
  const findings = sections.flatMap((section) => section.findings);
  const count = (verdict: Finding['verdict']): number =>
    findings.filter((finding) => finding.verdict === verdict).length;
  const missing = runs.filter(({ state }) => state !== 'finished').length;
  const parts = [
    '# The paper in miniature',
    `Perception-R1's comparisons (arXiv 2504.07954) with a small policy on scenes of handwritten digits; docs/study.md says how.`,
    `Mean ± standard deviation over the seeds ${seeds.join(', ')}, on ${scenes} held-out scenes at temperatures 0 and 1. A statement holds where its
difference, taken seed by seed, is larger than the standard error. Of ${findings.length} statements ${count('holds')} hold, ${count('reversed')} are reversed, ${count('within the spread')} are within the
spread, and ${count('too few runs')} cannot be told for want of runs.`,
    ...(scale === 1 ? [] : [`**Steps are multiplied by ${scale}: a trial of the study, not the study.**`]),
    ...(missing === 0 ? [] : [`**${missing} of ${runs.length} runs are missing.**`]),
    ...sections.map(sectionText),
    '## How it was made',
    `\`\`\`\n${command}\n\`\`\``,
    `On ${date} with perception-r1 ${machine.version}: ${machine.cpu}, ${machine.hardwareThreads} hardware threads, ${machine.memoryGiB} GiB, ${machine.platform}, Node ${machine.node},
${machine.backend}. ${jobs} ${jobs === 1 ? 'run' : 'runs'} at a time with ${threads} ${threads === 1 ? 'thread' : 'threads'} each, so times are of a busy machine.`,
    grid([
      ['run', 'steps', 'training, min', 'evaluation, min', ''],
      ...runs.map(({ name, state, step, steps, trainingSeconds, evaluationSeconds }) => [
        name,
        state === 'finished' ? `${steps}` : `${step} of ${steps}`,
        (trainingSeconds / 60).toFixed(1),
        (evaluationSeconds / 60).toFixed(1),
        state === 'finished' ? '' : state === 'begun' ? 'not finished' : 'missing',
      ]),
    ]),
  ];
  return `${parts.join('\n\n')}\n`;
}

function sectionText({ title, text, tables, findings, perplexity }: Section): string {
  return [
    `## ${title}`,
    text.replaceAll('\n', ' '),
    ...tables.map(tableText),
    ...(perplexity.length > 0 ? [perplexityText(perplexity)] : []),
    ...(findings.length > 0 ? [findings.map((finding) => `- ${sentence(finding)}`).join('\n')] : []),
  ].join('\n\n');
}

function tableText({ title, measures, rows }: Table): string {
  const withPaper = rows.some(({ paper }) => paper !== null);
  const heading = ['', 'T', ...measures.map(({ label }) => label), ...(withPaper ? ['paper'] : [])];
  const table = grid([
    heading,
    ...rows.map(({ label, temperature, figures, paper }) => [
      label,
      String(temperature),
      ...figures.map((summary, i) => figureText(summary, measures[i]!.digits)),
      ...(withPaper ? [temperature === 0 ? (paper ?? '') : ''] : []),
    ]),
  ]);
  return title === null ? table : `### ${title}\n\n${table}`;
}

function figureText(summary: Summary | null, digits: number): string {
  if (summary === null) return '';
  const { values, n, mean, deviation } = summary;
  if (mean === null) return 'missing';
  const spread = deviation === null ? '' : ` ± ${deviation.toFixed(digits)}`;
  return `${mean.toFixed(digits)}${spread}${n < values.length ? ` (${n} of ${values.length})` : ''}`;
}

const verdicts: Readonly<Record<Finding['verdict'], string>> = {
  holds: 'holds here',
  reversed: 'does not hold here: it is the other way round',
  'within the spread': 'cannot be told: the difference is within the spread',
  'too few runs': 'cannot be told: there are too few runs',
};

/** A finding in words, with its figures. */
export function sentence(finding: Finding): string {
  const { text, measure, temperature, better, worse, gain, verdict, seeds, paper } = finding;
  const figures =
    gain === null
      ? ''
      : ` ${short(better!)} against ${short(worse!)}, a gain of ${gainText(finding)}, ${seeds} ${seeds === 1 ? 'seed' : 'seeds'}.`;
  return `**${text}** (${measure}, T = ${temperature}): ${verdicts[verdict]}.${figures} Paper: ${paper}.`;
}

function gainText({ gain, standardError }: Finding): string {
  if (gain === null) return 'missing';
  return `${short(gain)}${standardError === null ? '' : ` ± ${short(standardError)} (standard error)`}`;
}

/** Three significant digits, or as many as whole numbers have. */
const short = (value: number): string =>
  Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));

const perplexityText = (rows: readonly PerplexityRow[]): string =>
  grid([
    ['task', 'perplexity', 'gain of RL over SFT', '', 'paper'],
    ...rows.map(({ task, perplexity, finding }) => [
      task,
      perplexity.toFixed(1),
      `${gainText(finding)} ${finding.measure}`,
      finding.verdict,
      finding.paper,
    ]),
  ]);

function grid(rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const [heading, ...rest] = rows as [readonly string[], ...(readonly string[])[]];
  return [line(heading), line(heading.map((_, i) => (i === 0 ? '---' : '---:'))), ...rest.map(line)].join(
    '\n',
  );
}
