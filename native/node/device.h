// Memory of the GPU: behind handles for JavaScript, and as inputs and results of the operations of cuda.cc.
// An operation's inputs are all handles, and so are its results then; or all are typed arrays, which are
// brought to the GPU and back within the call.
#pragma once

#include <napi.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/status.h"
#include "cuda/loader.h"
#include "node/arguments.h"

namespace perception::node {

using cuda::Fault;
using cuda::Loaded;
using cuda::Plugin;

inline const Plugin& usable_plugin() {
  const Loaded& loaded = cuda::load_plugin();
  if (!loaded.plugin)
    throw ArgumentError{{Code::kDeviceUnavailable, "the CUDA backend is not available: " + loaded.reason}};
  return *loaded.plugin;
}

inline int32_t device_number(const Napi::Value& value) {
  return static_cast<int32_t>(integer(value, "device", 0, cuda::load_plugin().devices - 1));
}

// ---- memory

// Freed with the object; the plug-in orders that behind what was queued before.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(DeviceMemory&& other) noexcept
      : plugin_(other.plugin_),
        device_(other.device_),
        address_(std::exchange(other.address_, nullptr)),
        bytes_(other.bytes_) {}
  DeviceMemory& operator=(DeviceMemory&&) = delete;
  ~DeviceMemory() {
    if (address_) plugin_->release(device_, address_);
  }

  // Once.
  Status allocate(const Plugin& plugin, int32_t device, uint64_t bytes) {
    PERCEPTION_RETURN_IF_ERROR(said_by(plugin, plugin.allocate(device, bytes, &address_)));
    plugin_ = &plugin;
    device_ = device;
    bytes_ = bytes;
    return {};
  }
  Status upload(const void* from) {
    return said_by(*plugin_, plugin_->upload(device_, address_, from, bytes_));
  }
  Status download(void* to) const {
    return said_by(*plugin_, plugin_->download(device_, to, address_, bytes_));
  }

  int32_t device() const { return device_; }
  void* address() const { return address_; }
  uint64_t bytes() const { return bytes_; }

 private:
  const Plugin* plugin_ = nullptr;
  int32_t device_ = 0;
  void* address_ = nullptr;
  uint64_t bytes_ = 0;
};

// Where the kernels of one operation say what they found wrong; known when they are done.
class FaultCell {
 public:
  Status allocate(const Plugin& plugin, int32_t device) {
    PERCEPTION_RETURN_IF_ERROR(memory_.allocate(plugin, device, sizeof(Fault)));
    static_assert(cuda::kNoFault == ~Fault{0}, "the bytes filled in");
    return said_by(plugin, plugin.fill(device, memory_.address(), 0xff, sizeof(Fault)));
  }
  Fault* address() const { return static_cast<Fault*>(memory_.address()); }

  // Waits for the operation.
  Status read() {
    const std::lock_guard lock(mutex_);
    if (!found_) {
      Fault fault = cuda::kNoFault;
      PERCEPTION_RETURN_IF_ERROR(memory_.download(&fault));
      found_ = cuda::to_status(fault);
    }
    return *found_;
  }

 private:
  DeviceMemory memory_;
  std::mutex mutex_;
  std::optional<Status> found_;
};

using Faults = std::vector<std::shared_ptr<FaultCell>>;

inline Status read_all(const Faults& faults) {
  for (const auto& fault : faults) PERCEPTION_RETURN_IF_ERROR(fault->read());
  return {};
}

inline std::atomic<int64_t> tensor_count = 0, tensor_bytes = 0;

// What a handle and the operations that are running with it share.
struct Tensor {
  explicit Tensor(DeviceMemory&& allocated) : memory(std::move(allocated)) {
    ++tensor_count;
    tensor_bytes += static_cast<int64_t>(memory.bytes());
  }
  ~Tensor() {
    --tensor_count;
    tensor_bytes -= static_cast<int64_t>(memory.bytes());
  }
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;

  const DeviceMemory memory;
  Faults faults;  // of the operations that the values come from, as far as nobody has read them yet
};

using TensorPointer = std::shared_ptr<const Tensor>;

// ---- handles: objects that wrap a TensorPointer, null once released

inline constexpr napi_type_tag kHandleTag = {0x9d0f6b1c52e84a37, 0xb7e1c04f8a6d2935};

