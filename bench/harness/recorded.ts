import type { Measured } from './measure.js';

interface Recorded {
  peer: string;
  /** Milliseconds. */
  median: number;
}

type Row = [name: string, threads: number, peer: string, median: number];

/**
 * Native peers that package managers have for few systems, or not at all, called in a C++ loop: lapx (lapjvs), src-d/lapjv
 * (AVX2, float32), LAP1015, scipy's core and rapidfuzz-cpp. Measured on 2026-11-22 on two threads of an AMD EPYC (Zen 4), so
 * of use on a machine of that kind alone.
 */
const rows: Row[] = [
  ['assignment/4,096 x (10 x 10), costs of IoU', 1, 'lapjvs', 3.52],
  ['assignment/4,096 x (10 x 10), costs of IoU', 2, 'lapjvs', 1.86],
  ['assignment/4,096 x (10 x 10), uniform costs', 1, 'lapjvs', 3.61],
  ['assignment/4,096 x (10 x 10), uniform costs', 2, 'lapjvs', 2.08],
  ['assignment/4,096 x (20 x 13), costs of IoU', 1, "scipy's core", 10.1],
  ['assignment/4,096 x (20 x 13), costs of IoU', 2, "scipy's core", 5],
  ['assignment/1,024 x (100 x 100), costs of IoU', 1, 'lapjv AVX2', 85],
  ['assignment/1,024 x (100 x 100), costs of IoU', 2, 'lapjv AVX2', 45.6],
  ['assignment/1,024 x (100 x 100), uniform costs', 1, 'lapjv AVX2', 74],
  ['assignment/1,024 x (100 x 100), uniform costs', 2, 'lapjv AVX2', 41],
  ['assignment/64 x (300 x 300), costs of IoU', 1, 'lapjv AVX2', 77],
  ['assignment/64 x (300 x 300), costs of IoU', 2, 'lapjv AVX2', 41],
  ['assignment/64 x (300 x 300), uniform costs', 1, 'lapjv AVX2', 56],
  ['assignment/64 x (300 x 300), uniform costs', 2, 'lapjv AVX2', 29],
  ['assignment/1 x (1,000 x 1,000), costs of IoU', 1, 'LAP1015', 26.9],
  ['assignment/1 x (1,000 x 1,000), uniform costs', 1, 'lapjv AVX2', 7.6],
  ['assignment/1 x (5,000 x 5,000), costs of IoU', 1, 'LAP1015', 850],
  ['assignment/8 x (900 x 60), costs of IoU', 1, "scipy's core", 1.7],
  ['assignment/8 x (900 x 60), costs of IoU', 2, "scipy's core", 1.3],
  ['edit-distance/64 pages, 2 % errors', 1, 'rapidfuzz-cpp, hint', 9.2],
  ['edit-distance/64 pages, 2 % errors', 2, 'rapidfuzz-cpp, hint', 5],
  ['edit-distance/64 pages, 10 % errors', 1, 'rapidfuzz-cpp, hint', 15.8],
  ['edit-distance/64 pages, 10 % errors', 2, 'rapidfuzz-cpp, hint', 7.8],
  ['edit-distance/64 pages, 40 % errors', 1, 'rapidfuzz-cpp, hint', 32],
  ['edit-distance/64 pages, 40 % errors', 2, 'rapidfuzz-cpp, hint', 24],
  ['edit-distance/64 pages, unrelated', 1, 'rapidfuzz-cpp', 42.7],
  ['edit-distance/64 pages, unrelated', 2, 'rapidfuzz-cpp', 21.4],
  ['edit-distance/32 Chinese pages, 10 % errors', 1, 'rapidfuzz-cpp, hint', 5.6],
  ['edit-distance/32 Chinese pages, 10 % errors', 2, 'rapidfuzz-cpp, hint', 3.7],
  ['edit-distance/3,826 lines of 60, 10 % errors', 1, 'rapidfuzz-cpp', 1.03],
  ['edit-distance/3,826 lines of 60, 10 % errors', 2, 'rapidfuzz-cpp', 0.56],
];

export const recordedFor = ({ name, threads }: Pick<Measured, 'name' | 'threads'>): Recorded[] =>
  rows.filter((row) => row[0] === name && row[1] === threads).map(([, , peer, median]) => ({ peer, median }));
