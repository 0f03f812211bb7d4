/** The study of `perception-r1 study`; docs/study.md says what it compares. */
export { useBackend } from '../backend.js';
export { describeMachine, type Machine } from './machine.js';
export { type Published, reportMarkdown } from './markdown.js';
export { readRun } from './results.js';
export { remainingSeconds, runStudy, type StudyProgress } from './runner.js';
export { makeReport } from './tables.js';
