import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { PerceptionError } from '../../errors.js';
import { refused, writeWhole } from '../../files/whole.js';
import { wholeNumber } from '../../ops/validate.js';
import {
  decodeHeader,
  decodeSafetensors,
  encodeSafetensors,
  headerLength,
  type Tensor,
} from './safetensors.js';

/** The state of a training after a step. */
export interface Checkpoint {
  /** Steps done. */
  step: number;
  /** Texts to be kept beside the tensors; the names `step` and `keep` are the file's own. */
  metadata: Record<string, string>;
  /** float32 and int32 tensors by name. */
  tensors: Record<string, Tensor>;
}

export interface WriteCheckpointOptions {
  /** Marks it as one that stays when a run removes its older ones. Default false. */
  keep?: boolean;
  /** 'F16' halves the size, by rounding to 11 bits: for weights that are handed on. Default 'F32'. */
  floats?: 'F32' | 'F16';
}

/**
 * Writes a checkpoint as a safetensors file, as a whole or not at all.
 * @throws PerceptionError SHAPE_MISMATCH, INVALID_VALUE as `encodeSafetensors`; INVALID_ARGUMENT for a wrong step or metadata,
 *   and where the file system refuses
 */
export function writeCheckpoint(
  path: string,
  { step, metadata, tensors }: Checkpoint,
  { keep = false, floats = 'F32' }: WriteCheckpointOptions = {},
): void {
  wholeNumber(step, 'checkpoint.step', 0);
  for (const [name, value] of Object.entries(metadata)) {
    if (name === 'step' || name === 'keep' || typeof value !== 'string') {
      throw new PerceptionError(
        'INVALID_ARGUMENT',
        `checkpoint.metadata["${name}"]: expected a string, and not under the name step or keep, which the file itself uses`,
      );
    }
  }
  const texts = { step: String(step), ...(keep && { keep: 'true' }), ...metadata };
  writeWhole(path, ...encodeSafetensors({ metadata: texts, tensors }, { floats }));
}

/**
 * Reads a checkpoint; every byte of it is checked.
 * @throws PerceptionError INVALID_INPUT where the file is damaged or no checkpoint; INVALID_ARGUMENT where it cannot be read
 */
export function readCheckpoint(path: string): Checkpoint {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw refused(path, 'read', error);
  }
  const { metadata, tensors } = decodeSafetensors(bytes, path);
  const { step: text, keep: _, ...texts } = metadata;
  if (text === undefined || !/^\d{1,15}$/.test(text)) {
    throw new PerceptionError(
      'INVALID_INPUT',
      `${path}: expected a checkpoint, which has its step in the metadata, received ${text === undefined ? 'none' : `"${text}"`}`,
    );
  }
  return { step: Number(text), metadata: texts, tensors };
}

/** Whether a checkpoint is marked as one that stays; false where its header is damaged. */
export function isKept(path: string): boolean {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const first = (length: number): Uint8Array => {
      const bytes = new Uint8Array(Math.min(length, size));
      readSync(file, bytes, 0, bytes.length, 0);
      return bytes;
    };
    const start = first(8);
    const bytes = start.length < 8 ? start : first(8 + headerLength(start));
    return decodeHeader(bytes, size, path).metadata.keep === 'true';
  } catch (error) {
    if (error instanceof PerceptionError) return false;
    throw error;
  } finally {
    closeSync(file);
  }
}
