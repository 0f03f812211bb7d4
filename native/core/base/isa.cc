#include "core/base/isa.h"

#include <cstdlib>
#include <string_view>

namespace perception {
namespace {

Isa best() {
#ifdef PERCEPTION_HAS_AVX
  // These look at what the system saves of the registers, too.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512) return Isa::kAvx512;
  if (avx2) return Isa::kAvx2;
#endif
  return Isa::kBaseline;
}

Isa chosen() {
  const Isa most = best();
  const char* const name = std::getenv("PERCEPTION_R1_CPU");
  if (name == nullptr) return most;
  for (const Isa set : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512})
    if (std::string_view(name) == isa_name(set) && set <= most) return set;
  return most;
}

}  // namespace

Isa isa() {
  static const Isa set = chosen();
  return set;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kBaseline:
      break;
  }
  return "baseline";
}

}  // namespace perception
