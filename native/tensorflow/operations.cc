#include "tensorflow/operations.h"

#include <array>
#include <string>

#include "tensorflow/registry.h"

namespace perception::tensorflow {
namespace {

constexpr ElementType kInt32 = ElementType::kInt32;

template <class Enum>
Status read_choice(const AttributeSource& source, const char* name, Enum last, Enum& value) {
  int32_t number = 0;
  PERCEPTION_RETURN_IF_ERROR(source.integer(name, number));
  if (number < 0 || number > static_cast<int32_t>(last))
    return {Code::kInvalidArgument, std::string(name) + ": expected a whole number from 0 to " +
                                        std::to_string(static_cast<int>(last)) + ", received " +
                                        std::to_string(number)};
  value = static_cast<Enum>(number);
  return {};
}

// An entry of the registry; `find` looks it up.
template <class Entry>
Status read_entry(const AttributeSource& source, const char* name, const Entry* (*find)(int32_t),
                  const Entry*& value) {
  int32_t number = 0;
  PERCEPTION_RETURN_IF_ERROR(source.integer(name, number));
  value = find(number);
  if (!value)
    return {Code::kInvalidArgument, std::string(name) +
                                        ": expected a number that the add-on gave out, received " +
                                        std::to_string(number)};
  return {};
}

// ---- PairwiseIou, PairwiseIouGrad: inputs a, b, a_counts, b_counts[, grad]

Status read_iou(const AttributeSource& source, Attributes& attributes) {
  PERCEPTION_RETURN_IF_ERROR(read_choice(source, "kind", IouKind::kCiou, attributes.kind));
  return read_choice(source, "format", BoxFormat::kCxcywh, attributes.format);
}

Status infer_iou(const Shape* inputs, const Attributes*, OutputShape* outputs) {
  const Shape &a = inputs[0], &b = inputs[1];
  PERCEPTION_RETURN_IF_ERROR(expect_shape("a", a, {{kUnknown, "batch"}, {kUnknown, "n"}, {4, ""}}));
  Size batch = size_of(a, 0, 0);
  PERCEPTION_RETURN_IF_ERROR(expect_shape("b", b, {{batch.value, "batch"}, {kUnknown, "m"}, {4, ""}}));
  if (batch.value == kUnknown) batch = size_of(b, 1, 0);
  PERCEPTION_RETURN_IF_ERROR(expect_optional_shape("a_counts", inputs[2], {{batch.value, "batch"}}));
  PERCEPTION_RETURN_IF_ERROR(expect_optional_shape("b_counts", inputs[3], {{batch.value, "batch"}}));
  outputs[0] = {3, {batch, size_of(a, 0, 1), size_of(b, 1, 1)}};
  return {};
}

Status infer_iou_gradient(const Shape* inputs, const Attributes* attributes, OutputShape* outputs) {
  OutputShape overlaps;
  PERCEPTION_RETURN_IF_ERROR(infer_iou(inputs, attributes, &overlaps));
  const auto& [batch, n, m] = overlaps.sizes;
  PERCEPTION_RETURN_IF_ERROR(
      expect_shape("grad", inputs[4], {{batch.value, "batch"}, {n.value, "n"}, {m.value, "m"}}));
  outputs[0] = {3, {batch, n, Size{4}}};
  outputs[1] = {3, {batch, m, Size{4}}};
  return {};
}

PaddedBoxes boxes(const Tensor& values, const Tensor& counts) {
  return {values.floats(), counts.ints(), values.shape.sizes[1]};
}

Status run_iou(const Device& device, const Attributes& attributes, const Tensor* inputs,
               const Tensor* outputs) {
  return device.pairwise_iou(boxes(inputs[0], inputs[2]), boxes(inputs[1], inputs[3]),
                             inputs[0].shape.sizes[0], attributes.kind, attributes.format,
                             outputs[0].floats());
}

Status run_iou_gradient(const Device& device, const Attributes& attributes, const Tensor* inputs,
                        const Tensor* outputs) {
  return device.pairwise_iou_gradient(boxes(inputs[0], inputs[2]), boxes(inputs[1], inputs[3]),
                                      inputs[0].shape.sizes[0], attributes.kind, attributes.format,
                                      inputs[4].floats(), outputs[0].floats(), outputs[1].floats());
}

// ---- LinearSumAssignment: inputs costs, row_counts, col_counts

Status read_assignment(const AttributeSource& source, Attributes& attributes) {
  return source.boolean("maximize", attributes.maximize);
}

Status infer_assignment(const Shape* inputs, const Attributes*, OutputShape* outputs) {
  PERCEPTION_RETURN_IF_ERROR(
      expect_shape("costs", inputs[0], {{kUnknown, "batch"}, {kUnknown, "n"}, {kUnknown, "m"}}));
  const Size batch = size_of(inputs[0], 0, 0);
  PERCEPTION_RETURN_IF_ERROR(expect_optional_shape("row_counts", inputs[1], {{batch.value, "batch"}}));
  PERCEPTION_RETURN_IF_ERROR(expect_optional_shape("col_counts", inputs[2], {{batch.value, "batch"}}));
  outputs[0] = {2, {batch, size_of(inputs[0], 0, 1)}};
  return {};
}

Status run_assignment(const Device& device, const Attributes& attributes, const Tensor* inputs,
                      const Tensor* outputs) {
  const auto& sizes = inputs[0].shape.sizes;
  return device.linear_sum_assignment(inputs[0].floats(), sizes[0], sizes[1], sizes[2], inputs[1].ints(),
                                      inputs[2].ints(), attributes.maximize, outputs[0].ints());
}

// ---- GroupAdvantages: input rewards

Status read_advantages(const AttributeSource& source, Attributes& attributes) {
  return read_entry(source, "formula", find_formula, attributes.formula);
}

Status infer_advantages(const Shape* inputs, const Attributes*, OutputShape* outputs) {
  PERCEPTION_RETURN_IF_ERROR(
      expect_shape("rewards", inputs[0], {{kUnknown, "groups"}, {kUnknown, "group size"}}));
  outputs[0] = {2, {size_of(inputs[0], 0, 0), size_of(inputs[0], 0, 1)}};
  return {};
}

Status run_advantages(const Device& device, const Attributes& attributes, const Tensor* inputs,
                      const Tensor* outputs) {
  const auto& sizes = inputs[0].shape.sizes;
  return device.group_advantages(inputs[0].floats(), sizes[0], sizes[1], *attributes.formula,
                                 outputs[0].floats());
}

// ---- Score: inputs predictions, labels, counts, truth, truth_labels, truth_counts

Status read_score(const AttributeSource& source, Attributes& attributes) {
  return read_entry(source, "recipe", find_recipe, attributes.recipe);
}

Status infer_score(const Shape* inputs, const Attributes* attributes, OutputShape* outputs) {
  const Shape &predictions = inputs[0], &truth = inputs[3];
  const int64_t width = !attributes ? kUnknown : attributes->recipe->task == Task::kCounting ? 2 : 4;
  PERCEPTION_RETURN_IF_ERROR(
      expect_shape("predictions", predictions, {{kUnknown, "n"}, {kUnknown, "p"}, {width, "width"}}));
  PERCEPTION_RETURN_IF_ERROR(
      expect_shape("truth", truth, {{kUnknown, "t"}, {kUnknown, "m"}, {width, "width"}}));
  const Size n = size_of(predictions, 0, 0), p = size_of(predictions, 0, 1);
  const Size t = size_of(truth, 3, 0), m = size_of(truth, 3, 1);
  PERCEPTION_RETURN_IF_ERROR(expect_optional_shape("labels", inputs[1], {{n.value, "n"}, {p.value, "p"}}));
  PERCEPTION_RETURN_IF_ERROR(expect_optional_shape("counts", inputs[2], {{n.value, "n"}}));
  PERCEPTION_RETURN_IF_ERROR(
      expect_optional_shape("truth_labels", inputs[4], {{t.value, "t"}, {m.value, "m"}}));
  PERCEPTION_RETURN_IF_ERROR(expect_optional_shape("truth_counts", inputs[5], {{t.value, "t"}}));
  if (n.value != kUnknown && t.value != kUnknown && (t.value == 0 ? n.value != 0 : n.value % t.value != 0))
    return {Code::kShapeMismatch, "predictions: expected a multiple of the " + std::to_string(t.value) +
                                      " ground truths, received " + std::to_string(n.value)};
  const Size terms = {attributes ? static_cast<int64_t>(attributes->recipe->terms.size()) : kUnknown};
  outputs[0] = {1, {n}};
  outputs[1] = {2, {terms, n}};
  return {};
}

Status run_score(const Device& device, const Attributes& attributes, const Tensor* inputs,
                 const Tensor* outputs) {
  const auto objects = [&](size_t first) -> PaddedObjects {
    const Tensor* group = inputs + first;
    return {group[0].floats(), group[1].ints(), group[2].ints(), group[0].shape.sizes[1]};
  };
  TensorScoreRequest request;
  request.recipe = attributes.recipe;
  request.predictions = objects(0);
  request.truth = objects(3);
  request.count = inputs[0].shape.sizes[0];
  const int64_t truths = inputs[3].shape.sizes[0];
  request.predictions_per_truth = truths > 0 && request.count > 0 ? request.count / truths : 1;
  return device.score_tensors(request, outputs[0].floats(), outputs[1].floats());
}

}  // namespace

const Operation& operation(size_t index) {
  static const auto& table = *new std::array<Operation, kOperations>{{
      {"PerceptionR1PairwiseIou",
       {{"a"}, {"b"}, {"a_counts", kInt32}, {"b_counts", kInt32}},
       {"kind: int", "format: int"},
       {{"overlaps"}},
       read_iou,
       infer_iou,
       run_iou},
      {"PerceptionR1PairwiseIouGrad",
       {{"a"}, {"b"}, {"a_counts", kInt32}, {"b_counts", kInt32}, {"grad"}},
       {"kind: int", "format: int"},
       {{"grad_a"}, {"grad_b"}},
       read_iou,
       infer_iou_gradient,
       run_iou_gradient},
      {"PerceptionR1LinearSumAssignment",
       {{"costs"}, {"row_counts", kInt32}, {"col_counts", kInt32}},
       {"maximize: bool"},
       {{"column_of_row", kInt32}},
       read_assignment,
       infer_assignment,
       run_assignment},
      {"PerceptionR1GroupAdvantages",
       {{"rewards"}},
       {"formula: int"},
       {{"advantages"}},
       read_advantages,
       infer_advantages,
       run_advantages},
      {"PerceptionR1Score",
       {{"predictions"},
        {"labels", kInt32},
        {"counts", kInt32},
        {"truth"},
        {"truth_labels", kInt32},
        {"truth_counts", kInt32}},
       {"recipe: int"},
       {{"rewards"}, {"terms"}},
       read_score,
       infer_score,
       run_score},
  }};
  return table[index];
}

}  // namespace perception::tensorflow
