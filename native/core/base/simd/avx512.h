// The vectors of simd.h for AVX-512.
#pragma once

#include <cstdint>

namespace perception {
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
struct Leading {
  __mmask8 lanes;
  explicit Leading(int64_t count)
      : lanes(static_cast<__mmask8>((1u << (count < 0   ? 0
                                            : count > 8 ? 8
                                                        : count)) -
                                    1)) {}
};
PERCEPTION_INLINE Doubles load(const double* p, Leading lanes, double fill) {
  return {_mm512_mask_loadu_pd(_mm512_set1_pd(fill), lanes.lanes, p)};
}
PERCEPTION_INLINE Doubles load(const float* p, Leading lanes, double fill) {
  return {_mm512_mask_cvtps_pd(_mm512_set1_pd(fill), lanes.lanes, _mm256_maskz_loadu_ps(lanes.lanes, p))};
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

struct Words {
  static constexpr int kLanes = 8;
  __m512i lanes;
};

PERCEPTION_INLINE Words repeated(uint64_t x) { return {_mm512_set1_epi64(static_cast<int64_t>(x))}; }
PERCEPTION_INLINE Words load(const uint64_t* p) { return {_mm512_loadu_si512(p)}; }
PERCEPTION_INLINE void store(uint64_t* p, Words x) { _mm512_storeu_si512(p, x.lanes); }
PERCEPTION_INLINE void store_last(uint64_t* p, Words x) {
  *p = static_cast<uint64_t>(_mm_extract_epi64(_mm512_extracti64x2_epi64(x.lanes, 3), 1));
}
PERCEPTION_INLINE Words operator&(Words a, Words b) { return {_mm512_and_si512(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Words operator|(Words a, Words b) { return {_mm512_or_si512(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Words operator^(Words a, Words b) { return {_mm512_xor_si512(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Words operator+(Words a, Words b) { return {_mm512_add_epi64(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Words operator~(Words x) { return x ^ repeated(~uint64_t{0}); }
PERCEPTION_INLINE Words or_nor(Words a, Words b, Words c) {
  return {_mm512_ternarylogic_epi64(a.lanes, b.lanes, c.lanes, 0xF1)};
}
PERCEPTION_INLINE Words top_bits(Words x) { return {_mm512_srli_epi64(x.lanes, 63)}; }
PERCEPTION_INLINE Words moved_up(Words x, Words below) {
  return {_mm512_alignr_epi64(x.lanes, below.lanes, 7)};
}
template <int kMask>
PERCEPTION_INLINE Words blend(Words a, Words b) {
  return {_mm512_mask_mov_epi64(a.lanes, kMask, b.lanes)};
}
template <int kMask>
PERCEPTION_INLINE Words load(const uint64_t* p, Words x) {
  return {_mm512_mask_loadu_epi64(x.lanes, kMask, p)};
}

struct Bytes {
  PERCEPTION_INLINE explicit Bytes(const uint8_t* p) : lanes(_mm512_loadu_si512(p)) {}
  PERCEPTION_INLINE uint64_t where(uint8_t x) const {
    return _mm512_cmpeq_epi8_mask(lanes, _mm512_set1_epi8(static_cast<char>(x)));
  }

  __m512i lanes;
};

PERCEPTION_INLINE __mmask16 first_floats(int64_t count) {
  return static_cast<__mmask16>((1u << (count < 0 ? 0 : count > 16 ? 16 : count)) - 1);
}

struct Floats {
  static constexpr int kLanes = 16;
  __m512 lanes;

  Floats() = default;
  PERCEPTION_INLINE explicit Floats(float x) : lanes(_mm512_set1_ps(x)) {}
  PERCEPTION_INLINE explicit Floats(__m512 x) : lanes(x) {}
  static PERCEPTION_INLINE Floats load(const float* p) { return Floats(_mm512_loadu_ps(p)); }
  static PERCEPTION_INLINE Floats load(const float* p, int64_t count) {
    return Floats(_mm512_maskz_loadu_ps(first_floats(count), p));
  }
};

PERCEPTION_INLINE void store(float* p, Floats x) { _mm512_storeu_ps(p, x.lanes); }
PERCEPTION_INLINE void store(float* p, Floats x, int64_t count) {
  _mm512_mask_storeu_ps(p, first_floats(count), x.lanes);
}
PERCEPTION_INLINE void stream(float* p, Floats x) { _mm512_stream_ps(p, x.lanes); }
PERCEPTION_INLINE void end_streams() { _mm_sfence(); }
PERCEPTION_INLINE Floats rotate(Floats x, int64_t by) {
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i from = _mm512_sub_epi32(lane, _mm512_set1_epi32(static_cast<int>(by)));
  return Floats(_mm512_permutexvar_ps(from, x.lanes));
}
PERCEPTION_INLINE Floats join(Floats x, Floats y, int64_t count) {
  return Floats(_mm512_mask_mov_ps(y.lanes, first_floats(count), x.lanes));
}

PERCEPTION_INLINE Floats operator+(Floats a, Floats b) { return Floats(_mm512_add_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats operator-(Floats a, Floats b) { return Floats(_mm512_sub_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats operator*(Floats a, Floats b) { return Floats(_mm512_mul_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats operator/(Floats a, Floats b) { return Floats(_mm512_div_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats lesser(Floats a, Floats b) { return Floats(_mm512_min_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats greater(Floats a, Floats b) { return Floats(_mm512_max_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats positive(Floats x) {
  return Floats(_mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(x.lanes), _mm512_setzero_si512())));
}
PERCEPTION_INLINE Floats where_finite(Floats x) {
  constexpr int kNanOrInfinity = 0x01 | 0x80 | 0x08 | 0x10;
  return Floats(
      _mm512_mask_mov_ps(x.lanes, _mm512_fpclass_ps_mask(x.lanes, kNanOrInfinity), _mm512_setzero_ps()));
}
PERCEPTION_INLINE Floats where_positive(Floats condition, Floats x) {
  return Floats(
      _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(condition.lanes, _mm512_setzero_ps(), _CMP_GT_OQ), x.lanes));
}

PERCEPTION_INLINE Doubles low(Floats x) { return {_mm512_cvtps_pd(_mm512_castps512_ps256(x.lanes))}; }
PERCEPTION_INLINE Doubles high(Floats x) { return {_mm512_cvtps_pd(_mm512_extractf32x8_ps(x.lanes, 1))}; }
PERCEPTION_INLINE Floats join(Doubles low, Doubles high) {
  return Floats(
      _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low.lanes)), _mm512_cvtpd_ps(high.lanes), 1));
}
PERCEPTION_INLINE Doubles magnitude(Doubles x) { return {_mm512_abs_pd(x.lanes)}; }
PERCEPTION_INLINE Doubles square_root(Doubles x) { return {_mm512_sqrt_pd(x.lanes)}; }

}  // namespace avx512
PERCEPTION_END_ISA

}  // namespace perception
