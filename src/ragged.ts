/** A list of lists: list i is `values[offsets[i] .. offsets[i + 1])`. `offsets` has n + 1 entries and starts at 0. */
export interface Ragged<T extends Float32Array | Float64Array | Int32Array = Float32Array> {
  values: T;
  offsets: Int32Array;
}

/** A batch of matrices: matrix i is `rows[i]` x `cols[i]`, row-major, and starts at `values[offsets[i]]`. */
export interface RaggedMatrices<T extends Float32Array | Float64Array = Float32Array> extends Ragged<T> {
  rows: Int32Array;
  cols: Int32Array;
}
