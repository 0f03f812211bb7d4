// Calls of the plug-in's table from tests: the same tests run on the emulated device (core_tests) and on a
// GPU (gpu_tests).
#pragma once

#include <doctest.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cuda/loader.h"
#include "cuda/plugin.h"

extern "C" const perception::cuda::Plugin* perception_r1_cuda();

namespace perception::cuda {

inline const Plugin& plugin() { return *perception_r1_cuda(); }

// Fails the test, with the plug-in's message, where a call did not succeed.
inline void succeed(int32_t code) {
  const std::string message = code == 0 ? "" : plugin().last_error();
  INFO(message);
  REQUIRE(code == 0);
}

// Memory of device 0 that holds numbers.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t size) : size_(size) {
    succeed(plugin().allocate(0, size * sizeof(T), &memory_));
    // What an operation leaves unwritten shows: NaN, or a number that nothing expects.
    succeed(plugin().fill(0, memory_, 0xff, size * sizeof(T)));
  }
  explicit DeviceArray(std::span<const T> values) : DeviceArray(values.size()) {
    succeed(plugin().upload(0, memory_, values.data(), values.size_bytes()));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(std::span<const T>(values)) {}
  ~DeviceArray() { plugin().release(0, memory_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return static_cast<T*>(memory_); }

  std::vector<T> read() const {
    std::vector<T> values(size_);
    succeed(plugin().download(0, values.data(), memory_, size_ * sizeof(T)));
    return values;
  }

 private:
  size_t size_;
  void* memory_ = nullptr;
};

// A fault cell that nothing has gone wrong in.
class DeviceFault {
 public:
  Fault* cell() const { return memory_.data(); }
  Status read() const { return to_status(memory_.read()[0]); }

 private:
  DeviceArray<Fault> memory_{std::vector<Fault>{kNoFault}};
};

}  // namespace perception::cuda
