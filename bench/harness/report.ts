/** Tables of what was measured, in Markdown. */
import type { Machine } from './machine.js';
import type { Measured } from './measure.js';
import { recordedFor } from './recorded.js';

export interface Report {
  machine: Machine;
  /** Processes that wanted to run, before and after. */
  load: [before: number, after: number];
  /** Milliseconds that each side was timed for, of each workload. */
  clock: number;
  peers: { present: Record<string, string>; absent: Record<string, string> };
  tasks: Measured[];
}

export const milliseconds = (value: number): string =>
  value >= 1000
    ? `${(value / 1000).toFixed(2)} s`
    : value >= 0.1
      ? `${Number(value.toPrecision(3))} ms`
      : `${Number((1000 * value).toPrecision(3))} us`;

const times = (ratio: number): string =>
  `${ratio >= 100 ? Math.round(ratio) : Number(ratio.toPrecision(2))} x`;

const share = (task: Measured): string =>
  task.limit ? `${Math.round((100 * task.limit.milliseconds) / task.own.median)} %` : '';

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, i) => Math.max(3, cell.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

/** One line of what was measured, while it goes on. */
export function summaryLine(task: Measured): string {
  const { own, peers } = task;
  const others = Object.entries(peers).map(
    ([name, { median }]) => `${name} ${milliseconds(median)} = ${times(median / own.median)}`,
  );
  const limit = task.limit ? [`${share(task)} of what the machine can do`] : [];
  const all = [`${milliseconds(own.median)} (p99 ${milliseconds(own.p99)})`, ...limit, ...others];
  return `${task.name}, ${task.threads} thread${task.threads === 1 ? '' : 's'}: ${all.join('; ')}`;
}

function group(tasks: readonly Measured[], withRecorded: boolean): string {
  const peers = [...new Set(tasks.flatMap((task) => Object.keys(task.peers)))];
  const limited = tasks.some((task) => task.limit);
  const recorded = withRecorded && tasks.some((task) => recordedFor(task).length > 0);
  const head = ['', 'threads', 'median', 'p99', ...(limited ? ['of the limit'] : []), ...peers];
  const rows = tasks.map((task) => {
    const against = (median: number, part = ''): string =>
      `${milliseconds(median)} = ${times(median / task.own.median)}${part}`;
    return [
      task.name.slice(task.name.indexOf('/') + 1),
      String(task.threads),
      milliseconds(task.own.median),
      milliseconds(task.own.p99),
      ...(limited ? [share(task)] : []),
      ...peers.map((name) => {
        const peer = task.peers[name];
        return peer ? against(peer.median, peer.share < 1 ? ` (of ${Math.round(1 / peer.share)})` : '') : '';
      }),
      ...(recorded
        ? [
            recordedFor(task)
              .map(({ peer, median }) => `${peer} ${against(median)}`)
              .join('; '),
          ]
        : []),
    ];
  });
  return table(recorded ? [...head, 'recorded'] : head, rows);
}

const list = (entries: Record<string, string>): string =>
  Object.entries(entries)
    .map(([name, text]) => (text ? `${name} (${text})` : name))
    .join('; ');

export function markdown(report: Report, withRecorded: boolean): string {
  const { machine, load, clock, peers, tasks } = report;
  const facts = {
    date: machine.date.slice(0, 16).replace('T', ' '),
    processor: `${machine.cpu}, ${machine.hardwareThreads} threads, ${machine.memoryGiB} GiB`,
    system: machine.system,
    'perception-r1': `${machine.version}${machine.commit ? ` (${machine.commit})` : ''}, ${machine.variant}, compiled by ${machine.compiler}`,
    node: machine.node,
    'load of the machine': `${load[0]} before, ${load[1]} after`,
    clock: `${clock} ms on each side`,
    peers: list(peers.present) || 'none; `npm run bench:peers` prepares them',
    ...(Object.keys(peers.absent).length > 0 && { 'not measured': list(peers.absent) }),
  };
  const groupOf = ({ name }: Measured): string => name.slice(0, name.indexOf('/'));
  const groups = [...new Set(tasks.map(groupOf))];
  const failures = tasks.flatMap(({ name, threads, failed }) =>
    Object.entries(failed).map(([peer, why]) => `- ${name}, ${threads} threads: ${peer}: ${why}`),
  );
  return [
    Object.entries(facts)
      .map(([name, value]) => `- ${name}: ${value}`)
      .join('\n'),
    'A ratio is how much longer the peer takes. "(of 16)": it did a sixteenth of the work, and the time is scaled up.',
    ...(withRecorded
      ? [
          'Recorded: peers that are rarely to be had, measured from source on another day (bench/harness/recorded.ts).',
        ]
      : []),
    ...groups.flatMap((name) => [
      `## ${name}`,
      group(
        tasks.filter((task) => groupOf(task) === name),
        withRecorded,
      ),
    ]),
    ...(failures.length > 0 ? [`## Peers that failed\n\n${failures.join('\n')}`] : []),
    '',
  ].join('\n\n');
}
