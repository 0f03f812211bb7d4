// The device's memory, copies and order of work, for the operations of this folder. runtime.cu does it with
// CUDA; native/test/emulated_runtime.cc with the host's memory, so that everything above runs without a GPU.
//
// The plug-in has one stream for each device, and everything it does is ordered on it: memory, copies,
// kernels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/status.h"
#include "cuda/plugin.h"

#ifdef __CUDACC__
#include <cuda_runtime.h>
#endif

namespace perception::cuda {

#ifdef __CUDACC__
using Stream = cudaStream_t;
Status check(cudaError_t error);  // ours for CUDA's
#else
struct Stream {};
#endif

// Makes `device` the calling thread's, and gives its stream.
Status use_device(int32_t device, Stream& stream);

// Bytes of shared memory that one block may have.
size_t shared_memory_limit(int32_t device);
int multiprocessors(int32_t device);

// Memory in the stream's order, not initialised; release takes null too.
Status allocate(int32_t device, uint64_t bytes, void** memory);
Status release(int32_t device, void* memory);
// Fills it with one byte's value.
Status fill(int32_t device, void* memory, int32_t byte, uint64_t bytes);

// Memory that is released when it goes out of scope.
class Workspace {
 public:
  explicit Workspace(int32_t device) : device_(device) {}
  ~Workspace() {
    // What fails here has failed before, and was told then.
    const Status ignored = release(device_, memory_);
    (void)ignored;
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  // Once per workspace.
  Status allocate(size_t bytes) { return cuda::allocate(device_, bytes, &memory_); }
  template <class T>
  T* as() const {
    return static_cast<T*>(memory_);
  }

 private:
  int32_t device_;
  void* memory_ = nullptr;
};

// The runtime's part of the plug-in's table (plugin.h).
void add_runtime(Plugin& plugin);

// Keeps the message of a failed call for Plugin::last_error and returns its code.
int32_t report(const Status& status);

}  // namespace perception::cuda
