// The operations that TensorFlow gets, each in one description: arguments, attributes, shapes, and the call
// of a device's function. Nothing here knows TensorFlow.
//
//   PerceptionR1PairwiseIou: a [batch, n, 4], b [batch, m, 4], a_counts, b_counts; kind, format
//     -> overlaps [batch, n, m]
//   PerceptionR1PairwiseIouGrad: the same and grad [batch, n, m] -> grad_a as a, grad_b as b
//   PerceptionR1LinearSumAssignment: costs [batch, n, m], row_counts, col_counts; maximize
//     -> column_of_row int32 [batch, n]
//   PerceptionR1GroupAdvantages: rewards [groups, size]; formula -> advantages [groups, size]
//   PerceptionR1Score: predictions [n, p, width], labels [n, p], counts [n], truth [t, m, width],
//     truth_labels [t, m], truth_counts [t]; recipe -> rewards [n], terms [terms of the recipe, n]
//
// Counts [batch] and labels are int32 and may be empty lists: all rows, no labels. All else is float32. kind
// and format are the numbers of IouKind and BoxFormat, formula and recipe those of registry.h. n is a
// multiple of t: predictions belong to the ground truths in order, n / t to each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/status.h"
#include "core/geometry/iou.h"
#include "tensorflow/devices.h"
#include "tensorflow/shapes.h"

namespace perception::tensorflow {

enum class ElementType : uint8_t { kFloat, kInt32 };  // both four bytes

struct Argument {
  const char* name;
  ElementType type = ElementType::kFloat;
};

struct Attributes {
  IouKind kind = IouKind::kIou;
  BoxFormat format = BoxFormat::kXyxy;
  bool maximize = false;
  const AdvantageOptions* formula = nullptr;
  const Recipe* recipe = nullptr;
};

// Where a kernel's attributes are read from.
class AttributeSource {
 public:
  virtual Status integer(const char* name, int32_t& value) const = 0;
  virtual Status boolean(const char* name, bool& value) const = 0;

 protected:
  ~AttributeSource() = default;
};

struct Tensor {
  void* data = nullptr;
  size_t length = 0;
  Shape shape;

  std::span<float> floats() const { return {static_cast<float*>(data), length}; }
  std::span<int32_t> ints() const { return {static_cast<int32_t*>(data), length}; }
};

constexpr size_t kMaxInputs = 6, kMaxOutputs = 2;

struct Operation {
  const char* name;
  std::vector<Argument> inputs;
  std::vector<const char*> attributes;  // "name: type"
  std::vector<Argument> outputs;
  Status (*read)(const AttributeSource& source, Attributes& attributes);
  // `attributes` is null in shape inference, where the C API does not tell them.
  Status (*infer)(const Shape* inputs, const Attributes* attributes, OutputShape* outputs);
  // `inputs` and `outputs` have the shapes that `infer` took and gave.
  Status (*run)(const Device& device, const Attributes& attributes, const Tensor* inputs,
                const Tensor* outputs);
};

constexpr size_t kOperations = 5;
const Operation& operation(size_t index);

}  // namespace perception::tensorflow
