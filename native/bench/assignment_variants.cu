// The assignment's kernel in several shapes, whichever the plug-in picks: more or fewer lanes for a problem,
// costs in shared memory or not. What is fastest here is what kAssignmentPaths should hold.
#include <utility>

#include "bench/measure.h"
#include "cuda/assignment.cuh"
#include "cuda/launch.h"
#include "cuda/operations.h"

namespace perception::bench {
namespace {

template <int lanes, int columns_per_lane, bool staged>
int32_t solve(int32_t device, const cuda::CostMatrices* costs, bool maximize, int32_t* column_of_row,
              double* totals, cuda::Fault* fault) {
  return cuda::reported([&]() -> Status {
    constexpr cuda::AssignmentPath path = {lanes, columns_per_lane, staged};
    cuda::Stream stream;
    PERCEPTION_RETURN_IF_ERROR(cuda::use_device(device, stream));
    const size_t bytes =
        cuda::group_bytes(path, static_cast<int>(costs->rows), static_cast<int>(costs->cols), sizeof(float));
    constexpr size_t kGroupsInBlock = lanes == 32 ? cuda::kWarpsPerBlock : 1,
                     kLanesBytes = 1024;  // as assignment.cu
    if (bytes * kGroupsInBlock + kLanesBytes > cuda::shared_memory_limit(device))
      return {Code::kTooLarge, "this GPU's blocks have too little shared memory"};
    const cuda::AssignmentKernel<float, columns_per_lane, staged> kernel{
        .batch = {*costs, maximize, column_of_row, totals, fault, 0}};
    return cuda::launch<lanes>(stream, costs->problems, bytes, kernel);
  });
}

template <int lanes, int columns_per_lane, bool staged>
Variant variant(int64_t problems, int64_t size) {
  Case measured;
  measured.name = assignment_name(Costs::kIou, problems, size, size) + ": " + std::to_string(lanes) +
                  " lanes of " + std::to_string(columns_per_lane) + (staged ? ", staged" : "");
  measured.unit = "problems";
  measured.make = [=](uint64_t seed) { return assignment(seed, Costs::kIou, problems, size, size); };
  return {std::move(measured), solve<lanes, columns_per_lane, staged>};
}

}  // namespace

std::vector<Variant> assignment_variants(bool tiny) {
  const int64_t many = tiny ? 2 : 1024, some = tiny ? 1 : 64;
  const int64_t small = tiny ? 40 : 100, middle = tiny ? 90 : 300, large = tiny ? 150 : 1000;
  return {variant<32, 4, true>(many, small),    variant<64, 2, true>(many, small),
          variant<128, 1, true>(many, small),   variant<32, 4, false>(many, small),
          variant<128, 1, false>(many, small),  variant<128, 4, false>(some, middle),
          variant<256, 2, false>(some, middle), variant<512, 1, false>(some, middle),
          variant<128, 8, false>(1, large),     variant<256, 4, false>(1, large),
          variant<512, 2, false>(1, large),     variant<1024, 1, false>(1, large)};
}

}  // namespace perception::bench
