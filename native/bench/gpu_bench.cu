// Measures the plug-in on a GPU, and the GPU itself in the same run; writes the report. scripts/gpu-check
// runs it.
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "bench/measure.h"
#include "bench/report.h"
#include "core/base/thread_pool.h"
#include "cuda/runtime.h"

extern "C" const perception::cuda::Plugin* perception_r1_cuda();

namespace perception::bench {
namespace {

constexpr int kThreads = 256;
constexpr int kUnroll = 4;

void succeed(cudaError_t error) { bench::succeed(cuda::check(error)); }

// By events on the plug-in's own stream.
class EventClock : public Clock {
 public:
  explicit EventClock(cudaStream_t stream) : stream_(stream) {
    succeed(cudaEventCreate(&start_));
    succeed(cudaEventCreate(&stop_));
  }
  double time(const std::function<void()>& body) override {
    succeed(cudaEventRecord(start_, stream_));
    body();
    succeed(cudaEventRecord(stop_, stream_));
    succeed(cudaEventSynchronize(stop_));
    float ms = 0;
    succeed(cudaEventElapsedTime(&ms, start_, stop_));
    return ms;
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
};

// ---- what the GPU can do

__global__ void empty_kernel() {}

__device__ uint32_t hash(uint32_t value) {
  value = (value ^ value >> 16) * 0x7feb352du;
  value = (value ^ value >> 15) * 0x846ca68bu;
  return value ^ value >> 16;
}

__global__ void __launch_bounds__(kThreads) random_kernel(uint4* to) {
  const auto i = blockIdx.x * static_cast<uint32_t>(kThreads) + threadIdx.x;
  to[i] = {hash(4 * i), hash(4 * i + 1), hash(4 * i + 2), hash(4 * i + 3)};
}

// The first of a thread's places; the others are kThreads apart.
__device__ size_t first_place() { return size_t{blockIdx.x} * (kThreads * kUnroll) + threadIdx.x; }

__global__ void __launch_bounds__(kThreads) copy_kernel(const uint4* from, uint4* to) {
  uint4 values[kUnroll];
#pragma unroll
  for (int i = 0; i < kUnroll; ++i) values[i] = from[first_place() + i * kThreads];
#pragma unroll
  for (int i = 0; i < kUnroll; ++i) to[first_place() + i * kThreads] = values[i];
}

__global__ void __launch_bounds__(kThreads) fill_kernel(uint4* to, uint4 value) {
#pragma unroll
  for (int i = 0; i < kUnroll; ++i) to[first_place() + i * kThreads] = value;
}

constexpr int kFmaChains = 8, kFmaSteps = 8192;

__global__ void __launch_bounds__(kThreads) fma_kernel(float factor, float* out) {
  float values[kFmaChains];
#pragma unroll
  for (int i = 0; i < kFmaChains; ++i) values[i] = factor * static_cast<float>(threadIdx.x + i);
#pragma unroll 8
  for (int step = 0; step < kFmaSteps; ++step) {
#pragma unroll
    for (int i = 0; i < kFmaChains; ++i) values[i] = __fmaf_rn(values[i], factor, 0.5f);
  }
  float sum = 0;
  for (int i = 0; i < kFmaChains; ++i) sum += values[i];
  // Never true, which the compiler does not know.
  if (sum == -1) *out = sum;
}

// Best of both ways to copy: a kernel with accesses of 16 bytes, and the driver's.
void measure_ceilings(cudaStream_t stream, Clock& clock, int multiprocessors, Report& report) {
  const auto median_ms = [&](const std::function<void()>& body) {
    for (int i = 0; i < 3; ++i) clock.time(body);
    std::vector<double> times;
    for (int i = 0; i < 20; ++i) times.push_back(clock.time(body));
    return statistics(times).median;
  };
  const auto launched = [] { succeed(cudaGetLastError()); };
  const auto add = [&](const char* name, double value, const char* unit) {
    report.ceilings.push_back({name, value, unit});
    std::printf("%-48s  %.4g %s\n", name, value, unit);
  };

  size_t free_bytes = 0, all_bytes = 0;
  succeed(cudaMemGetInfo(&free_bytes, &all_bytes));
  constexpr size_t kBlockBytes = kThreads * kUnroll * sizeof(uint4);
  const size_t bytes = std::min(size_t{4} << 30, free_bytes / 4) / kBlockBytes * kBlockBytes;
  const auto blocks = static_cast<unsigned>(bytes / kBlockBytes);
  uint4 *from = nullptr, *to = nullptr;
  succeed(cudaMalloc(&from, bytes));
  succeed(cudaMalloc(&to, bytes));
  random_kernel<<<blocks * kUnroll, kThreads, 0, stream>>>(from);
  launched();

  const auto gigabytes_per_second = [](size_t moved, double ms) {
    return static_cast<double>(moved) / ms / 1e6;
  };
  const double by_kernel = gigabytes_per_second(2 * bytes, median_ms([&] {
                                                  copy_kernel<<<blocks, kThreads, 0, stream>>>(from, to);
                                                  launched();
                                                }));
  const double by_driver = gigabytes_per_second(
      2 * bytes,
      median_ms([&] { succeed(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream)); }));
  report.copy_bytes_per_second = std::max(by_kernel, by_driver) * 1e9;
  add("copy on the GPU by a kernel, read + written", by_kernel, "GB/s");
  add("copy on the GPU by cudaMemcpyAsync, read + written", by_driver, "GB/s");
  add("write on the GPU",
      gigabytes_per_second(
          bytes, median_ms([&] {
            fill_kernel<<<blocks, kThreads, 0, stream>>>(to, uint4{0x9e3779b9u, 0x7f4a7c15u, 0xbf58476du, 1});
            launched();
          })),
      "GB/s");

