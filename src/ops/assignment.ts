import { DeviceArguments, onDevice } from '../device/arguments.js';
import { type DeviceChoice, goesToGpu, work } from '../device/choose.js';
import { type DeviceTensor, deviceTensor } from '../device/tensor.js';
import { invalid } from '../errors.js';
import type { DeviceHandle } from '../native/binding.js';
import { type Call, runAsync, runSync } from '../native/load.js';
import type { RaggedMatrices } from '../ragged.js';
import { offsetsOf, optionsObject, sizeOf, typedArray, wholeNumber } from './validate.js';

export interface AssignmentOptions {
  /** Find the greatest sum rather than the least. Default false. */
  maximize?: boolean;
}

export interface Assignment {
  /** Matched rows, ascending, `[min(rows, cols)]`. */
  rowIndices: Int32Array;
  /** The column of each of them. */
  columnIndices: Int32Array;
  /** Sum of the chosen costs, in double precision. */
  cost: number;
}

export interface AssignmentBatch {
  /** The column of each row, -1 for an unmatched one; the rows of all problems one after the other. */
  columnOfRow: Int32Array;
  /** Sum of each problem's chosen costs. */
  costs: Float64Array;
}

/** Costs `[B, rows, cols]` on a GPU, float32 or float64. */
export type DeviceCosts = DeviceTensor<Float32Array> | DeviceTensor<Float64Array>;

/** For costs that are a DeviceTensor. */
export interface DeviceAssignmentOptions extends AssignmentOptions {
  /** int32 `[B]`: how many of each problem's rows and columns are real. Default all. */
  rowCounts?: DeviceTensor<Int32Array>;
  colCounts?: DeviceTensor<Int32Array>;
}

export interface DeviceAssignmentBatch {
  /** int32 `[B, rows]`: the column of each row, -1 for unmatched rows and those beyond the count. */
  columnOfRow: DeviceTensor<Int32Array>;
  /** float64 `[B]`: sum of each problem's chosen costs. */
  costs: DeviceTensor<Float64Array>;
}

function maximizeOf({ maximize = false }: AssignmentOptions): boolean {
  if (typeof maximize !== 'boolean') throw invalid('INVALID_ARGUMENT', 'maximize', 'a boolean', maximize);
  return maximize;
}

function assignmentCall(
  cost: Float32Array | Float64Array,
  rows: number,
  cols: number,
  options: AssignmentOptions | undefined,
): Call<number, Assignment> {
  typedArray<Float32Array | Float64Array>(cost, 'cost', Float32Array, Float64Array);
  wholeNumber(rows, 'rows', 0);
  wholeNumber(cols, 'cols', 0);
  if (cost.length !== rows * cols) {
    throw invalid('SHAPE_MISMATCH', 'cost', `rows * cols = ${rows * cols} values`, cost);
  }
  const maximize = maximizeOf(optionsObject(options, 'options', ['maximize']));
  const columnOfRow = new Int32Array(rows);
  return {
    start: (native, off) => native.linearSumAssignment(cost, rows, cols, maximize, columnOfRow, off),
    finish: (total) => {
      const rowIndices = new Int32Array(Math.min(rows, cols));
      const columnIndices = new Int32Array(rowIndices.length);
      let matched = 0;
      for (let row = 0; row < rows; row++) {
        if (columnOfRow[row]! < 0) continue;
        rowIndices[matched] = row;
        columnIndices[matched++] = columnOfRow[row]!;
      }
      return { rowIndices, columnIndices, cost: total };
    },
  };
}

/**
 * Pairs rows with columns one to one at the least total cost, exactly (shortest augmenting paths, Crouse 2016).
 *
 * The contract is scipy's `linear_sum_assignment`: any rectangle, empty ones too; min(rows, cols) pairs; NaN and
 * -Infinity are refused; +Infinity forbids a pair (signs turned around when maximizing).
 *
 * @param cost `[rows, cols]`, row-major
 * @throws PerceptionError INFEASIBLE where every complete assignment needs a forbidden pair; INVALID_VALUE,
 * SHAPE_MISMATCH, INVALID_ARGUMENT, DETACHED_BUFFER
 * @example linearSumAssignment(new Float64Array([4, 1, 3, 2, 0, 5]), 2, 3) // rows [0, 1], columns [1, 0], cost 3
 */
export function linearSumAssignment(
  cost: Float32Array | Float64Array,
  rows: number,
  cols: number,
  options?: AssignmentOptions,
): Assignment {
  return runSync(assignmentCall(cost, rows, cols, options));
}

/** {@link linearSumAssignment} off this thread. The input is copied first and may be changed at once. */
export async function linearSumAssignmentAsync(
  cost: Float32Array | Float64Array,
  rows: number,
  cols: number,
  options?: AssignmentOptions,
): Promise<Assignment> {
  return runAsync(assignmentCall(cost, rows, cols, options));
}

