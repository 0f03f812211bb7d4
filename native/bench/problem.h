// The operations as a benchmark sees them: a batch of random inputs, which core solves on the host and the
// plug-in on a device, and whose two answers can be compared.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "core/advantage/group_advantages.h"
#include "core/geometry/iou.h"
#include "core/reward/recipe.h"
#include "cuda/plugin.h"
#include "cuda/plugin_status.h"

namespace perception::bench {

using cuda::Plugin;

// The device that is measured.
constexpr int32_t kDevice = 0;

// Throws what a failed call or Status says. A case that throws is reported, and the next one runs.
inline void succeed(const Status& status) {
  if (!status.ok()) throw std::runtime_error(status.message());
}
inline void succeed(const Plugin& plugin, int32_t code) { succeed(cuda::said_by(plugin, code)); }

// Memory of the device.
class DeviceMemory {
 public:
  DeviceMemory(const Plugin& plugin, size_t bytes) : plugin_(&plugin), bytes_(bytes) {
    succeed(plugin, plugin.allocate(kDevice, bytes, &memory_));
  }
  ~DeviceMemory() {
    if (memory_) plugin_->release(kDevice, memory_);
  }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  void upload(const void* from) { succeed(*plugin_, plugin_->upload(kDevice, memory_, from, bytes_)); }
  void download(void* to) const { succeed(*plugin_, plugin_->download(kDevice, to, memory_, bytes_)); }
  void fill(int byte) { succeed(*plugin_, plugin_->fill(kDevice, memory_, byte, bytes_)); }
  void* get() const { return memory_; }

 private:
  const Plugin* plugin_;
  size_t bytes_;
  void* memory_ = nullptr;
};

// An array of a problem, on the host and, from upload() or allocate() on, on the device.
class Array {
 public:
  virtual ~Array() = default;
  virtual size_t bytes() const = 0;
  virtual void upload(const Plugin& plugin) = 0;
  virtual void forget_host() = 0;
};

template <class T>
class Input : public Array {
 public:
  size_t bytes() const override { return bytes_; }
  void upload(const Plugin& plugin) override {
    bytes_ = host.size() * sizeof(T);
    device_ = std::make_unique<DeviceMemory>(plugin, bytes_);
    device_->upload(host.data());
  }
  void forget_host() override { host = {}; }
  const T* device() const { return static_cast<const T*>(device_->get()); }

  std::vector<T> host;

 private:
  size_t bytes_ = 0;
  std::unique_ptr<DeviceMemory> device_;
};

class OutputArray : public Array {
 public:
  // Fills the device's memory with what no operation answers.
  virtual void poison() = 0;
  virtual void download() = 0;
};

template <class T>
class Output : public OutputArray {
 public:
  explicit Output(size_t size) : size_(size) {}
  size_t bytes() const override { return size_ * sizeof(T); }
  void upload(const Plugin& plugin) override { device_ = std::make_unique<DeviceMemory>(plugin, bytes()); }
  void forget_host() override { expected = received = {}; }
  // NaN, or a number that is no index, count or distance.
  void poison() override { device_->fill(std::is_floating_point_v<T> ? 0xff : 0xa5); }
  void download() override {
    received.resize(size_);
    device_->download(received.data());
  }
  T* device() const { return static_cast<T*>(device_->get()); }
  // The host's answer, made ready to be written.
  std::vector<T>& fresh() {
    expected.resize(size_);
    return expected;
  }

  std::vector<T> expected, received;

 private:
  size_t size_;
  std::unique_ptr<DeviceMemory> device_;
};

class Problem {
 public:
  virtual ~Problem() = default;

  // Whether the plug-in has the operation.
  virtual bool available(const Plugin& plugin) const = 0;
  // What a rate counts: pairs, problems, completions...
  virtual double work() const = 0;
  // Core's answer, by all threads.
  virtual void solve() = 0;
  // Inputs and room for outputs on the device, with what the host has to do first.
  virtual void upload(const Plugin& plugin);
  // Queues the operation on the device.
  virtual void call(const Plugin& plugin) = 0;
  // "" where the answers agree, else the first that differs. After solve() and download().
  virtual std::string difference() const = 0;

  // The least that passes through the device's memory: inputs read once, outputs written once. After
  // upload().
  double bytes() const;
  void poison();
  // Waits for the answer and fetches it. Throws what the operation found wrong with its inputs.
  void download();
  // What is uploaded is not needed on the host until an answer is checked.
  void forget_host();

 protected:
  void add(std::initializer_list<Array*> inputs, std::initializer_list<OutputArray*> outputs) {
    inputs_.assign(inputs);
    outputs_.assign(outputs);
  }
  cuda::Fault* fault() const { return static_cast<cuda::Fault*>(fault_->get()); }

 private:
  std::vector<Array*> inputs_;
  std::vector<OutputArray*> outputs_;
  std::unique_ptr<DeviceMemory> fault_;
};

enum class Costs { kIou, kUniform };

// `seed` decides the data alone, never a size.
std::unique_ptr<Problem> iou(uint64_t seed, IouKind kind, int64_t batch, int64_t n, int64_t m);
// Lists of 1 to 2 * mean - 1 boxes.
std::unique_ptr<Problem> ragged_iou(uint64_t seed, IouKind kind, int64_t problems, int64_t mean);
std::unique_ptr<Problem> iou_gradient(uint64_t seed, IouKind kind, int64_t batch, int64_t n, int64_t m);
std::unique_ptr<Problem> distance(uint64_t seed, PointMetric metric, int64_t n, int64_t m);
std::unique_ptr<Problem> assignment(uint64_t seed, Costs costs, int64_t problems, int64_t rows, int64_t cols);
std::unique_ptr<Problem> advantages(uint64_t seed, AdvantageScale scale, int64_t groups, int64_t size);
// Completions in groups of 8, as many objects predicted as true, with advantages.
std::unique_ptr<Problem> reward(uint64_t seed, Task task, int64_t completions, int64_t objects);
// Pages with an edit in ten characters.
std::unique_ptr<Problem> edit_distance(uint64_t seed, int64_t pairs, int64_t length);

}  // namespace perception::bench
