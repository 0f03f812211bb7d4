// TensorFlow calls the functions given to it from its own frames: no exception leaves any of them.
#include "tensorflow/registration.h"

#include <array>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "tensorflow/c_api.h"
#include "tensorflow/devices.h"
#include "tensorflow/operations.h"

namespace perception::tensorflow {
namespace {

Api api;  // set once, before TensorFlow knows any function of this file

struct Delete {
  void operator()(TF_Status* status) const { api.TF_DeleteStatus(status); }
  void operator()(TF_Tensor* tensor) const { api.TF_DeleteTensor(tensor); }
  void operator()(TF_Buffer* buffer) const { api.TF_DeleteBuffer(buffer); }
  void operator()(TF_ShapeHandle* shape) const { api.TF_DeleteShapeHandle(shape); }
  void operator()(TF_DimensionHandle* dimension) const { api.TF_DeleteDimensionHandle(dimension); }
};
template <class T>
using Owned = std::unique_ptr<T, Delete>;
using OwnedStatus = Owned<TF_Status>;

// What TensorFlow said, as a Status.
Status said(const TF_Status* status) {
  switch (api.TF_GetCode(status)) {
    case TF_OK:
      return {};
    case TF_INVALID_ARGUMENT:
      return {Code::kInvalidArgument, api.TF_Message(status)};
    case TF_RESOURCE_EXHAUSTED:
      return {Code::kOutOfMemory, api.TF_Message(status)};
    default:
      return {Code::kInternal, api.TF_Message(status)};
  }
}

TF_Code code_for_tensorflow(Code code) {
  switch (code) {
    case Code::kOk:
      return TF_OK;
    case Code::kOutOfMemory:
      return TF_RESOURCE_EXHAUSTED;
    case Code::kInternal:
      return TF_INTERNAL;
    default:
      return TF_INVALID_ARGUMENT;
  }
}

// Runs `body`; if it fails or throws, hands the error to `report(code, message)`. A TF_Status has few codes,
// so the message begins with ours.
template <class Body, class Report>
void contained(Body&& body, Report&& report) noexcept {
  try {
    const Status status = body();
    if (status.ok()) return;
    const std::string message = std::string(code_name(status.code())) + ": " + status.message();
    report(code_for_tensorflow(status.code()), message.c_str());
  } catch (const std::bad_alloc&) {
    report(TF_RESOURCE_EXHAUSTED,
           "OUT_OF_MEMORY: not enough memory for this batch; split it into smaller ones");
  } catch (const std::exception& error) {
    report(TF_INTERNAL, error.what());
  } catch (...) {
    report(TF_INTERNAL, "INTERNAL: unknown exception");
  }
}

// ---- shape inference

Shape read_shape(TF_ShapeInferenceContext* context, TF_ShapeHandle* handle) {
  Shape shape;
  if (!api.TF_ShapeInferenceContextRankKnown(context, handle)) return shape;
  shape.rank = api.TF_ShapeInferenceContextRank(context, handle);
  if (shape.rank > kMaxRank) return shape;
  const Owned<TF_DimensionHandle> size(api.TF_NewDimensionHandle());
  for (int64_t axis = 0; axis < shape.rank; ++axis) {
    api.TF_ShapeInferenceContextDim(context, handle, axis, size.get());
    shape.sizes[static_cast<size_t>(axis)] =
        api.TF_DimensionHandleValueKnown(size.get()) ? api.TF_DimensionHandleValue(size.get()) : kUnknown;
  }
  return shape;
}

// The one-axis shape of `size`; null where nothing is known of it.
Owned<TF_ShapeHandle> axis_of(TF_ShapeInferenceContext* context, const Size& size,
                              const Owned<TF_ShapeHandle>* inputs, TF_Status* status) {
  if (size.value != kUnknown)
    return Owned<TF_ShapeHandle>(
        api.TF_ShapeInferenceContextVectorFromSize(context, static_cast<size_t>(size.value)));
  if (size.input < 0) return nullptr;
  Owned<TF_ShapeHandle> axis(api.TF_NewShapeHandle());
  api.TF_ShapeInferenceContextSubshape(context, inputs[size.input].get(), size.axis, size.axis + 1,
                                       axis.get(), status);
  return axis;
}

// Sets output `index`, or leaves it unknown where the C API cannot express what is known of it.
Status set_output(TF_ShapeInferenceContext* context, int index, const OutputShape& output,
                  const Owned<TF_ShapeHandle>* inputs, TF_Status* status) {
  Owned<TF_ShapeHandle> shape;
  for (int axis = 0; axis < output.rank; ++axis) {
    Owned<TF_ShapeHandle> next = axis_of(context, output.sizes[static_cast<size_t>(axis)], inputs, status);
    PERCEPTION_RETURN_IF_ERROR(said(status));
    if (!next) return {};
    if (shape) {
      Owned<TF_ShapeHandle> longer(api.TF_NewShapeHandle());
      api.TF_ShapeInferenceContextConcatenateShapes(context, shape.get(), next.get(), longer.get(), status);
      PERCEPTION_RETURN_IF_ERROR(said(status));
      shape = std::move(longer);
    } else {
      shape = std::move(next);
    }
  }
  api.TF_ShapeInferenceContextSetOutput(context, index, shape.get(), status);
  return said(status);
}

Status infer_shapes(const Operation& operation, TF_ShapeInferenceContext* context, TF_Status* status) {
  std::array<Owned<TF_ShapeHandle>, kMaxInputs> handles;
  std::array<Shape, kMaxInputs> shapes;
  for (size_t i = 0; i < operation.inputs.size(); ++i) {
    handles[i].reset(api.TF_NewShapeHandle());
    api.TF_ShapeInferenceContextGetInput(context, static_cast<int>(i), handles[i].get(), status);
    PERCEPTION_RETURN_IF_ERROR(said(status));
    shapes[i] = read_shape(context, handles[i].get());
  }
  std::array<OutputShape, kMaxOutputs> outputs;
  PERCEPTION_RETURN_IF_ERROR(operation.infer(shapes.data(), nullptr, outputs.data()));
  api.TF_ShapeInferenceContextSetUnknownShape(context, status);
  PERCEPTION_RETURN_IF_ERROR(said(status));
  for (size_t i = 0; i < operation.outputs.size(); ++i)
    PERCEPTION_RETURN_IF_ERROR(set_output(context, static_cast<int>(i), outputs[i], handles.data(), status));
  return {};
}

template <size_t index>
void shape_function(TF_ShapeInferenceContext* context, TF_Status* status) {
  contained([&] { return infer_shapes(operation(index), context, status); },
            [&](TF_Code code, const char* message) { api.TF_SetStatus(status, code, message); });
}

// ---- kernels

struct Kernel {
  const Operation& operation;
  const Device& device;
  Attributes attributes;
};

class ConstructionAttributes final : public AttributeSource {
 public:
  explicit ConstructionAttributes(TF_OpKernelConstruction* construction) : construction_(construction) {}