  const size_t host_bytes = std::min(size_t{256} << 20, bytes);
  void* pinned = nullptr;
  succeed(cudaMallocHost(&pinned, host_bytes));
  add("download to pinned memory",
      gigabytes_per_second(host_bytes, median_ms([&] {
                             succeed(
                                 cudaMemcpyAsync(pinned, from, host_bytes, cudaMemcpyDeviceToHost, stream));
                           })),
      "GB/s");
  add("upload from pinned memory",
      gigabytes_per_second(host_bytes, median_ms([&] {
                             succeed(cudaMemcpyAsync(to, pinned, host_bytes, cudaMemcpyHostToDevice, stream));
                           })),
      "GB/s");

  const auto launch_empty = [&] {
    empty_kernel<<<1, 32, 0, stream>>>();
    launched();
  };
  add("empty kernel, one at a time", median_ms(launch_empty) * 1e3, "us");
  add("empty kernel, queued",
      median_ms([&] {
        for (int i = 0; i < kBatch; ++i) launch_empty();
      }) / kBatch *
          1e3,
      "us");

  const int fma_blocks = 16 * multiprocessors;
  const double flops = 2.0 * kFmaChains * kFmaSteps * kThreads * fma_blocks;
  add("float32 multiply-adds",
      flops / median_ms([&] {
        fma_kernel<<<fma_blocks, kThreads, 0, stream>>>(0.999f, reinterpret_cast<float*>(to));
        launched();
      }) / 1e9,
      "TFLOP/s");

  succeed(cudaFreeHost(pinned));
  succeed(cudaFree(from));
  succeed(cudaFree(to));
}

// ---- the machine

std::string version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  char text[16];
  std::strftime(text, sizeof(text), "%Y-%m-%d", std::gmtime(&now));
  return text;
}

int attribute(cudaDeviceAttr which) {
  int value = 0;
  succeed(cudaDeviceGetAttribute(&value, which, kDevice));
  return value;
}

// ---- the program

struct Arguments {
  bool quick = false;
  std::string json, markdown, peers, checks, driver = "unknown";
};

constexpr char kUsage[] =
    "gpu_bench [--quick] [--json FILE] [--markdown FILE] [--peers FILE] [--checks FILE] [--driver VERSION]\n"
    "Measures the CUDA plug-in on GPU 0. --json and --markdown are written; --peers (case, peer, ms or -, "
    "note)\n"
    "and --checks (step, result, seconds, note) are tab-separated lines for the report.\n"
    "Exit code: 0 all cases right, 1 one was wrong or failed, 2 usage, 3 no GPU.\n";

bool parse(int count, char** values, Arguments& arguments) {
  const std::pair<const char*, std::string*> options[] = {{"--json", &arguments.json},
                                                          {"--markdown", &arguments.markdown},
                                                          {"--peers", &arguments.peers},
                                                          {"--checks", &arguments.checks},
                                                          {"--driver", &arguments.driver}};
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(values[i], "--quick") == 0) {
      arguments.quick = true;
      continue;
    }
    const auto option = std::find_if(std::begin(options), std::end(options), [&](const auto& entry) {
      return std::strcmp(values[i], entry.first) == 0;
    });
    if (option == std::end(options) || i + 1 == count) return false;
    *option->second = values[++i];
  }
  return true;
}