// Device memory hangs on small objects: untold, a collector would see no reason to look for them.
inline void tell_collector(napi_env env, int64_t bytes) {
  int64_t ignored;
  napi_adjust_external_memory(env, bytes, &ignored);
}

inline void release_tensor(napi_env env, TensorPointer& tensor) {
  if (!tensor) return;
  tell_collector(env, -static_cast<int64_t>(tensor->memory.bytes()));
  tensor.reset();
}

inline Napi::Value make_handle(Napi::Env env, TensorPointer tensor) {
  const auto bytes = static_cast<int64_t>(tensor->memory.bytes());
  Napi::Object object = Napi::Object::New(env);
  object.TypeTag(&kHandleTag);
  auto wrapped = std::make_unique<TensorPointer>(std::move(tensor));
  const auto finalize = [](napi_env finalizing, void* data, void*) {
    const std::unique_ptr<TensorPointer> owned(static_cast<TensorPointer*>(data));
    release_tensor(finalizing, *owned);
  };
  if (napi_wrap(env, object, wrapped.get(), finalize, nullptr, nullptr) != napi_ok)
    throw Napi::Error::New(env, "a handle of device memory could not be made");
  wrapped.release();
  tell_collector(env, bytes);
  return object;
}

inline TensorPointer& unwrap(const Napi::Value& value, const char* name) {
  void* wrapped = nullptr;
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kHandleTag) ||
      napi_unwrap(value.Env(), value, &wrapped) != napi_ok)
    throw ArgumentError{{Code::kInvalidArgument, std::string(name) + ": expected a handle of device memory"}};
  return *static_cast<TensorPointer*>(wrapped);
}

inline TensorPointer tensor_of(const Napi::Value& value, const char* name) {
  TensorPointer tensor = unwrap(value, name);
  if (!tensor)
    throw ArgumentError{
        {Code::kInvalidArgument, std::string(name) + ": expected device memory that was not released"}};
  return tensor;
}

// ---- arguments and results of operations

// One operation on one device.
class DeviceCall {
 public:
  DeviceCall(const Napi::Value& device, bool async)
      : plugin_(&usable_plugin()), device_(device_number(device)), async_(async) {}

  const Plugin& plugin() const { return *plugin_; }
  int32_t device() const { return device_; }
  // What an input or a result needs of the typed arrays of the call.
  Hold hold() const { return async_ ? Hold::kCopy : Hold::kView; }

  // Runs one of the plug-in's functions on the device: queue(&Plugin::score, ...).
  template <class Function, class... Arguments>
  Status queue(Function Plugin::*function, Arguments... arguments) const {
    if (!(plugin_->*function)) return {Code::kInternal, "the CUDA plug-in lacks this operation"};
    return said_by(*plugin_, (plugin_->*function)(device_, arguments...));
  }

  // Makes this operation's own cell.
  Status add_fault() {
    auto cell = std::make_shared<FaultCell>();
    PERCEPTION_RETURN_IF_ERROR(cell->allocate(*plugin_, device_));
    faults_.push_back(std::move(cell));
    return {};
  }
  Fault* fault() const { return faults_.back()->address(); }

  // What is wrong with an input is wrong with the results.
  void inherit(const Faults& faults) {
    for (const auto& fault : faults)
      if (std::find(faults_.begin(), faults_.end(), fault) == faults_.end())
        faults_.insert(faults_.begin(), fault);
  }

  // To be called when the operation is queued, with all of its results. Typed arrays are filled. A
  // synchronous call leaves device memory as it is, to be ready in its time; an asynchronous one waits for
  // it.
  template <class... Outputs>
  Status finish(Outputs&... outputs) {
    const bool collects = (outputs.on_host() || ...);
    if (async_ && !collects) PERCEPTION_RETURN_IF_ERROR(queue(&Plugin::synchronize, false));
    if (async_ || collects) {
      PERCEPTION_RETURN_IF_ERROR(read_all(faults_));
      faults_.clear();
    }
    Status status;
    (void)((status = outputs.finish(faults_), status.ok()) && ...);
    return status;
  }

 private:
  const Plugin* plugin_;
  int32_t device_;
  bool async_;
  Faults faults_;
};

