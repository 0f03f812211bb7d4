#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/operations.h"
#include "cuda/runtime.h"

namespace perception::cuda {
namespace {

thread_local std::string failure;

// ---- devices

// Pinned memory through which pageable memory is copied, in chunks: the copy engine reads some while the host
// fills others. A ring for each direction, so that who waits for results holds back nobody who brings inputs.
constexpr size_t kChunkBytes = size_t{1} << 20;
constexpr size_t kChunks = 8;

struct Chunk {
  void* memory = nullptr;
  cudaEvent_t done = nullptr;  // of the last copy from or to it
};

struct Ring {
  std::mutex mutex;
  std::array<Chunk, kChunks> chunks;
  size_t next = 0;

  Chunk& take() {
    Chunk& chunk = chunks[next];
    next = (next + 1) % kChunks;
    return chunk;
  }
};

struct Device {
  std::once_flag once;  // for what follows
  std::unique_ptr<const Status> set_up_status;
  cudaStream_t stream = nullptr;
  size_t shared_limit = 0;
  int multiprocessors = 0;
  Ring up, down;
};

int device_number() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

// Never destroyed: other threads may still run while the process ends.
std::vector<std::unique_ptr<Device>>& devices() {
  static auto& all = *[] {
    auto* result = new std::vector<std::unique_ptr<Device>>;
    for (int i = device_number(); i > 0; --i) result->push_back(std::make_unique<Device>());
    return result;
  }();
  return all;
}

Status set_up(int32_t number, Device& device) {
  PERCEPTION_RETURN_IF_ERROR(check(cudaStreamCreateWithFlags(&device.stream, cudaStreamNonBlocking)));
  int value = 0;
  PERCEPTION_RETURN_IF_ERROR(
      check(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, number)));
  device.shared_limit = static_cast<size_t>(value);
  PERCEPTION_RETURN_IF_ERROR(
      check(cudaDeviceGetAttribute(&device.multiprocessors, cudaDevAttrMultiProcessorCount, number)));
  // Freed memory is kept for the next allocation instead of going back to the system at every wait.
  cudaMemPool_t pool;
  PERCEPTION_RETURN_IF_ERROR(check(cudaDeviceGetDefaultMemPool(&pool, number)));
  uint64_t keep = ~uint64_t{0};
  PERCEPTION_RETURN_IF_ERROR(check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep)));
  for (Ring* ring : {&device.up, &device.down}) {
    for (Chunk& chunk : ring->chunks) {
      PERCEPTION_RETURN_IF_ERROR(check(cudaMallocHost(&chunk.memory, kChunkBytes)));
      PERCEPTION_RETURN_IF_ERROR(check(cudaEventCreateWithFlags(&chunk.done, cudaEventDisableTiming)));
    }
  }
  return {};
}

// The device made ready, and current for this thread.
Status find(int32_t number, Device*& device) {
  if (number < 0 || static_cast<size_t>(number) >= devices().size())
    return {Code::kInvalidArgument, "device: expected a number from 0 to " +
                                        std::to_string(static_cast<int64_t>(devices().size()) - 1) +
                                        ", received " + std::to_string(number)};
  device = devices()[static_cast<size_t>(number)].get();
  PERCEPTION_RETURN_IF_ERROR(check(cudaSetDevice(number)));
  std::call_once(device->once,
                 [&] { device->set_up_status = std::make_unique<const Status>(set_up(number, *device)); });
  return *device->set_up_status;
}

int32_t device_count(int32_t* count) {
  return reported([&]() -> Status {
    int number = 0;
    PERCEPTION_RETURN_IF_ERROR(check(cudaGetDeviceCount(&number)));
    *count = number;
    return {};
  });
}

int32_t device_properties(int32_t number, DeviceProperties* properties) {
  return reported([&]() -> Status {
    cudaDeviceProp found;
    PERCEPTION_RETURN_IF_ERROR(check(cudaGetDeviceProperties(&found, number)));
    static_assert(sizeof(properties->name) == sizeof(found.name));
    std::memcpy(properties->name, found.name, sizeof(found.name));
    properties->major = found.major;
    properties->minor = found.minor;
    properties->multiprocessors = found.multiProcessorCount;
    properties->memory = found.totalGlobalMem;
    return {};
  });
}

int32_t device_of(const void* memory, int32_t* device) {
  return reported([&]() -> Status {
    cudaPointerAttributes attributes;
    PERCEPTION_RETURN_IF_ERROR(check(cudaPointerGetAttributes(&attributes, memory)));
    if (attributes.type != cudaMemoryTypeDevice && attributes.type != cudaMemoryTypeManaged)
      return {Code::kInvalidArgument, "expected memory of a GPU, received memory of the host"};
    *device = attributes.device;
    return {};
  });
}

int32_t synchronize(int32_t number, bool all) {
  return reported([&]() -> Status {
    Device* device;
    PERCEPTION_RETURN_IF_ERROR(find(number, device));
    return check(all ? cudaDeviceSynchronize() : cudaStreamSynchronize(device->stream));
  });
}

const char* description() {
  static const std::string text =
      "CUDA " + std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
  return text.c_str();
}

const char* last_error() { return failure.c_str(); }

// ---- memory

