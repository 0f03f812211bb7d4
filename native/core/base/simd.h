// The vector operations that kernels are written in (see isa.h): in the namespace of each instruction set the
// same few types and functions, as wide as its registers.
#pragma once

#include <cstdint>

#include "core/base/isa.h"

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
#define PERCEPTION_SSE2
#endif

#if defined(_MSC_VER)
#define PERCEPTION_INLINE __forceinline
#else
#define PERCEPTION_INLINE __attribute__((always_inline)) inline
#endif

// Doubles. Floats are loaded as doubles and stored as floats. Comparisons are false for NaN. Of functions
// that differ from the operators of a double:
//
//   load(p, count, fill)   the first `count` (clamped to 0 ... kLanes) from memory, `fill` in the other lanes
//   store(p, mask, x)      writes the lanes of the mask alone
//   min(mask, a, b)        min(a, b) in the lanes of the mask, a in the others
//   least(x)               the least lane, in all lanes
//   first(x)               lane 0
//   lanes_of(bits)         the mask of which bits(mask) is `bits`
//   transpose(rows)        of kLanes rows in place

namespace perception {

namespace baseline {

#if defined(PERCEPTION_SSE2)

struct Mask {
  __m128d lanes;
};

struct Doubles {
  static constexpr int kLanes = 2;
  __m128d lanes;
};

PERCEPTION_INLINE Doubles broadcast(double x) { return {_mm_set1_pd(x)}; }
PERCEPTION_INLINE Doubles load(const double* p) { return {_mm_loadu_pd(p)}; }
PERCEPTION_INLINE Doubles load(const float* p) {
  return {_mm_cvtps_pd(_mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))))};
}
template <class T>
PERCEPTION_INLINE Doubles load(const T* p, int64_t count, double fill) {
  if (count >= Doubles::kLanes) return load(p);
  return {_mm_set_pd(fill, count > 0 ? static_cast<double>(*p) : fill)};
}
PERCEPTION_INLINE void store(double* p, Doubles x) { _mm_storeu_pd(p, x.lanes); }
PERCEPTION_INLINE void store(float* p, Doubles x) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_castps_si128(_mm_cvtpd_ps(x.lanes)));
}