function assignmentBatchCall(
  costs: RaggedMatrices<Float32Array | Float64Array>,
  options: (AssignmentOptions & DeviceChoice) | undefined,
): Call<unknown, AssignmentBatch> {
  if (typeof costs !== 'object' || costs === null) {
    throw invalid('INVALID_ARGUMENT', 'costs', '{values, offsets, rows, cols}', costs);
  }
  const values = typedArray<Float32Array | Float64Array>(
    costs.values,
    'costs.values',
    Float32Array,
    Float64Array,
  );
  const offsets = offsetsOf(costs.offsets, values.length, 'costs.offsets');
  const rows = typedArray(costs.rows, 'costs.rows', Int32Array);
  const cols = typedArray(costs.cols, 'costs.cols', Int32Array);
  const problems = offsets.length - 1;
  if (rows.length !== problems) throw invalid('SHAPE_MISMATCH', 'costs.rows', `${problems} entries`, rows);
  if (cols.length !== problems) throw invalid('SHAPE_MISMATCH', 'costs.cols', `${problems} entries`, cols);
  const rowOffsets = new Int32Array(problems + 1);
  for (let i = 0; i < problems; i++) {
    rowOffsets[i + 1] = sizeOf(rowOffsets[i]! + wholeNumber(rows[i], `costs.rows[${i}]`, 0), 'costs.rows');
  }
  const o = optionsObject(options, 'options', ['maximize', 'device']);
  const maximize = maximizeOf(o);
  const gpu = goesToGpu(o.device, () => work.assignment(rows, cols, values.byteLength + 4 * rows.length));
  const columnOfRow = new Int32Array(rowOffsets[problems]!);
  const totals = new Float64Array(problems);
  return {
    start: (native, off) =>
      gpu
        ? native.cudaLinearSumAssignmentBatch(
            0,
            values,
            values instanceof Float64Array,
            offsets,
            rows,
            cols,
            maximize,
            columnOfRow,
            totals,
            off,
          )
        : native.linearSumAssignmentBatch(
            values,
            offsets,
            rows,
            cols,
            maximize,
            rowOffsets,
            columnOfRow,
            totals,
            off,
          ),
    finish: () => ({ columnOfRow, costs: totals }),
  };
}

function deviceAssignmentCall(
  costs: DeviceCosts,
  options: DeviceAssignmentOptions | undefined,
): Call<DeviceHandle[], DeviceAssignmentBatch> {
  const o = optionsObject(options, 'options', ['maximize', 'rowCounts', 'colCounts']);
  const args = new DeviceArguments();
  const { handle, dtype, shape } = args.tensor(costs, 'costs', ['float32', 'float64'], ['B', 'rows', 'cols']);
  const [batch, rows, cols] = shape as [number, number, number];
  const rowCounts = args.optional(o.rowCounts, 'rowCounts', 'B');
  const colCounts = args.optional(o.colCounts, 'colCounts', 'B');
  const maximize = maximizeOf(o);
  const { device } = args;
  return {
    start: (native, off) =>
      native.cudaLinearSumAssignmentPadded(
        device,
        handle,
        dtype === 'float64',
        batch,
        rows,
        cols,
        rowCounts,
        colCounts,
        maximize,
        undefined,
        undefined,
        off,
      ),
    finish: ([columnOfRow, totals]) => ({
      columnOfRow: deviceTensor(columnOfRow!, 'int32', [batch, rows], device),
      costs: deviceTensor(totals!, 'float64', [batch], device),
    }),
  };
}

/**
 * {@link linearSumAssignment} for a batch of matrices, in parallel over the batch.
 *
 * @returns `columnOfRow`: the rows of problem 0, then those of problem 1, ...; -1 = unmatched
 * @throws PerceptionError as linearSumAssignment, the message naming the first problem at fault; INVALID_OFFSETS
 */
export function linearSumAssignmentBatch(
  costs: RaggedMatrices<Float32Array | Float64Array>,
  options?: AssignmentOptions & DeviceChoice,
): AssignmentBatch;
/**
 * On a GPU, where `costs` are.
 *
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH, TOO_LARGE, WRONG_DEVICE, DISPOSED, OUT_OF_MEMORY,
 * DEVICE_LOST; when the result is read INFEASIBLE, INVALID_VALUE (a cost, or a count beyond its rows)
 */
export function linearSumAssignmentBatch(
  costs: DeviceCosts,
  options?: DeviceAssignmentOptions,
): DeviceAssignmentBatch;
export function linearSumAssignmentBatch(
  costs: RaggedMatrices<Float32Array | Float64Array> | DeviceCosts,
  options?: (AssignmentOptions & DeviceChoice) | DeviceAssignmentOptions,
): AssignmentBatch | DeviceAssignmentBatch {
  return onDevice(costs)
    ? runSync(deviceAssignmentCall(costs as DeviceCosts, options))
    : runSync(assignmentBatchCall(costs as RaggedMatrices, options));
}

/** {@link linearSumAssignmentBatch} off this thread. Typed arrays are copied first and may be changed at once. */
export async function linearSumAssignmentBatchAsync(
  costs: RaggedMatrices<Float32Array | Float64Array>,
  options?: AssignmentOptions & DeviceChoice,
): Promise<AssignmentBatch>;
export async function linearSumAssignmentBatchAsync(
  costs: DeviceCosts,
  options?: DeviceAssignmentOptions,
): Promise<DeviceAssignmentBatch>;
export async function linearSumAssignmentBatchAsync(
  costs: RaggedMatrices<Float32Array | Float64Array> | DeviceCosts,
  options?: (AssignmentOptions & DeviceChoice) | DeviceAssignmentOptions,
): Promise<AssignmentBatch | DeviceAssignmentBatch> {
  return onDevice(costs)
    ? runAsync(deviceAssignmentCall(costs as DeviceCosts, options))
    : runAsync(assignmentBatchCall(costs as RaggedMatrices, options));
}
