// The vectors of simd.h for AVX2.
#pragma once

#include <cstdint>
#include <limits>

namespace perception {
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
struct Leading {
  __m256i lanes;
  explicit Leading(int64_t count)
      : lanes(_mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_set_epi64x(3, 2, 1, 0))) {}
};
PERCEPTION_INLINE Doubles load(const double* p, Leading lanes, double fill) {
  return {_mm256_blendv_pd(_mm256_set1_pd(fill), _mm256_maskload_pd(p, lanes.lanes),
                           _mm256_castsi256_pd(lanes.lanes))};
}
PERCEPTION_INLINE Doubles load(const float* p, Leading lanes, double fill) {
  const __m128 low = _mm_castsi128_ps(_mm256_castsi256_si128(lanes.lanes));
  const __m128 high = _mm_castsi128_ps(_mm256_extracti128_si256(lanes.lanes, 1));
  const __m128i mask = _mm_castps_si128(_mm_shuffle_ps(low, high, 0b10001000));
  return {_mm256_blendv_pd(_mm256_set1_pd(fill), _mm256_cvtps_pd(_mm_maskload_ps(p, mask)),
                           _mm256_castsi256_pd(lanes.lanes))};
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

struct Words {
  static constexpr int kLanes = 4;
  __m256i lanes;
};

PERCEPTION_INLINE Words repeated(uint64_t x) { return {_mm256_set1_epi64x(static_cast<int64_t>(x))}; }
PERCEPTION_INLINE Words load(const uint64_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
PERCEPTION_INLINE void store(uint64_t* p, Words x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.lanes);
}
PERCEPTION_INLINE void store_last(uint64_t* p, Words x) {
  *p = static_cast<uint64_t>(_mm256_extract_epi64(x.lanes, 3));
}
PERCEPTION_INLINE Words operator&(Words a, Words b) { return {_mm256_and_si256(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Words operator|(Words a, Words b) { return {_mm256_or_si256(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Words operator^(Words a, Words b) { return {_mm256_xor_si256(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Words operator+(Words a, Words b) { return {_mm256_add_epi64(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Words operator~(Words x) { return x ^ repeated(~uint64_t{0}); }
PERCEPTION_INLINE Words or_nor(Words a, Words b, Words c) { return a | ~(b | c); }
PERCEPTION_INLINE Words top_bits(Words x) { return {_mm256_srli_epi64(x.lanes, 63)}; }
PERCEPTION_INLINE Words moved_up(Words x, Words below) {
  return {_mm256_alignr_epi8(x.lanes, _mm256_permute2x128_si256(below.lanes, x.lanes, 0x21), 8)};
}
template <int kMask>
PERCEPTION_INLINE Words blend(Words a, Words b) {
  return {_mm256_castpd_si256(
      _mm256_blend_pd(_mm256_castsi256_pd(a.lanes), _mm256_castsi256_pd(b.lanes), kMask))};
}
template <int kMask>
PERCEPTION_INLINE Words load(const uint64_t* p, Words x) {
  return blend<kMask>(x, load(p));
}

struct Bytes {
  PERCEPTION_INLINE explicit Bytes(const uint8_t* p)
      : low(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))),
        high(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))) {}
  PERCEPTION_INLINE uint64_t where(uint8_t x) const {
    const __m256i all = _mm256_set1_epi8(static_cast<char>(x));
    const auto in_low = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, all)));
    const auto in_high = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, all)));
    return uint64_t{in_high} << 32 | in_low;
  }

  __m256i low, high;
};

PERCEPTION_INLINE __m256i float_lane() { return _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0); }
PERCEPTION_INLINE __m256i first_floats(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), float_lane());
}

struct Floats {
  static constexpr int kLanes = 8;
  __m256 lanes;

  Floats() = default;
  PERCEPTION_INLINE explicit Floats(float x) : lanes(_mm256_set1_ps(x)) {}
  PERCEPTION_INLINE explicit Floats(__m256 x) : lanes(x) {}
  static PERCEPTION_INLINE Floats load(const float* p) { return Floats(_mm256_loadu_ps(p)); }
  static PERCEPTION_INLINE Floats load(const float* p, int64_t count) {
    return Floats(_mm256_maskload_ps(p, first_floats(count)));
  }
};

PERCEPTION_INLINE void store(float* p, Floats x) { _mm256_storeu_ps(p, x.lanes); }
PERCEPTION_INLINE void store(float* p, Floats x, int64_t count) {
  _mm256_maskstore_ps(p, first_floats(count), x.lanes);
}
PERCEPTION_INLINE void stream(float* p, Floats x) { _mm256_stream_ps(p, x.lanes); }
PERCEPTION_INLINE void end_streams() { _mm_sfence(); }
PERCEPTION_INLINE Floats rotate(Floats x, int64_t by) {
  const __m256i from = _mm256_sub_epi32(float_lane(), _mm256_set1_epi32(static_cast<int>(by)));
  return Floats(_mm256_permutevar8x32_ps(x.lanes, from));
}
PERCEPTION_INLINE Floats join(Floats x, Floats y, int64_t count) {
  return Floats(_mm256_blendv_ps(y.lanes, x.lanes, _mm256_castsi256_ps(first_floats(count))));
}

PERCEPTION_INLINE Floats operator+(Floats a, Floats b) { return Floats(_mm256_add_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats operator-(Floats a, Floats b) { return Floats(_mm256_sub_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats operator*(Floats a, Floats b) { return Floats(_mm256_mul_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats operator/(Floats a, Floats b) { return Floats(_mm256_div_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats lesser(Floats a, Floats b) { return Floats(_mm256_min_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats greater(Floats a, Floats b) { return Floats(_mm256_max_ps(a.lanes, b.lanes)); }
// As integers, whose maxima do not wait for the units that add: what is negative has the sign bit.
PERCEPTION_INLINE Floats positive(Floats x) {
  return Floats(_mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(x.lanes), _mm256_setzero_si256())));
}
PERCEPTION_INLINE Floats where_finite(Floats x) {
  const __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x.lanes);
  const __m256 greatest = _mm256_set1_ps(std::numeric_limits<float>::max());
  return Floats(_mm256_and_ps(x.lanes, _mm256_cmp_ps(magnitude, greatest, _CMP_LE_OQ)));
}
PERCEPTION_INLINE Floats where_positive(Floats condition, Floats x) {
  return Floats(_mm256_and_ps(x.lanes, _mm256_cmp_ps(condition.lanes, _mm256_setzero_ps(), _CMP_GT_OQ)));
}

PERCEPTION_INLINE Doubles low(Floats x) { return {_mm256_cvtps_pd(_mm256_castps256_ps128(x.lanes))}; }
PERCEPTION_INLINE Doubles high(Floats x) { return {_mm256_cvtps_pd(_mm256_extractf128_ps(x.lanes, 1))}; }
PERCEPTION_INLINE Floats join(Doubles low, Doubles high) {
  return Floats(_mm256_set_m128(_mm256_cvtpd_ps(high.lanes), _mm256_cvtpd_ps(low.lanes)));
}
PERCEPTION_INLINE Doubles magnitude(Doubles x) { return {_mm256_andnot_pd(_mm256_set1_pd(-0.0), x.lanes)}; }
PERCEPTION_INLINE Doubles square_root(Doubles x) { return {_mm256_sqrt_pd(x.lanes)}; }

}  // namespace avx2
PERCEPTION_END_ISA

}  // namespace perception