void write(const std::string& path, const std::string& text) {
  if (path.empty()) return;
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) throw std::runtime_error(path + " could not be written");
}

int run(const Arguments& arguments) {
  const auto start = std::chrono::steady_clock::now();
  const Plugin& plugin = *perception_r1_cuda();
  Report report;
  // First, so that a bad file costs no measurement.
  if (!arguments.peers.empty()) report.peers = read_peers(arguments.peers);
  if (!arguments.checks.empty()) report.checks = read_checks(arguments.checks);

  cudaStream_t stream;
  bench::succeed(cuda::use_device(kDevice, stream));
  cudaDeviceProp properties;
  succeed(cudaGetDeviceProperties(&properties, kDevice));
  int driver_cuda = 0;
  succeed(cudaDriverGetVersion(&driver_cuda));
  const int cache_bytes = attribute(cudaDevAttrL2CacheSize);
  report.device = properties.name;
  report.date = today();
  report.facts = {
      {"driver", arguments.driver + " (CUDA " + version(driver_cuda) + ")"},
      {"plug-in", plugin.description()},
      {"compute capability", std::to_string(properties.major) + "." + std::to_string(properties.minor)},
      {"multiprocessors", std::to_string(properties.multiProcessorCount)},
      {"L2 cache", std::to_string(cache_bytes >> 20) + " MiB"},
      {"memory", std::to_string(properties.totalGlobalMem >> 20) + " MiB"},
      {"host", processor() + ", " + std::to_string(thread_count()) + " threads"}};

  EventClock clock(stream);
  measure_ceilings(stream, clock, properties.multiProcessorCount, report);
  const double seconds = arguments.quick ? 0.05 : 0.3;
  const auto add = [&](std::vector<Row>& rows, const auto& measured) {
    rows.push_back(measure(plugin, clock, measured, cache_bytes, seconds));
    std::printf("%s\n", row_line(report, rows.back()).c_str());
    std::fflush(stdout);
  };
  for (const Case& measured : all_cases(false)) add(report.rows, measured);
  if (!arguments.quick)
    for (const Variant& variant : assignment_variants(false)) add(report.variants, variant);
  report.crossovers = measure_crossovers(plugin, false, arguments.quick ? 0.01 : 0.05);

  for (const Crossover& crossover : report.crossovers) std::printf("%s\n", crossover_line(crossover).c_str());

  const Tally found = tally(report);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  report.checks.push_back({"benchmarks",
                           found.wrong > 0     ? "FAIL"
                           : found.not_run > 0 ? "NOT RUN"
                                               : "PASS",
                           std::to_string(static_cast<int>(took.count())), found.text()});
  write(arguments.json, json(report));
  write(arguments.markdown, markdown(report));
  std::printf("%s\n", found.text().c_str());
  return found.wrong > 0 ? 1 : 0;
}

}  // namespace
}  // namespace perception::bench

int main(int count, char** values) {
  using namespace perception::bench;
  Arguments arguments;
  if (count == 2 && std::strcmp(values[1], "--help") == 0) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  if (!parse(count, values, arguments)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  int devices = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&devices); error != cudaSuccess || devices == 0) {
    std::fprintf(stderr, "gpu_bench: no GPU was found%s%s\n", error == cudaSuccess ? "" : ": ",
                 error == cudaSuccess ? "" : cudaGetErrorString(error));
    return 3;
  }
  try {
    return run(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu_bench: %s\n", error.what());
    return 1;
  }
}