int32_t upload(int32_t number, void* to, const void* from, uint64_t bytes) {
  return reported([&]() -> Status {
    Device* device;
    PERCEPTION_RETURN_IF_ERROR(find(number, device));
    const std::lock_guard lock(device->up.mutex);
    for (uint64_t at = 0; at < bytes; at += kChunkBytes) {
      const Chunk& chunk = device->up.take();
      const size_t size = static_cast<size_t>(std::min<uint64_t>(kChunkBytes, bytes - at));
      PERCEPTION_RETURN_IF_ERROR(check(cudaEventSynchronize(chunk.done)));
      std::memcpy(chunk.memory, static_cast<const char*>(from) + at, size);
      PERCEPTION_RETURN_IF_ERROR(check(cudaMemcpyAsync(static_cast<char*>(to) + at, chunk.memory, size,
                                                       cudaMemcpyHostToDevice, device->stream)));
      PERCEPTION_RETURN_IF_ERROR(check(cudaEventRecord(chunk.done, device->stream)));
    }
    return {};
  });
}

int32_t download(int32_t number, void* to, const void* from, uint64_t bytes) {
  return reported([&]() -> Status {
    Device* device;
    PERCEPTION_RETURN_IF_ERROR(find(number, device));
    // An empty copy waits too, so that what went wrong before it is told.
    if (bytes == 0) return check(cudaStreamSynchronize(device->stream));
    const std::lock_guard lock(device->down.mutex);
    const auto size_at = [&](uint64_t at) {
      return static_cast<size_t>(std::min<uint64_t>(kChunkBytes, bytes - at));
    };
    // As many chunks on their way as there are; each is copied out, in order, before it is used again.
    std::array<const Chunk*, kChunks> waiting;
    uint64_t asked = 0, arrived = 0;
    while (arrived < bytes) {
      while (asked < bytes && asked - arrived < kChunks * kChunkBytes) {
        const Chunk& chunk = device->down.take();
        waiting[asked / kChunkBytes % kChunks] = &chunk;
        PERCEPTION_RETURN_IF_ERROR(
            check(cudaMemcpyAsync(chunk.memory, static_cast<const char*>(from) + asked, size_at(asked),
                                  cudaMemcpyDeviceToHost, device->stream)));
        PERCEPTION_RETURN_IF_ERROR(check(cudaEventRecord(chunk.done, device->stream)));
        asked += size_at(asked);
      }
      const Chunk& chunk = *waiting[arrived / kChunkBytes % kChunks];
      PERCEPTION_RETURN_IF_ERROR(check(cudaEventSynchronize(chunk.done)));
      const size_t size = size_at(arrived);
      std::memcpy(static_cast<char*>(to) + arrived, chunk.memory, size);
      arrived += size;
    }
    return {};
  });
}

int32_t copy(int32_t number, void* to, const void* from, uint64_t bytes) {
  return reported([&]() -> Status {
    Device* device;
    PERCEPTION_RETURN_IF_ERROR(find(number, device));
    return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, device->stream));
  });
}

}  // namespace

Status check(cudaError_t error) {
  if (error == cudaSuccess) return {};
  cudaGetLastError();  // an error that is no lasting one is not told twice
  const std::string message = std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error);
  switch (error) {
    case cudaErrorMemoryAllocation:
      return {Code::kOutOfMemory,
              "not enough GPU memory for this batch; split it into smaller ones, or "
              "dispose of device tensors (" +
                  message + ")"};
    case cudaErrorInsufficientDriver:
      return {Code::kDeviceUnavailable,
              "no NVIDIA driver was found, or one too old for this build (" + message + ")"};
    case cudaErrorInvalidDevice:
    case cudaErrorNoDevice:
      return {Code::kDeviceUnavailable, message};
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorECCUncorrectable:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorDevicesUnavailable:
    case cudaErrorContextIsDestroyed:
      return {
          Code::kDeviceLost,
          "the GPU can no longer be used by this process, which has to be started anew (" + message + ")"};
    default:
      return {Code::kInternal, message};
  }
}

Status use_device(int32_t number, Stream& stream) {
  Device* device;
  PERCEPTION_RETURN_IF_ERROR(find(number, device));
  stream = device->stream;
  return {};
}

size_t shared_memory_limit(int32_t device) { return devices()[static_cast<size_t>(device)]->shared_limit; }
int multiprocessors(int32_t device) { return devices()[static_cast<size_t>(device)]->multiprocessors; }

Status allocate(int32_t number, uint64_t bytes, void** memory) {
  Device* device;
  PERCEPTION_RETURN_IF_ERROR(find(number, device));
  return check(cudaMallocAsync(memory, std::max<uint64_t>(bytes, 1), device->stream));
}

Status release(int32_t number, void* memory) {
  if (!memory) return {};
  Device* device;
  PERCEPTION_RETURN_IF_ERROR(find(number, device));
  return check(cudaFreeAsync(memory, device->stream));
}

Status fill(int32_t number, void* memory, int32_t byte, uint64_t bytes) {
  Device* device;
  PERCEPTION_RETURN_IF_ERROR(find(number, device));
  return check(cudaMemsetAsync(memory, byte, bytes, device->stream));
}

int32_t report(const Status& status) {
  if (!status.ok()) failure = status.message();
  return static_cast<int32_t>(status.code());
}

void add_runtime(Plugin& plugin) {
  plugin.last_error = last_error;
  plugin.description = description;
  plugin.device_count = device_count;
  plugin.device_properties = device_properties;
  plugin.device_of = device_of;
  plugin.synchronize = synchronize;
  plugin.upload = upload;
  plugin.download = download;
  plugin.copy = copy;
}

}  // namespace perception::cuda