// A handle, a typed array, or (optional) undefined.
template <class T>
class DeviceInput {
 public:
  DeviceInput() = default;
  DeviceInput(const Napi::Value& value, const char* name, Hold hold) : name_(name), given_(true) {
    if (value.IsTypedArray())
      array_ = Input<T>(value, name, hold);
    else
      tensor_ = tensor_of(value, name);
  }

  bool given() const { return given_; }
  const char* name() const { return name_; }
  size_t size() const {
    return tensor_ ? static_cast<size_t>(tensor_->memory.bytes() / sizeof(T)) : array_.span().size();
  }
  // The typed array; empty where it is none.
  std::span<const T> host() const { return array_.span(); }

  // Brings it to the device, once.
  Status place(DeviceCall& call) {
    if (tensor_) {
      if (tensor_->memory.device() != call.device())
        return {Code::kInvalidArgument, std::string(name_) + ": expected memory of device " +
                                            std::to_string(call.device()) + ", received some of device " +
                                            std::to_string(tensor_->memory.device())};
      call.inherit(tensor_->faults);
      return {};
    }
    if (!given_) return {};
    PERCEPTION_RETURN_IF_ERROR(uploaded_.allocate(call.plugin(), call.device(), host().size_bytes()));
    return uploaded_.upload(host().data());
  }
  // null where it was not given.
  const T* data() const {
    return static_cast<const T*>(tensor_ ? tensor_->memory.address() : uploaded_.address());
  }

 private:
  const char* name_ = "";
  bool given_ = false;
  TensorPointer tensor_;
  Input<T> array_;
  DeviceMemory uploaded_;
};

template <class T>
DeviceInput<T> optional_input(const Napi::Value& value, const char* name, Hold hold) {
  return value.IsUndefined() ? DeviceInput<T>() : DeviceInput<T>(value, name, hold);
}

template <class... Inputs>
Status place_all(DeviceCall& call, Inputs&... inputs) {
  Status status;
  (void)((status = inputs.place(call), status.ok()) && ...);
  return status;
}

// A typed array that is filled, or undefined: the result stays on the device.
template <class T>
class DeviceOutput {
 public:
  DeviceOutput() = default;
  DeviceOutput(const Napi::Value& value, const char* name) : name_(name), on_host_(!value.IsUndefined()) {
    if (on_host_) array_ = Output<T>(value, name);
  }

  bool on_host() const { return on_host_; }
  Status place(DeviceCall& call, size_t size) {
    if (on_host_) PERCEPTION_RETURN_IF_ERROR(check_length(array_.span().size(), size, name_));
    return memory_.allocate(call.plugin(), call.device(), size * sizeof(T));
  }
  T* data() const { return static_cast<T*>(memory_.address()); }

  Status finish(const Faults& faults) {
    if (on_host_) return memory_.download(array_.span().data());
    auto tensor = std::make_shared<Tensor>(std::move(memory_));
    tensor->faults = faults;
    tensor_ = std::move(tensor);
    return {};
  }
  // The handle.
  Napi::Value result(Napi::Env env) { return on_host_ ? env.Undefined() : make_handle(env, tensor_); }

 private:
  const char* name_ = "";
  bool on_host_ = false;
  Output<T> array_;
  DeviceMemory memory_;
  TensorPointer tensor_;
};

// Handles in the order of the results; undefined where they went to typed arrays.
template <class... Outputs>
Napi::Value results(Napi::Env env, Outputs&... outputs) {
  if ((outputs.on_host() || ...)) return env.Undefined();
  Napi::Array handles = Napi::Array::New(env);
  (handles.Set(handles.Length(), outputs.result(env)), ...);
  return handles;
}

// Several small arrays of numbers, brought to the device in one piece.
class DeviceTables {
 public:
  // Returns the number by which `at` knows it.
  size_t add(std::span<const int32_t> values) {
    starts_.push_back(values_.size());
    values_.insert(values_.end(), values.begin(), values.end());
    return starts_.size() - 1;
  }
  Status place(DeviceCall& call) {
    PERCEPTION_RETURN_IF_ERROR(
        memory_.allocate(call.plugin(), call.device(), values_.size() * sizeof(int32_t)));
    return memory_.upload(values_.data());
  }
  const int32_t* at(size_t table) const {
    return static_cast<const int32_t*>(memory_.address()) + starts_[table];
  }

 private:
  std::vector<int32_t> values_;
  std::vector<size_t> starts_;
  DeviceMemory memory_;
};

}  // namespace perception::node
