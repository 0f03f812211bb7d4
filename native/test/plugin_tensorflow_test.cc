// The operations that TensorFlow gets, on GPU memory: the functions its GPU kernels call, against those of
// its CPU kernels. TensorFlow itself is not needed for that.
#include <cmath>
#include <cstring>
#include <memory>
#include <random>

#include "detection_recipe.h"
#include "plugin_support.h"
#include "tensorflow/operations.h"
#include "tensorflow/registry.h"

namespace perception::cuda {

// In place of loader.cc: the plug-in that is linked into this program.
const Loaded& load_plugin() {
  static const Loaded& loaded = *new Loaded{&plugin(), 1, "", ""};
  return loaded;
}

}  // namespace perception::cuda

namespace perception::tensorflow {
namespace {

using cuda::DeviceArray;

// Four-byte numbers of an argument, on the host.
struct Values {
  std::vector<int64_t> sizes;
  std::vector<float> floats;
  std::vector<int32_t> ints;
};

Shape shape_of(const std::vector<int64_t>& sizes) {
  Shape shape;
  shape.rank = static_cast<int>(sizes.size());
  for (size_t axis = 0; axis < sizes.size(); ++axis) shape.sizes[axis] = sizes[axis];
  return shape;
}

const Operation& named(const std::string& name) {
  for (size_t i = 0; i < kOperations; ++i)
    if (operation(i).name == "PerceptionR1" + name) return operation(i);
  FAIL("no operation " << name);
  return operation(0);
}

// The outputs' bits, on the host; or the status' message.
struct Result {
  Status status;
  std::vector<std::vector<float>> outputs;
};

Result run(DeviceType type, const std::string& name, const Attributes& attributes,
           const std::vector<Values>& values) {
  std::string reason;
  const Device* const device = find_device(type, reason);
  REQUIRE(device);
  const Operation& operation = named(name);
  REQUIRE(operation.inputs.size() == values.size());
  std::vector<std::unique_ptr<DeviceArray<float>>> memory;
  std::vector<std::vector<float>> host(values.size());
  std::vector<Tensor> inputs(values.size());
  std::vector<Shape> shapes;
  for (size_t i = 0; i < values.size(); ++i) {
    const bool floats = operation.inputs[i].type == ElementType::kFloat;
    const size_t length = floats ? values[i].floats.size() : values[i].ints.size();
    const auto* const from =
        floats ? values[i].floats.data() : reinterpret_cast<const float*>(values[i].ints.data());
    host[i].assign(from, from + length);
    inputs[i] = {host[i].data(), length, shape_of(values[i].sizes)};
    if (type == DeviceType::kGpu) {
      memory.push_back(std::make_unique<DeviceArray<float>>(host[i]));
      inputs[i].data = memory.back()->data();
    }
    shapes.push_back(inputs[i].shape);
  }
  OutputShape output_shapes[kMaxOutputs];
  REQUIRE(operation.infer(shapes.data(), &attributes, output_shapes).ok());
  Result result;
  result.outputs.resize(operation.outputs.size());
  std::vector<std::unique_ptr<DeviceArray<float>>> results;
  Tensor outputs[kMaxOutputs];
  for (size_t i = 0; i < operation.outputs.size(); ++i) {
    size_t length = 1;
    std::vector<int64_t> sizes;
    for (int axis = 0; axis < output_shapes[i].rank; ++axis) {
      sizes.push_back(output_shapes[i].sizes[size_t(axis)].value);
      length *= size_t(sizes.back());
    }
    result.outputs[i].resize(length);
    outputs[i] = {result.outputs[i].data(), length, shape_of(sizes)};
    if (type == DeviceType::kGpu) {
      results.push_back(std::make_unique<DeviceArray<float>>(length));
      outputs[i].data = results.back()->data();
    }
  }
  Status status = operation.run(*device, attributes, inputs.data(), outputs);
  for (size_t i = 0; i < results.size(); ++i) result.outputs[i] = results[i]->read();
  return {std::move(status), std::move(result.outputs)};
}

void check_same(const std::string& name, const Attributes& attributes, const std::vector<Values>& values,
                float tolerance = 0) {
  const Result cpu = run(DeviceType::kCpu, name, attributes, values);
  const Result gpu = run(DeviceType::kGpu, name, attributes, values);
  INFO(name << " " << gpu.status.message());
  REQUIRE(cpu.status.ok());
  REQUIRE(gpu.status.ok());
  for (size_t i = 0; i < cpu.outputs.size(); ++i) {
    REQUIRE(gpu.outputs[i].size() == cpu.outputs[i].size());
    size_t wrong = 0;
    for (size_t k = 0; k < cpu.outputs[i].size(); ++k) {
      const float a = cpu.outputs[i][k], b = gpu.outputs[i][k];
      wrong += std::memcmp(&a, &b, sizeof(a)) != 0 && !(std::abs(a - b) <= tolerance);
    }
    CHECK(wrong == 0);
  }
}

class Random {
 public:
  Values floats(std::vector<int64_t> sizes, float low, float high) {
    std::uniform_real_distribution<float> value(low, high);
    Values values{std::move(sizes), {}, {}};
    values.floats.resize(length(values.sizes));
    for (float& x : values.floats) x = value(engine_);
    return values;
  }
  Values ints(std::vector<int64_t> sizes, int32_t low, int32_t high) {
    std::uniform_int_distribution<int32_t> value(low, high);
    Values values{std::move(sizes), {}, {}};
    values.ints.resize(length(values.sizes));
    for (int32_t& x : values.ints) x = value(engine_);
    return values;
  }
  Values boxes(int64_t batch, int64_t rows) {
    Values values = floats({batch, rows, 4}, 0, 500);
    for (size_t i = 0; i < values.floats.size(); i += 4) {
      values.floats[i + 2] += values.floats[i];
      values.floats[i + 3] += values.floats[i + 1];
    }
    return values;
  }

