#include "tensorflow/shapes.h"

namespace perception::tensorflow {
namespace {

bool agrees(int64_t a, int64_t b) { return a == kUnknown || b == kUnknown || a == b; }

bool agrees(const Shape& shape, std::initializer_list<Expected> expected) {
  if (shape.rank == kUnknown) return true;
  if (shape.rank != static_cast<int64_t>(expected.size())) return false;
  size_t axis = 0;
  for (const Expected& size : expected)
    if (!agrees(shape.sizes[axis++], size.size)) return false;
  return true;
}

std::string describe(const Shape& shape) {
  if (shape.rank > kMaxRank) return "rank " + std::to_string(shape.rank);
  std::string text = "[";
  for (size_t axis = 0; axis < static_cast<size_t>(shape.rank); ++axis) {
    if (axis > 0) text += ", ";
    text += shape.sizes[axis] == kUnknown ? "?" : std::to_string(shape.sizes[axis]);
  }
  return text + "]";
}

std::string describe(std::initializer_list<Expected> expected) {
  std::string text = "[";
  for (const Expected& size : expected) {
    if (text.size() > 1) text += ", ";
    text += size.size == kUnknown ? size.letter : std::to_string(size.size);
  }
  return text + "]";
}

Status mismatch(const char* name, const Shape& shape, const std::string& expected) {
  return {Code::kShapeMismatch,
          std::string(name) + ": expected shape " + expected + ", received " + describe(shape)};
}

}  // namespace

Status expect_shape(const char* name, const Shape& shape, std::initializer_list<Expected> expected) {
  return agrees(shape, expected) ? Status() : mismatch(name, shape, describe(expected));
}

Status expect_optional_shape(const char* name, const Shape& shape, std::initializer_list<Expected> expected) {
  if (agrees(shape, expected) || (shape.rank == 1 && agrees(shape.sizes[0], 0))) return {};
  return mismatch(name, shape, describe(expected) + " or [0]");
}

Size size_of(const Shape& shape, int input, int axis) {
  if (shape.rank == kUnknown) return {};
  return {shape.sizes[static_cast<size_t>(axis)], input, axis};
}

}  // namespace perception::tensorflow
