// The emulated device: the host's memory behind the interface of cuda/runtime.h, so that the plug-in's
// operations, the add-on's use of them and their errors run without a GPU. Not built into anything that
// ships.
//
//   PERCEPTION_R1_EMULATED_DEVICES  how many devices there are (1)
//   PERCEPTION_R1_EMULATED_MEMORY   bytes of memory of each (1 GiB); beyond it allocations fail
//   PERCEPTION_R1_EMULATED_LOST     1: every call fails as on a device that has been lost
// read at every call.
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "cuda/operations.h"
#include "cuda/runtime.h"

namespace perception::cuda {
namespace {

thread_local std::string failure;

uint64_t setting(const char* name, uint64_t fallback) {
  const char* const value = std::getenv(name);
  return value ? std::strtoull(value, nullptr, 10) : fallback;
}

struct Allocation {
  int32_t device;
  uint64_t bytes;
};

struct Memory {
  std::mutex mutex;
  std::map<const void*, Allocation> allocations;  // by address
  std::map<int32_t, uint64_t> used;
};

Memory& memory_of_all() {
  static auto& memory = *new Memory();
  return memory;
}

int32_t device_number() { return static_cast<int32_t>(setting("PERCEPTION_R1_EMULATED_DEVICES", 1)); }

Status find(int32_t device) {
  if (setting("PERCEPTION_R1_EMULATED_LOST", 0) != 0)
    return {Code::kDeviceLost,
            "the GPU can no longer be used by this process, which has to be started anew (emulated)"};
  if (device < 0 || device >= device_number())
    return {Code::kInvalidArgument, "device: expected a number from 0 to " +
                                        std::to_string(device_number() - 1) + ", received " +
                                        std::to_string(device)};
  return {};
}

Status move(int32_t device, void* to, const void* from, uint64_t bytes) {
  PERCEPTION_RETURN_IF_ERROR(find(device));
  if (bytes > 0) std::memcpy(to, from, bytes);
  return {};
}

}  // namespace

Status use_device(int32_t device, Stream&) { return find(device); }
size_t shared_memory_limit(int32_t) { return 227 * 1024; }
int multiprocessors(int32_t) { return 4; }

Status allocate(int32_t device, uint64_t bytes, void** result) {
  PERCEPTION_RETURN_IF_ERROR(find(device));
  Memory& memory = memory_of_all();
  const std::lock_guard lock(memory.mutex);
  if (memory.used[device] + bytes > setting("PERCEPTION_R1_EMULATED_MEMORY", uint64_t{1} << 30))
    return {Code::kOutOfMemory,
            "not enough GPU memory for this batch; split it into smaller ones, or dispose of device tensors "
            "(emulated)"};
  // Of exactly the size, for AddressSanitizer; never zero at the start.
  *result = std::malloc(bytes > 0 ? bytes : 1);
  if (!*result) return {Code::kOutOfMemory, "out of memory"};
  std::memset(*result, 0xa5, bytes);
  memory.allocations[*result] = {device, bytes};
  memory.used[device] += bytes;
  return {};
}

Status release(int32_t device, void* address) {
  if (!address) return {};
  Memory& memory = memory_of_all();
  const std::lock_guard lock(memory.mutex);
  const auto found = memory.allocations.find(address);
  if (found == memory.allocations.end() || found->second.device != device)
    return {Code::kInternal, "memory that was not allocated on this device, or was released before"};
  memory.used[device] -= found->second.bytes;
  std::memset(address, 0x5a, found->second.bytes);  // what still reads it gets something else
  memory.allocations.erase(found);
  std::free(address);
  return {};
}

Status fill(int32_t device, void* memory, int32_t byte, uint64_t bytes) {
  PERCEPTION_RETURN_IF_ERROR(find(device));
  if (bytes > 0) std::memset(memory, byte, bytes);
  return {};
}

int32_t report(const Status& status) {
  if (!status.ok()) failure = status.message();
  return static_cast<int32_t>(status.code());
}

void add_runtime(Plugin& plugin) {
  plugin.last_error = [] { return failure.c_str(); };
  plugin.description = [] { return "emulated"; };
  plugin.device_count = [](int32_t* count) {
    *count = device_number();
    return report({});
  };
  plugin.device_properties = [](int32_t device, DeviceProperties* properties) {
    return reported([&]() -> Status {
      PERCEPTION_RETURN_IF_ERROR(find(device));
      *properties = {"emulated device", 9, 0, multiprocessors(device),
                     setting("PERCEPTION_R1_EMULATED_MEMORY", uint64_t{1} << 30)};
      return {};
    });
  };
  plugin.device_of = [](const void* address, int32_t* device) {
    return reported([&]() -> Status {
      Memory& memory = memory_of_all();
      const std::lock_guard lock(memory.mutex);
      auto after = memory.allocations.upper_bound(address);
      if (after != memory.allocations.begin()) {
        const auto& [start, allocation] = *std::prev(after);
        if (static_cast<const char*>(address) < static_cast<const char*>(start) + allocation.bytes ||
            address == start) {
          *device = allocation.device;
          return {};
        }
      }
      return {Code::kInvalidArgument, "expected memory of a GPU, received memory of the host"};
    });
  };
  plugin.synchronize = [](int32_t device, bool) { return report(find(device)); };
  const auto mover = [](int32_t device, void* to, const void* from, uint64_t bytes) {
    return reported([&] { return move(device, to, from, bytes); });
  };
  plugin.upload = mover;
  plugin.download = mover;
  plugin.copy = mover;
}

}  // namespace perception::cuda