 private:
  static size_t length(const std::vector<int64_t>& sizes) {
    size_t result = 1;
    for (const int64_t size : sizes) result *= size_t(size);
    return result;
  }
  std::mt19937 engine_{7};
};

const Values kNone = {{0}, {}, {}};

TEST_CASE("plug-in: TensorFlow's operations on GPU memory are those on the CPU's") {
  Random random;
  Attributes attributes;
  attributes.kind = IouKind::kGiou;
  const Values a = random.boxes(5, 7), b = random.boxes(5, 6), a_counts = random.ints({5}, 0, 7);
  check_same("PairwiseIou", attributes, {a, b, a_counts, kNone});
  check_same("PairwiseIouGrad", attributes, {a, b, a_counts, kNone, random.floats({5, 7, 6}, -1, 1)}, 1e-6f);
  attributes.maximize = true;
  check_same("LinearSumAssignment", attributes,
             {random.floats({9, 12, 8}, 0, 1), random.ints({9}, 0, 12), random.ints({9}, 0, 8)});

  AdvantageOptions formula;
  attributes.formula = find_formula(keep_formula(formula));
  check_same("GroupAdvantages", attributes, {random.floats({20, 8}, 0, 3)});

  attributes.recipe = find_recipe(keep_recipe(detection_recipe()));
  check_same("Score", attributes,
             {random.boxes(12, 9), random.ints({12, 9}, -1, 2), random.ints({12}, 0, 9), random.boxes(3, 6),
              random.ints({3, 6}, 0, 2), random.ints({3}, 0, 6)});
}

TEST_CASE("plug-in: TensorFlow's operations on empty tensors") {
  Attributes attributes;
  Random random;
  check_same("PairwiseIou", attributes, {random.boxes(2, 0), random.boxes(2, 3), kNone, kNone});
  check_same("PairwiseIouGrad", attributes,
             {random.boxes(2, 0), random.boxes(2, 3), kNone, kNone, random.floats({2, 0, 3}, 0, 1)});
  check_same("LinearSumAssignment", attributes, {random.floats({0, 3, 3}, 0, 1), kNone, kNone});
  check_same("LinearSumAssignment", attributes, {random.floats({2, 3, 0}, 0, 1), kNone, kNone});
}

TEST_CASE("plug-in: faults in GPU memory fail TensorFlow's operation") {
  Attributes attributes;
  Values costs = {{2, 2, 2}, {1, 2, 3, 4, INFINITY, INFINITY, 1, 1}, {}};
  CHECK(run(DeviceType::kCpu, "LinearSumAssignment", attributes, {costs, kNone, kNone}).status.code() ==
        Code::kInfeasible);
  const Result gpu = run(DeviceType::kGpu, "LinearSumAssignment", attributes, {costs, kNone, kNone});
  CHECK(gpu.status.code() == Code::kInfeasible);
  CHECK(gpu.status.message().find("problem 1") == 0);

  AdvantageOptions formula;
  attributes.formula = find_formula(keep_formula(formula));
  const Values rewards = {{2, 2}, {1, 2, INFINITY, 3}, {}};
  CHECK(run(DeviceType::kGpu, "GroupAdvantages", attributes, {rewards}).status.code() == Code::kInvalidValue);
}

}  // namespace
}  // namespace perception::tensorflow
