// The vectors of simd.h in plain C++, which compilers turn into what there is (NEON).
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace perception {

namespace baseline {

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
struct Leading {
  int64_t count;
};
template <class T>
PERCEPTION_INLINE Doubles load(const T* p, Leading lanes, double fill) {
  return {lanes.count > 0 ? static_cast<double>(p[0]) : fill,
          lanes.count > 1 ? static_cast<double>(p[1]) : fill};
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

PERCEPTION_INLINE void store(double* p, Mask mask, Doubles x) { store(p, select(mask, x, load(p))); }
PERCEPTION_INLINE Doubles min(Mask mask, Doubles a, Doubles b) { return select(mask, min(a, b), a); }

struct Words {
  static constexpr int kLanes = 1;
  uint64_t lanes;
};

PERCEPTION_INLINE Words repeated(uint64_t x) { return {x}; }
PERCEPTION_INLINE Words load(const uint64_t* p) { return {*p}; }
PERCEPTION_INLINE void store(uint64_t* p, Words x) { *p = x.lanes; }
PERCEPTION_INLINE void store_last(uint64_t* p, Words x) { *p = x.lanes; }
PERCEPTION_INLINE Words operator&(Words a, Words b) { return {a.lanes & b.lanes}; }
PERCEPTION_INLINE Words operator|(Words a, Words b) { return {a.lanes | b.lanes}; }
PERCEPTION_INLINE Words operator^(Words a, Words b) { return {a.lanes ^ b.lanes}; }
PERCEPTION_INLINE Words operator+(Words a, Words b) { return {a.lanes + b.lanes}; }
PERCEPTION_INLINE Words operator~(Words x) { return {~x.lanes}; }
PERCEPTION_INLINE Words top_bits(Words x) { return {x.lanes >> 63}; }
PERCEPTION_INLINE Words moved_up(Words, Words below) { return below; }

PERCEPTION_INLINE Words or_nor(Words a, Words b, Words c) { return a | ~(b | c); }

struct Bytes {
  explicit Bytes(const uint8_t* p) {
    for (int i = 0; i < 64; ++i) masks[p[i]] |= uint64_t{1} << i;
  }
  uint64_t where(uint8_t x) const { return masks[x]; }

  uint64_t masks[256] = {};
};

struct Floats {
  static constexpr int kLanes = 4;
  float lanes[4];

  Floats() = default;
  PERCEPTION_INLINE explicit Floats(float x) : lanes{x, x, x, x} {}
  PERCEPTION_INLINE Floats(float x0, float x1, float x2, float x3) : lanes{x0, x1, x2, x3} {}
  static PERCEPTION_INLINE Floats load(const float* p) { return {p[0], p[1], p[2], p[3]}; }
  static PERCEPTION_INLINE Floats load(const float* p, int64_t count) {
    return {count > 0 ? p[0] : 0, count > 1 ? p[1] : 0, count > 2 ? p[2] : 0, count > 3 ? p[3] : 0};
  }
};

PERCEPTION_INLINE void store(float* p, Floats x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) p[i] = x.lanes[i];
}
PERCEPTION_INLINE void store(float* p, Floats x) { store(p, x, Floats::kLanes); }
PERCEPTION_INLINE void end_streams() {}

#define PERCEPTION_LANEWISE(name, expression)                                                         \
  PERCEPTION_INLINE Floats name(Floats x, Floats y) {                                                 \
    const auto lane = [](float a, float b) { return expression; };                                    \
    return {lane(x.lanes[0], y.lanes[0]), lane(x.lanes[1], y.lanes[1]), lane(x.lanes[2], y.lanes[2]), \
            lane(x.lanes[3], y.lanes[3])};                                                            \
  }
PERCEPTION_LANEWISE(operator+, a + b)
PERCEPTION_LANEWISE(operator-, a - b)
PERCEPTION_LANEWISE(operator*, a* b)
PERCEPTION_LANEWISE(operator/, a / b)
PERCEPTION_LANEWISE(lesser, b < a ? b : a)
PERCEPTION_LANEWISE(greater, a < b ? b : a)
PERCEPTION_LANEWISE(where_positive, a > 0 ? b : 0)
#undef PERCEPTION_LANEWISE
PERCEPTION_INLINE Floats positive(Floats x) { return where_positive(x, x); }
PERCEPTION_INLINE Floats where_finite(Floats x) {
  const auto lane = [](float a) { return std::abs(a) <= std::numeric_limits<float>::max() ? a : 0; };
  return {lane(x.lanes[0]), lane(x.lanes[1]), lane(x.lanes[2]), lane(x.lanes[3])};
}

PERCEPTION_INLINE Doubles low(Floats x) { return load(x.lanes); }
PERCEPTION_INLINE Doubles high(Floats x) { return load(x.lanes + 2); }
PERCEPTION_INLINE Floats join(Doubles low, Doubles high) {
  Floats result;
  store(result.lanes, low);
  store(result.lanes + 2, high);
  return result;
}
PERCEPTION_INLINE Doubles magnitude(Doubles x) { return {std::abs(x.lanes[0]), std::abs(x.lanes[1])}; }
PERCEPTION_INLINE Doubles square_root(Doubles x) { return {std::sqrt(x.lanes[0]), std::sqrt(x.lanes[1])}; }

}  // namespace baseline

}  // namespace perception
