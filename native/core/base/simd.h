// The vector operations that kernels are written in (see isa.h): in the namespace of each instruction set the
// same few types and functions, as wide as its registers.
//
// Doubles, with Mask: floats are loaded as doubles and stored as floats. Comparisons are false for NaN.
// Beside the operators of a double:
//
//   load(p, Leading(count), fill)   the first `count` (clamped to 0 ... kLanes) from memory, `fill` in the
//   rest store(p, mask, x)               writes the lanes of the mask alone min(mask, a, b) min(a, b) in the
//   lanes of the mask, a in the others least(x)                        the least lane, in all lanes first(x)
//   lane 0 lanes_of(bits)                  the mask of which bits(mask) is `bits` transpose(rows) of kLanes
//   rows in place
//
// Floats, twice as many as Doubles:
//
//   load(p, count)                  the first `count` (clamped to 0 ... kLanes) from memory, 0 in the rest
//   store(p, x, count)              writes the first `count` (less than kLanes) lanes alone
//   lesser, greater, positive, where_finite, where_positive
//                                   as for numbers in core/geometry/overlap.h
//   low(x), high(x)                 either half as Doubles; join(low, high) rounds
//   end_streams()                   before other threads read what was streamed
//
// and where registers are wider than 16 bytes:
//
//   stream(p, x)                    writes past the caches; p is aligned to the register
//   rotate(x, by)                   lane i goes to lane i + by, modulo kLanes
//   join(x, y, count)               the first `count` (less than kLanes) lanes of x, the others of y
//
// Words, of 64 bits:
//
//   or_nor(a, b, c)                 a | ~(b | c)
//   top_bits(x)                     of each lane its highest bit, alone, as its lowest
//   moved_up(x, below)              lane l is lane l - 1 of x, lane 0 is the last lane of `below`
//   blend<lanes>(a, b)              of b the lanes of the mask, of a the others
//   load<lanes>(p, x)               the lanes of the mask from memory, of x the others
//   store_last(p, x)                writes the last lane alone
//
// Bytes, 64 from memory: where(x) is the mask of those that are x.
#pragma once

#include "core/base/isa.h"

#if defined(_MSC_VER)
#define PERCEPTION_INLINE __forceinline
#else
#define PERCEPTION_INLINE __attribute__((always_inline)) inline
#endif

#if defined(__SSE2__) || defined(_M_X64)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes what the intrinsics leave undefined on purpose for a mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif
#include "core/base/simd/sse2.h"
#else
#include "core/base/simd/portable.h"
#endif

#if defined(PERCEPTION_HAS_AVX)
#include "core/base/simd/avx2.h"
#include "core/base/simd/avx512.h"
#endif