  Status integer(const char* name, int32_t& value) const override {
    api.TF_OpKernelConstruction_GetAttrInt32(construction_, name, &value, status_.get());
    return said(status_.get());
  }
  Status boolean(const char* name, bool& value) const override {
    TF_Bool flag = 0;
    api.TF_OpKernelConstruction_GetAttrBool(construction_, name, &flag, status_.get());
    value = flag != 0;
    return said(status_.get());
  }

 private:
  TF_OpKernelConstruction* construction_;
  OwnedStatus status_{api.TF_NewStatus()};
};

template <size_t index, DeviceType device>
void* create(TF_OpKernelConstruction* construction) {
  void* result = nullptr;
  contained(
      [&]() -> Status {
        std::string reason;
        auto kernel = std::make_unique<Kernel>(Kernel{operation(index), *find_device(device, reason), {}});
        PERCEPTION_RETURN_IF_ERROR(
            kernel->operation.read(ConstructionAttributes(construction), kernel->attributes));
        result = kernel.release();
        return {};
      },
      [&](TF_Code code, const char* message) {
        const OwnedStatus status(api.TF_NewStatus());
        api.TF_SetStatus(status.get(), code, message);
        api.TF_OpKernelConstruction_Failure(construction, status.get());
      });
  return result;
}

// TensorFlow's own buffer: nothing is copied here.
Tensor view(const TF_Tensor* tensor) {
  Tensor result;
  result.data = api.TF_TensorData(tensor);
  result.length = api.TF_TensorByteSize(tensor) / sizeof(float);
  result.shape.rank = api.TF_NumDims(tensor);
  if (result.shape.rank <= kMaxRank)
    for (int axis = 0; axis < result.shape.rank; ++axis)
      result.shape.sizes[static_cast<size_t>(axis)] = api.TF_Dim(tensor, axis);
  return result;
}

Status allocate(TF_OpKernelContext* context, int index, ElementType type, const OutputShape& shape,
                Owned<TF_Tensor>& tensor, TF_Status* status) {
  std::array<int64_t, kMaxRank> sizes{};
  size_t bytes = sizeof(float);
  for (size_t axis = 0; axis < static_cast<size_t>(shape.rank); ++axis) {
    sizes[axis] = shape.sizes[axis].value;
    const auto size = static_cast<size_t>(sizes[axis]);
    // TensorFlow ends the process on a shape whose product overflows.
    if (size != 0 && bytes > static_cast<size_t>(std::numeric_limits<int64_t>::max()) / size)
      return {Code::kTooLarge, "the result would have more elements than a tensor can"};
    bytes *= size;
  }
  tensor.reset(api.TF_AllocateOutput(context, index, type == ElementType::kFloat ? TF_FLOAT : TF_INT32,
                                     sizes.data(), shape.rank, bytes, status));
  return said(status);
}

Status run(const Kernel& kernel, TF_OpKernelContext* context) {
  const Operation& operation = kernel.operation;
  const OwnedStatus status(api.TF_NewStatus());
  std::array<Owned<TF_Tensor>, kMaxInputs> input_tensors;
  std::array<Tensor, kMaxInputs> inputs;
  std::array<Shape, kMaxInputs> shapes;
  for (size_t i = 0; i < operation.inputs.size(); ++i) {
    TF_Tensor* tensor = nullptr;
    api.TF_GetInput(context, static_cast<int>(i), &tensor, status.get());
    PERCEPTION_RETURN_IF_ERROR(said(status.get()));
    input_tensors[i].reset(tensor);
    inputs[i] = view(tensor);
    shapes[i] = inputs[i].shape;
  }
  std::array<OutputShape, kMaxOutputs> output_shapes;
  PERCEPTION_RETURN_IF_ERROR(operation.infer(shapes.data(), &kernel.attributes, output_shapes.data()));
  std::array<Owned<TF_Tensor>, kMaxOutputs> output_tensors;
  std::array<Tensor, kMaxOutputs> outputs;
  for (size_t i = 0; i < operation.outputs.size(); ++i) {
    PERCEPTION_RETURN_IF_ERROR(allocate(context, static_cast<int>(i), operation.outputs[i].type,
                                        output_shapes[i], output_tensors[i], status.get()));
    outputs[i] = view(output_tensors[i].get());
  }
  return operation.run(kernel.device, kernel.attributes, inputs.data(), outputs.data());
}

void compute(void* kernel, TF_OpKernelContext* context) {
  contained([&] { return run(*static_cast<const Kernel*>(kernel), context); },
            [&](TF_Code code, const char* message) {
              const OwnedStatus status(api.TF_NewStatus());
              api.TF_SetStatus(status.get(), code, message);
              api.TF_OpKernelContext_Failure(context, status.get());
            });
}

void destroy(void* kernel) { delete static_cast<Kernel*>(kernel); }

// ---- registration

// The functions of operation i, which TensorFlow's C API takes without a context of ours.
struct Functions {
  ShapeFunction shape;
  std::array<CreateKernel, 2> create;  // by DeviceType
};

template <size_t... index>
constexpr std::array<Functions, sizeof...(index)> functions_of(std::index_sequence<index...>) {
  return {{{shape_function<index>, {create<index, DeviceType::kCpu>, create<index, DeviceType::kGpu>}}...}};
}
constexpr auto kFunctions = functions_of(std::make_index_sequence<kOperations>());

// TensorFlow ends the process when an operation is registered twice.
Status check_unknown(const Operation& operation) {
  const OwnedStatus status(api.TF_NewStatus());
  const Owned<TF_Buffer> kernels(api.TF_GetRegisteredKernelsForOp(operation.name, status.get()));
  PERCEPTION_RETURN_IF_ERROR(said(status.get()));
  if (kernels && kernels->length > 0)
    return {Code::kInvalidArgument,
            "another copy of perception-r1 has registered its operations in this process"};
  return {};
}

std::string specification(const Argument& argument) {
  return std::string(argument.name) + (argument.type == ElementType::kFloat ? ": float" : ": int32");
}

Status define(const Operation& operation, ShapeFunction shape) {
  TF_OpDefinitionBuilder* builder = api.TF_NewOpDefinitionBuilder(operation.name);
  for (const Argument& input : operation.inputs)
    api.TF_OpDefinitionBuilderAddInput(builder, specification(input).c_str());
  for (const Argument& output : operation.outputs)
    api.TF_OpDefinitionBuilderAddOutput(builder, specification(output).c_str());
  for (const char* attribute : operation.attributes) api.TF_OpDefinitionBuilderAddAttr(builder, attribute);
  api.TF_OpDefinitionBuilderSetShapeInferenceFunction(builder, shape);
  const OwnedStatus status(api.TF_NewStatus());
  api.TF_RegisterOpDefinition(builder, status.get());  // takes the builder
  return said(status.get());
}

Status add_kernel(const Operation& operation, DeviceType device, CreateKernel create) {
  const OwnedStatus status(api.TF_NewStatus());
  api.TF_RegisterKernelBuilder(
      (std::string(operation.name) + device_name(device)).c_str(),
      api.TF_NewKernelBuilder(operation.name, device_name(device), create, compute, destroy), status.get());
  return said(status.get());
}

Status register_all(std::string& gpu_reason) {
  for (size_t i = 0; i < kOperations; ++i) PERCEPTION_RETURN_IF_ERROR(check_unknown(operation(i)));
  for (size_t i = 0; i < kOperations; ++i)
    PERCEPTION_RETURN_IF_ERROR(define(operation(i), kFunctions[i].shape));
  for (const DeviceType device : {DeviceType::kCpu, DeviceType::kGpu}) {
    if (!find_device(device, gpu_reason)) continue;
    for (size_t i = 0; i < kOperations; ++i)
      PERCEPTION_RETURN_IF_ERROR(
          add_kernel(operation(i), device, kFunctions[i].create[static_cast<size_t>(device)]));
  }
  return {};
}

}  // namespace

Registration register_operations() {
  static std::mutex mutex;
  static std::optional<Registration> decided;
  const std::lock_guard lock(mutex);
  if (decided) return *decided;
  Registration result;
  if (!find_api(api, result.library, result.reason)) return result;
  const Status status = register_all(result.gpu_reason);
  result.registered = status.ok();
  result.reason = status.message();
  decided = result;
  return result;
}

}  // namespace perception::tensorflow