PERCEPTION_INLINE Doubles operator+(Doubles a, Doubles b) { return {_mm_add_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles operator-(Doubles a, Doubles b) { return {_mm_sub_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles operator*(Doubles a, Doubles b) { return {_mm_mul_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles min(Doubles a, Doubles b) { return {_mm_min_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles max(Doubles a, Doubles b) { return {_mm_max_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles least(Doubles x) {
  return {_mm_min_pd(x.lanes, _mm_shuffle_pd(x.lanes, x.lanes, 1))};
}
PERCEPTION_INLINE double first(Doubles x) { return _mm_cvtsd_f64(x.lanes); }

PERCEPTION_INLINE Mask operator<(Doubles a, Doubles b) { return {_mm_cmplt_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Mask operator<=(Doubles a, Doubles b) { return {_mm_cmple_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Mask operator==(Doubles a, Doubles b) { return {_mm_cmpeq_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Mask operator&(Mask a, Mask b) { return {_mm_and_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Mask operator|(Mask a, Mask b) { return {_mm_or_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE uint32_t bits(Mask mask) { return static_cast<uint32_t>(_mm_movemask_pd(mask.lanes)); }
PERCEPTION_INLINE Mask lanes_of(uint32_t bits) {
  const __m128i lane = _mm_set_epi32(2, 2, 1, 1);
  return {
      _mm_castsi128_pd(_mm_cmpeq_epi32(_mm_and_si128(_mm_set1_epi32(static_cast<int>(bits)), lane), lane))};
}
PERCEPTION_INLINE Doubles select(Mask mask, Doubles a, Doubles b) {
  return {_mm_or_pd(_mm_and_pd(mask.lanes, a.lanes), _mm_andnot_pd(mask.lanes, b.lanes))};
}

PERCEPTION_INLINE void transpose(Doubles (&rows)[2]) {
  const __m128d low = _mm_unpacklo_pd(rows[0].lanes, rows[1].lanes);
  rows[1].lanes = _mm_unpackhi_pd(rows[0].lanes, rows[1].lanes);
  rows[0].lanes = low;
}

#else

struct Mask {
  bool lanes[2];
};

struct Doubles {
  static constexpr int kLanes = 2;
  double lanes[2];
};

PERCEPTION_INLINE Doubles broadcast(double x) { return {x, x}; }
template <class T>
PERCEPTION_INLINE Doubles load(const T* p) {
  return {static_cast<double>(p[0]), static_cast<double>(p[1])};
}
template <class T>
PERCEPTION_INLINE Doubles load(const T* p, int64_t count, double fill) {
  return {count > 0 ? static_cast<double>(p[0]) : fill, count > 1 ? static_cast<double>(p[1]) : fill};
}
template <class T>
PERCEPTION_INLINE void store(T* p, Doubles x) {
  p[0] = static_cast<T>(x.lanes[0]);
  p[1] = static_cast<T>(x.lanes[1]);
}

#define PERCEPTION_LANEWISE(Result, name, Operand, expression)           \
  PERCEPTION_INLINE Result name(Operand a, Operand b) {                  \
    const auto lane = [](auto a, auto b) { return expression; };         \
    return {lane(a.lanes[0], b.lanes[0]), lane(a.lanes[1], b.lanes[1])}; \
  }
PERCEPTION_LANEWISE(Doubles, operator+, Doubles, a + b)
PERCEPTION_LANEWISE(Doubles, operator-, Doubles, a - b)
PERCEPTION_LANEWISE(Doubles, operator*, Doubles, a* b)
PERCEPTION_LANEWISE(Doubles, min, Doubles, a < b ? a : b)
PERCEPTION_LANEWISE(Doubles, max, Doubles, a > b ? a : b)
PERCEPTION_LANEWISE(Mask, operator<, Doubles, a < b)
PERCEPTION_LANEWISE(Mask, operator<=, Doubles, a <= b)
PERCEPTION_LANEWISE(Mask, operator==, Doubles, a == b)
PERCEPTION_LANEWISE(Mask, operator&, Mask, a&& b)
PERCEPTION_LANEWISE(Mask, operator|, Mask, a || b)
#undef PERCEPTION_LANEWISE
PERCEPTION_INLINE Doubles least(Doubles x) {
  return broadcast(x.lanes[0] < x.lanes[1] ? x.lanes[0] : x.lanes[1]);
}
PERCEPTION_INLINE double first(Doubles x) { return x.lanes[0]; }
PERCEPTION_INLINE uint32_t bits(Mask mask) { return mask.lanes[0] | mask.lanes[1] << 1; }
PERCEPTION_INLINE Mask lanes_of(uint32_t bits) { return {(bits & 1) != 0, (bits & 2) != 0}; }
PERCEPTION_INLINE Doubles select(Mask mask, Doubles a, Doubles b) {
  return {mask.lanes[0] ? a.lanes[0] : b.lanes[0], mask.lanes[1] ? a.lanes[1] : b.lanes[1]};
}
PERCEPTION_INLINE void transpose(Doubles (&rows)[2]) {
  const double corner = rows[0].lanes[1];
  rows[0].lanes[1] = rows[1].lanes[0];
  rows[1].lanes[0] = corner;
}

#endif

PERCEPTION_INLINE void store(double* p, Mask mask, Doubles x) { store(p, select(mask, x, load(p))); }
PERCEPTION_INLINE Doubles min(Mask mask, Doubles a, Doubles b) { return select(mask, min(a, b), a); }

}  // namespace baseline

#if defined(PERCEPTION_HAS_AVX)

PERCEPTION_BEGIN_AVX2
namespace avx2 {

struct Mask {
  __m256d lanes;
};

struct Doubles {
  static constexpr int kLanes = 4;
  __m256d lanes;
};

PERCEPTION_INLINE Mask lanes_of(uint32_t bits) {
  const __m256i lane = _mm256_set_epi64x(8, 4, 2, 1);
  return {_mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(bits), lane), lane))};
}
PERCEPTION_INLINE uint32_t bits(Mask mask) { return static_cast<uint32_t>(_mm256_movemask_pd(mask.lanes)); }
PERCEPTION_INLINE Mask operator&(Mask a, Mask b) { return {_mm256_and_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Mask operator|(Mask a, Mask b) { return {_mm256_or_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles select(Mask mask, Doubles a, Doubles b) {
  return {_mm256_blendv_pd(b.lanes, a.lanes, mask.lanes)};
}

PERCEPTION_INLINE Doubles broadcast(double x) { return {_mm256_set1_pd(x)}; }
PERCEPTION_INLINE Doubles load(const double* p) { return {_mm256_loadu_pd(p)}; }
PERCEPTION_INLINE Doubles load(const float* p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p))}; }
PERCEPTION_INLINE Doubles load(const double* p, int64_t count, double fill) {
  const __m256i mask = _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_set_epi64x(3, 2, 1, 0));
  return {_mm256_blendv_pd(_mm256_set1_pd(fill), _mm256_maskload_pd(p, mask), _mm256_castsi256_pd(mask))};
}
PERCEPTION_INLINE Doubles load(const float* p, int64_t count, double fill) {
  const __m128i mask = _mm_cmpgt_epi32(_mm_set1_epi32(static_cast<int>(count)), _mm_set_epi32(3, 2, 1, 0));
  return {_mm256_blendv_pd(_mm256_set1_pd(fill), _mm256_cvtps_pd(_mm_maskload_ps(p, mask)),
                           _mm256_castsi256_pd(_mm256_cvtepi32_epi64(mask)))};
}
PERCEPTION_INLINE void store(double* p, Doubles x) { _mm256_storeu_pd(p, x.lanes); }
PERCEPTION_INLINE void store(float* p, Doubles x) { _mm_storeu_ps(p, _mm256_cvtpd_ps(x.lanes)); }
PERCEPTION_INLINE void store(double* p, Mask mask, Doubles x) { store(p, select(mask, x, load(p))); }

PERCEPTION_INLINE Doubles operator+(Doubles a, Doubles b) { return {_mm256_add_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles operator-(Doubles a, Doubles b) { return {_mm256_sub_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles operator*(Doubles a, Doubles b) { return {_mm256_mul_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles min(Doubles a, Doubles b) { return {_mm256_min_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles min(Mask mask, Doubles a, Doubles b) { return select(mask, min(a, b), a); }
PERCEPTION_INLINE Doubles max(Doubles a, Doubles b) { return {_mm256_max_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles least(Doubles x) {
  const __m256d halves = _mm256_min_pd(x.lanes, _mm256_permute2f128_pd(x.lanes, x.lanes, 1));
  return {_mm256_min_pd(halves, _mm256_permute_pd(halves, 0b0101))};
}
PERCEPTION_INLINE double first(Doubles x) { return _mm256_cvtsd_f64(x.lanes); }
PERCEPTION_INLINE Mask operator<(Doubles a, Doubles b) {
  return {_mm256_cmp_pd(a.lanes, b.lanes, _CMP_LT_OQ)};
}
PERCEPTION_INLINE Mask operator<=(Doubles a, Doubles b) {
  return {_mm256_cmp_pd(a.lanes, b.lanes, _CMP_LE_OQ)};
}
PERCEPTION_INLINE Mask operator==(Doubles a, Doubles b) {
  return {_mm256_cmp_pd(a.lanes, b.lanes, _CMP_EQ_OQ)};
}

PERCEPTION_INLINE void transpose(Doubles (&rows)[4]) {
  const __m256d even_low = _mm256_unpacklo_pd(rows[0].lanes, rows[1].lanes);
  const __m256d odd_low = _mm256_unpackhi_pd(rows[0].lanes, rows[1].lanes);
  const __m256d even_high = _mm256_unpacklo_pd(rows[2].lanes, rows[3].lanes);
  const __m256d odd_high = _mm256_unpackhi_pd(rows[2].lanes, rows[3].lanes);
  rows[0].lanes = _mm256_permute2f128_pd(even_low, even_high, 0x20);
  rows[1].lanes = _mm256_permute2f128_pd(odd_low, odd_high, 0x20);
  rows[2].lanes = _mm256_permute2f128_pd(even_low, even_high, 0x31);
  rows[3].lanes = _mm256_permute2f128_pd(odd_low, odd_high, 0x31);
}

}  // namespace avx2
PERCEPTION_END_ISA

PERCEPTION_BEGIN_AVX512
namespace avx512 {

struct Mask {
  __mmask8 lanes;
};

struct Doubles {
  static constexpr int kLanes = 8;
  __m512d lanes;
};

PERCEPTION_INLINE Mask lanes_of(uint32_t bits) { return {static_cast<__mmask8>(bits)}; }
PERCEPTION_INLINE uint32_t bits(Mask mask) { return mask.lanes; }
PERCEPTION_INLINE Mask operator&(Mask a, Mask b) { return {static_cast<__mmask8>(a.lanes & b.lanes)}; }
PERCEPTION_INLINE Mask operator|(Mask a, Mask b) { return {static_cast<__mmask8>(a.lanes | b.lanes)}; }
PERCEPTION_INLINE Doubles select(Mask mask, Doubles a, Doubles b) {
  return {_mm512_mask_mov_pd(b.lanes, mask.lanes, a.lanes)};
}

PERCEPTION_INLINE Doubles broadcast(double x) { return {_mm512_set1_pd(x)}; }
PERCEPTION_INLINE Doubles load(const double* p) { return {_mm512_loadu_pd(p)}; }
PERCEPTION_INLINE Doubles load(const float* p) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
PERCEPTION_INLINE __mmask8 leading(int64_t count) {
  const uint32_t lanes = count < 0 ? 0 : count > 8 ? 8 : static_cast<uint32_t>(count);
  return static_cast<__mmask8>((1u << lanes) - 1);
}
PERCEPTION_INLINE Doubles load(const double* p, int64_t count, double fill) {
  return {_mm512_mask_loadu_pd(_mm512_set1_pd(fill), leading(count), p)};
}
PERCEPTION_INLINE Doubles load(const float* p, int64_t count, double fill) {
  const __mmask8 mask = leading(count);
  return {_mm512_mask_cvtps_pd(_mm512_set1_pd(fill), mask, _mm256_maskz_loadu_ps(mask, p))};
}
PERCEPTION_INLINE void store(double* p, Doubles x) { _mm512_storeu_pd(p, x.lanes); }
PERCEPTION_INLINE void store(float* p, Doubles x) { _mm256_storeu_ps(p, _mm512_cvtpd_ps(x.lanes)); }
PERCEPTION_INLINE void store(double* p, Mask mask, Doubles x) {
  _mm512_mask_storeu_pd(p, mask.lanes, x.lanes);
}

PERCEPTION_INLINE Doubles operator+(Doubles a, Doubles b) { return {_mm512_add_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles operator-(Doubles a, Doubles b) { return {_mm512_sub_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles operator*(Doubles a, Doubles b) { return {_mm512_mul_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles min(Doubles a, Doubles b) { return {_mm512_min_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles min(Mask mask, Doubles a, Doubles b) {
  return {_mm512_mask_min_pd(a.lanes, mask.lanes, a.lanes, b.lanes)};
}
PERCEPTION_INLINE Doubles max(Doubles a, Doubles b) { return {_mm512_max_pd(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Doubles least(Doubles x) {
  const __m256d half = _mm256_min_pd(_mm512_castpd512_pd256(x.lanes), _mm512_extractf64x4_pd(x.lanes, 1));
  const __m128d pair = _mm_min_pd(_mm256_castpd256_pd128(half), _mm256_extractf128_pd(half, 1));
  return {_mm512_broadcastsd_pd(_mm_min_sd(pair, _mm_unpackhi_pd(pair, pair)))};
}
PERCEPTION_INLINE double first(Doubles x) { return _mm512_cvtsd_f64(x.lanes); }
PERCEPTION_INLINE Mask operator<(Doubles a, Doubles b) {
  return {_mm512_cmp_pd_mask(a.lanes, b.lanes, _CMP_LT_OQ)};
}
PERCEPTION_INLINE Mask operator<=(Doubles a, Doubles b) {
  return {_mm512_cmp_pd_mask(a.lanes, b.lanes, _CMP_LE_OQ)};
}
PERCEPTION_INLINE Mask operator==(Doubles a, Doubles b) {
  return {_mm512_cmp_pd_mask(a.lanes, b.lanes, _CMP_EQ_OQ)};
}

PERCEPTION_INLINE void transpose(Doubles (&rows)[8]) {
  // Pairs of rows, then their quarters gathered in two steps.
  __m512d pair[8], four[8];
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm512_unpacklo_pd(rows[i].lanes, rows[i + 1].lanes);
    pair[i + 1] = _mm512_unpackhi_pd(rows[i].lanes, rows[i + 1].lanes);
  }
  for (int i = 0; i < 2; ++i) {
    for (int half = 0; half < 2; ++half) {
      four[4 * half + i] = _mm512_shuffle_f64x2(pair[4 * half + i], pair[4 * half + i + 2], 0b10001000);
      four[4 * half + i + 2] = _mm512_shuffle_f64x2(pair[4 * half + i], pair[4 * half + i + 2], 0b11011101);
    }
  }
  for (int i = 0; i < 4; ++i) {
    rows[i].lanes = _mm512_shuffle_f64x2(four[i], four[i + 4], 0b10001000);
    rows[i + 4].lanes = _mm512_shuffle_f64x2(four[i], four[i + 4], 0b11011101);
  }
}

}  // namespace avx512
PERCEPTION_END_ISA

#endif

}  // namespace perception
