// Instruction sets: kernels that gain from wider vectors are compiled for each, and one is chosen at load.
//
// A kernel lives in a file of its own, NAME_kernels.inc, of functions with internal linkage in terms of the
// vector types of simd.h (or of plain loops), and is included once per set:
//
//   #define PERCEPTION_KERNELS "core/geometry/iou_kernels.inc"
//   #include "core/base/each_isa.inc"
//
// in a namespace of each set's name. PERCEPTION_KERNEL(set, name) is then the one for a set.
//
// All variants give the same bits: no fused multiply-add is among the sets, and no order of a sum depends on
// the width of a vector.
#pragma once

namespace perception {

enum class Isa { kBaseline, kAvx2, kAvx512 };

// The best that this processor and its system support, or what PERCEPTION_R1_CPU names (baseline, avx2,
// avx512) where they do. The same for the whole life of the process.
Isa isa();

// "baseline" (SSE2 on x86-64, NEON on arm64), "avx2", "avx512".
const char* isa_name(Isa isa);

}  // namespace perception

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define PERCEPTION_HAS_AVX
#define PERCEPTION_AVX2_SET "avx2,bmi,bmi2,lzcnt,popcnt"
#define PERCEPTION_AVX512_SET "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,bmi,bmi2,lzcnt,popcnt"
#define PERCEPTION_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define PERCEPTION_BEGIN_ISA(set) \
  PERCEPTION_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define PERCEPTION_END_ISA _Pragma("clang attribute pop")
#else
#define PERCEPTION_BEGIN_ISA(set) _Pragma("GCC push_options") PERCEPTION_PRAGMA(GCC target(set))
#define PERCEPTION_END_ISA _Pragma("GCC pop_options")
#endif
#define PERCEPTION_BEGIN_AVX2 PERCEPTION_BEGIN_ISA(PERCEPTION_AVX2_SET)
#define PERCEPTION_BEGIN_AVX512 PERCEPTION_BEGIN_ISA(PERCEPTION_AVX512_SET)
#endif

#ifdef PERCEPTION_HAS_AVX
#define PERCEPTION_KERNEL(set, name) \
  (set == Isa::kAvx512 ? avx512::name : set == Isa::kAvx2 ? avx2::name : baseline::name)
#else
#define PERCEPTION_KERNEL(set, name) (set == Isa::kBaseline ? baseline::name : baseline::name)
#endif
