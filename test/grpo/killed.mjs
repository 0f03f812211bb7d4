// node --import ./killed.mjs program: the process is killed in the first operation on a file that KILL_AT names, as in
// "write metrics.jsonl"; of what is written there, the first half is. Between two operations the disk stays as it is, so a
// kill at one of them is as one at any time since the one before.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const { openSync, writeSync } = fs;
const [operation, file] = process.env.KILL_AT.split(' ');
const name = operation === 'write' ? 'writeFileSync' : `${operation}Sync`; // appendFileSync calls writeFileSync
const own = fs[name];
const paths = new Map();

fs.openSync = (path, ...rest) => {
  const descriptor = openSync(path, ...rest);
  paths.set(descriptor, path);
  return descriptor;
};
fs[name] = (path, ...args) => {
  if (!String(paths.get(path) ?? path).includes(file)) return own(path, ...args);
  if (operation === 'write') {
    const [data, ...rest] = args;
    own(path, Buffer.from(data).subarray(0, data.length / 2), ...rest);
  }
  writeSync(2, `killed: ${process.env.KILL_AT}`);
  process.kill(process.pid, 'SIGKILL');
  for (;;); // until the signal comes
};
syncBuiltinESMExports();
