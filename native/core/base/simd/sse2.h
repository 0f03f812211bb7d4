// The vectors of simd.h for SSE2.
#pragma once

#include <cstdint>
#include <limits>

namespace perception {

namespace baseline {

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
struct Leading {
  int64_t count;
};
template <class T>
PERCEPTION_INLINE Doubles load(const T* p, Leading lanes, double fill) {
  if (lanes.count >= Doubles::kLanes) return load(p);
  return {_mm_set_pd(fill, lanes.count > 0 ? static_cast<double>(*p) : fill)};
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

PERCEPTION_INLINE void store(double* p, Mask mask, Doubles x) { store(p, select(mask, x, load(p))); }
PERCEPTION_INLINE Doubles min(Mask mask, Doubles a, Doubles b) { return select(mask, min(a, b), a); }

struct Words {
  static constexpr int kLanes = 2;
  __m128i lanes;
};

PERCEPTION_INLINE Words repeated(uint64_t x) { return {_mm_set1_epi64x(static_cast<int64_t>(x))}; }
PERCEPTION_INLINE Words load(const uint64_t* p) {
  return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))};
}
template <int kMask>
PERCEPTION_INLINE Words load(const uint64_t* p, Words x) {
  static_assert(kMask == 0b10);
  return {_mm_castpd_si128(_mm_loadh_pd(_mm_castsi128_pd(x.lanes), reinterpret_cast<const double*>(p + 1)))};
}
PERCEPTION_INLINE void store(uint64_t* p, Words x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), x.lanes);
}
PERCEPTION_INLINE void store_last(uint64_t* p, Words x) {
  _mm_storeh_pd(reinterpret_cast<double*>(p), _mm_castsi128_pd(x.lanes));
}
PERCEPTION_INLINE Words operator&(Words a, Words b) { return {_mm_and_si128(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Words operator|(Words a, Words b) { return {_mm_or_si128(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Words operator^(Words a, Words b) { return {_mm_xor_si128(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Words operator+(Words a, Words b) { return {_mm_add_epi64(a.lanes, b.lanes)}; }
PERCEPTION_INLINE Words operator~(Words x) { return x ^ repeated(~uint64_t{0}); }
PERCEPTION_INLINE Words top_bits(Words x) { return {_mm_srli_epi64(x.lanes, 63)}; }
PERCEPTION_INLINE Words moved_up(Words x, Words below) {
  return {_mm_castpd_si128(_mm_shuffle_pd(_mm_castsi128_pd(below.lanes), _mm_castsi128_pd(x.lanes), 0b01))};
}

PERCEPTION_INLINE Words or_nor(Words a, Words b, Words c) { return a | ~(b | c); }

struct Bytes {
  PERCEPTION_INLINE explicit Bytes(const uint8_t* p) {
    for (int i = 0; i < 4; ++i) lanes[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * i));
  }
  PERCEPTION_INLINE uint64_t where(uint8_t x) const {
    const __m128i all = _mm_set1_epi8(static_cast<char>(x));
    uint64_t mask = 0;
    for (int i = 0; i < 4; ++i) {
      const auto quarter = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(lanes[i], all)));
      mask |= uint64_t{quarter} << 16 * i;
    }
    return mask;
  }

  __m128i lanes[4];
};

struct Floats {
  static constexpr int kLanes = 4;
  __m128 lanes;

  Floats() = default;
  PERCEPTION_INLINE explicit Floats(float x) : lanes(_mm_set1_ps(x)) {}
  PERCEPTION_INLINE explicit Floats(__m128 x) : lanes(x) {}
  static PERCEPTION_INLINE Floats load(const float* p) { return Floats(_mm_loadu_ps(p)); }
  static PERCEPTION_INLINE Floats load(const float* p, int64_t count) {
    if (count >= kLanes) return load(p);
    return Floats(_mm_set_ps(0, count > 2 ? p[2] : 0, count > 1 ? p[1] : 0, count > 0 ? p[0] : 0));
  }
};

PERCEPTION_INLINE void store(float* p, Floats x) { _mm_storeu_ps(p, x.lanes); }
PERCEPTION_INLINE void store(float* p, Floats x, int64_t count) {
  if (count & 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), x.lanes);
    p += 2;
    x.lanes = _mm_movehl_ps(x.lanes, x.lanes);
  }
  if (count & 1) _mm_store_ss(p, x.lanes);
}
PERCEPTION_INLINE void end_streams() {}

PERCEPTION_INLINE Floats operator+(Floats a, Floats b) { return Floats(_mm_add_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats operator-(Floats a, Floats b) { return Floats(_mm_sub_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats operator*(Floats a, Floats b) { return Floats(_mm_mul_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats operator/(Floats a, Floats b) { return Floats(_mm_div_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats lesser(Floats a, Floats b) { return Floats(_mm_min_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats greater(Floats a, Floats b) { return Floats(_mm_max_ps(a.lanes, b.lanes)); }
PERCEPTION_INLINE Floats positive(Floats x) { return Floats(_mm_max_ps(x.lanes, _mm_setzero_ps())); }
PERCEPTION_INLINE Floats where_finite(Floats x) {
  const __m128 magnitude = _mm_andnot_ps(_mm_set1_ps(-0.0f), x.lanes);
  return Floats(_mm_and_ps(x.lanes, _mm_cmple_ps(magnitude, _mm_set1_ps(std::numeric_limits<float>::max()))));
}
PERCEPTION_INLINE Floats where_positive(Floats condition, Floats x) {
  return Floats(_mm_and_ps(x.lanes, _mm_cmpgt_ps(condition.lanes, _mm_setzero_ps())));
}

PERCEPTION_INLINE Doubles low(Floats x) { return {_mm_cvtps_pd(x.lanes)}; }
PERCEPTION_INLINE Doubles high(Floats x) { return {_mm_cvtps_pd(_mm_movehl_ps(x.lanes, x.lanes))}; }
PERCEPTION_INLINE Floats join(Doubles low, Doubles high) {
  return Floats(_mm_movelh_ps(_mm_cvtpd_ps(low.lanes), _mm_cvtpd_ps(high.lanes)));
}
PERCEPTION_INLINE Doubles magnitude(Doubles x) { return {_mm_andnot_pd(_mm_set1_pd(-0.0), x.lanes)}; }
PERCEPTION_INLINE Doubles square_root(Doubles x) { return {_mm_sqrt_pd(x.lanes)}; }

}  // namespace baseline

}  // namespace perception
