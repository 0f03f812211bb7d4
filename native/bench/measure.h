// The cases that are measured, and how: each is compared with core first, then timed over enough copies of
// its data that no run finds it in the cache.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/problem.h"

namespace perception::bench {

// Times what a device does.
class Clock {
 public:
  virtual ~Clock() = default;
  // Milliseconds from when the idle device is handed the first of what `body` queues to the end of the last.
  virtual double time(const std::function<void()>& body) = 0;
};

struct Case {
  std::string name;
  // What Problem::work() counts, in the plural.
  std::string unit;
  std::function<std::unique_ptr<Problem>(uint64_t seed)> make;
  // The goals it was built to, where it has one: milliseconds, or a share of the measured bandwidth of
  // copies.
  std::optional<double> target_ms, target_share;
};

// The name of a case of assignment.
std::string assignment_name(Costs costs, int64_t problems, int64_t rows, int64_t cols);

// All cases; `tiny` ones only show that everything works.
std::vector<Case> all_cases(bool tiny);

struct Statistics {
  double median = 0, p10 = 0, p90 = 0;
  int count = 0;
};
Statistics statistics(std::vector<double> values);

enum class Outcome { kOk, kWrong, kFailed, kNotRun };

// A measured case. The times, in milliseconds, are there where the outcome is kOk.
struct Row {
  Case measured;
  Outcome outcome = Outcome::kNotRun;
  std::string message;  // why it is not kOk
  double bytes = 0, work = 0;
  int sets = 0;                   // copies of the data
  Statistics single;              // one call at a time
  std::optional<double> batched;  // per call, of kBatch queued one behind the other
};
constexpr int kBatch = 50;

// `cache_bytes`: of the device's last level. `seconds`: about how long one call at a time is timed.
Row measure(const Plugin& plugin, Clock& clock, const Case& measured, double cache_bytes, double seconds);

// A case by one kernel, whichever the plug-in would pick.
struct Variant {
  Case measured;
  decltype(Plugin::linear_sum_assignment) function;
};
std::vector<Variant> assignment_variants(bool tiny);  // assignment_variants.cu
Row measure(const Plugin& plugin, Clock& clock, const Variant& variant, double cache_bytes, double seconds);

// Where the device begins to win over the host, everything included that is not there for data that lives in
// the host's memory: allocation, copies to and from the device.
struct Crossover {
  struct Point {
    int64_t size;
    double host_ms, device_ms;
  };
  std::string name, unit;
  Outcome outcome = Outcome::kNotRun;
  std::string message;        // why it is not kOk
  std::vector<Point> points;  // where it is

  // The least size from which on the device wins.
  std::optional<int64_t> from() const;
};

std::vector<Crossover> measure_crossovers(const Plugin& plugin, bool tiny, double seconds);

}  // namespace perception::bench
