// Shapes of tensors: what an operation expects of its inputs, and what follows for its outputs. The same
// functions serve shape inference, where sizes may be unknown, and kernels, where all are known.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "core/base/status.h"

namespace perception::tensorflow {

constexpr int kMaxRank = 3;       // of any argument of the operations
constexpr int64_t kUnknown = -1;  // a size or a rank

struct Shape {
  int64_t rank = kUnknown;
  std::array<int64_t, kMaxRank> sizes{};  // not filled in above kMaxRank
};

// A size of an output, and where it comes from, so that a size yet unknown stays tied to its origin.
struct Size {
  int64_t value = kUnknown;
  int input = -1;
  int axis = 0;
};

struct OutputShape {
  int rank = 0;
  std::array<Size, kMaxRank> sizes{};
};

// A size that an argument is to have: a number, or any (kUnknown), then `letter` stands for it in the
// message.
struct Expected {
  int64_t size;
  const char* letter;
};

// "name: expected shape [2, n, 4], received [2, 5]" unless `shape` has the expected rank and sizes; what is
// unknown agrees.
Status expect_shape(const char* name, const Shape& shape, std::initializer_list<Expected> expected);

// As expect_shape, but for an argument that may be left out, as an empty list.
Status expect_optional_shape(const char* name, const Shape& shape, std::initializer_list<Expected> expected);

// Axis `axis` of input `input`, whose shape is `shape`.
Size size_of(const Shape& shape, int input, int axis);

}  // namespace perception::tensorflow
