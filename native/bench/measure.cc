#include "bench/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>

namespace perception::bench {
namespace {

std::string sizes(std::initializer_list<int64_t> numbers) {
  std::string result;
  for (const int64_t number : numbers) {
    if (!result.empty()) result += 'x';
    result += std::to_string(number);
  }
  return result;
}

// "" or how the device's answer differs.
std::string check(const Plugin& plugin, Problem& problem) {
  problem.poison();
  problem.call(plugin);
  problem.download();
  return problem.difference();
}

// Median milliseconds of what the host waits for.
double wall_time(const std::function<void()>& body, double seconds) {
  constexpr int kLeast = 3, kMost = 50;
  std::vector<double> times;
  double total = 0;
  body();
  while (static_cast<int>(times.size()) < kLeast ||
         (static_cast<int>(times.size()) < kMost && total < seconds * 1e3)) {
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    times.push_back(time.count());
    total += time.count();
  }
  return statistics(times).median;
}

Crossover crossover(const Plugin& plugin, const std::string& name, const std::string& unit, int64_t greatest,
                    const std::function<std::unique_ptr<Problem>(int64_t)>& make, double seconds) {
  Crossover result{name, unit, Outcome::kNotRun, "", {}};
  try {
    for (int64_t size = 1; size <= greatest; size *= 2) {
      const std::unique_ptr<Problem> problem = make(size);
      if (!problem->available(plugin)) {
        result.message = "the plug-in does not have this operation";
        return result;
      }
      const double device_ms = wall_time(
          [&] {
            problem->upload(plugin);
            problem->call(plugin);
            problem->download();
          },
          seconds);
      const double host_ms = wall_time([&] { problem->solve(); }, seconds);
      if (const std::string difference = problem->difference(); !difference.empty())
        return Crossover{
            name, unit, Outcome::kWrong, std::to_string(size) + " " + unit + ": " + difference, {}};
      result.points.push_back({size, host_ms, device_ms});
    }
    result.outcome = Outcome::kOk;
  } catch (const std::exception& error) {
    return Crossover{name, unit, Outcome::kFailed, error.what(), {}};
  }
  return result;
}

}  // namespace

Statistics statistics(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  // Between the two nearest.
  const auto quantile = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(place);
    const size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (values[above] - values[below]) * (place - static_cast<double>(below));
  };
  return {quantile(0.5), quantile(0.1), quantile(0.9), static_cast<int>(values.size())};
}

std::string assignment_name(Costs costs, int64_t problems, int64_t rows, int64_t cols) {
  return "assignment " + sizes({problems, rows, cols}) +
         (costs == Costs::kIou ? ", IoU costs" : ", uniform costs");
}

std::vector<Case> all_cases(bool tiny) {
  std::vector<Case> cases;
  const auto size = [&](int64_t full, int64_t small) { return tiny ? small : full; };

  // ---- rewards
  const int64_t completions = size(8192, 16), objects = size(32, 5);
  cases.push_back({"detection reward " + sizes({completions, objects, objects}),
                   "completions",
                   [=](uint64_t seed) { return reward(seed, Task::kDetection, completions, objects); },
                   0.3,
                   {}});
  cases.push_back({"grounding reward " + sizes({completions}),
                   "completions",
                   [=](uint64_t seed) { return reward(seed, Task::kGrounding, completions, 1); },
                   {},
                   {}});
  cases.push_back({"counting reward " + sizes({completions, objects, objects}),
                   "completions",
                   [=](uint64_t seed) { return reward(seed, Task::kCounting, completions, objects); },
                   {},
                   {}});

  // ---- assignment
  struct Batch {
    int64_t problems, rows, cols;
    std::optional<double> target_ms;
  };
  for (const Batch& batch : {Batch{size(4096, 20), 10, 10, 0.05},
                             {size(4096, 20), 20, 13, {}},
                             {size(1024, 2), size(100, 40), size(100, 40), 1.5},
                             {size(64, 1), size(300, 90), size(300, 90), {}},
                             {1, size(1000, 150), size(1000, 150), {}}}) {
    for (const Costs costs : {Costs::kIou, Costs::kUniform})
      cases.push_back(
          {assignment_name(costs, batch.problems, batch.rows, batch.cols),
           "problems",
           [=](uint64_t seed) { return assignment(seed, costs, batch.problems, batch.rows, batch.cols); },
           batch.target_ms,
           {}});
  }

  // ---- overlaps and distances
  constexpr double kPairwiseShare = 0.85;
  const int64_t wide = size(16384, 40);
  struct Kind {
    const char* name;
    IouKind kind;
  };
  for (const Kind& kind : {Kind{"IoU", IouKind::kIou},
                           {"GIoU", IouKind::kGiou},
                           {"DIoU", IouKind::kDiou},
                           {"CIoU", IouKind::kCiou}})
    cases.push_back({std::string(kind.name) + " " + sizes({wide, wide}),
                     "pairs",
                     [=](uint64_t seed) { return iou(seed, kind.kind, 1, wide, wide); },
                     {},
                     kPairwiseShare});
  for (const Batch& batch :
       {Batch{size(4096, 20), 10, 10, {}}, {size(1024, 4), size(100, 40), size(100, 40), {}}})
    cases.push_back(
        {"IoU " + sizes({batch.problems, batch.rows, batch.cols}),
         "pairs",
         [=](uint64_t seed) { return iou(seed, IouKind::kIou, batch.problems, batch.rows, batch.cols); },
         {},
         {}});
  const int64_t lists = size(4096, 20), mean = size(32, 5);
  cases.push_back(
      {"IoU of " + std::to_string(lists) + " ragged problems, " + std::to_string(mean) + " boxes on average",
       "pairs",
       [=](uint64_t seed) { return ragged_iou(seed, IouKind::kIou, lists, mean); },
       {},
       {}});
  cases.push_back({"distances " + sizes({wide, wide}),
                   "pairs",
                   [=](uint64_t seed) { return distance(seed, PointMetric::kL2, wide, wide); },
                   {},
                   kPairwiseShare});
  const int64_t matrices = size(1024, 3), boxes = size(32, 5);
  cases.push_back({"IoU gradient " + sizes({matrices, boxes, boxes}),
                   "pairs",
                   [=](uint64_t seed) { return iou_gradient(seed, IouKind::kIou, matrices, boxes, boxes); },
                   {},
                   {}});

  // ---- advantages
  const int64_t rewards = size(int64_t{1} << 24, 256);
  for (const int64_t group : {8, 16, 64})
    cases.push_back(
        {"advantages " + sizes({rewards / group, group}),
         "rewards",
         [=](uint64_t seed) { return advantages(seed, AdvantageScale::kGroup, rewards / group, group); },
         {},
         0.8});
  cases.push_back({"advantages " + sizes({rewards / 8, 8}) + ", scaled by the batch",
                   "rewards",
                   [=](uint64_t seed) { return advantages(seed, AdvantageScale::kBatch, rewards / 8, 8); },
                   {},
                   {}});

  // ---- edit distance
  const int64_t pages = size(64, 3), page = size(3000, 150);
  cases.push_back({"edit distance " + std::to_string(pages) + " pairs of " + std::to_string(page),
                   "cells",
                   [=](uint64_t seed) { return edit_distance(seed, pages, page); },
                   {},
                   {}});
  const int64_t lines = size(4096, 20), line = size(200, 40);
  cases.push_back({"edit distance " + std::to_string(lines) + " pairs of " + std::to_string(line),
                   "cells",
                   [=](uint64_t seed) { return edit_distance(seed, lines, line); },
                   {},
                   {}});
  return cases;
}

Row measure(const Plugin& plugin, Clock& clock, const Case& measured, double cache_bytes, double seconds) {
  Row row;
  row.measured = measured;
  try {
    std::vector<std::unique_ptr<Problem>> sets;
    sets.push_back(measured.make(1));
    if (!sets[0]->available(plugin)) {
      row.message = "the plug-in does not have this operation";
      return row;
    }
    const auto wrong = [&](const std::string& difference) {
      row.outcome = Outcome::kWrong;
      row.message = difference;
      return row;
    };
    sets[0]->upload(plugin);
    sets[0]->solve();
    row.work = sets[0]->work();
    row.bytes = sets[0]->bytes();
    if (const std::string difference = check(plugin, *sets[0]); !difference.empty()) return wrong(difference);

    while (static_cast<double>(sets.size()) * row.bytes < 3 * cache_bytes) {
      sets.back()->forget_host();
      sets.push_back(measured.make(sets.size() + 1));
      sets.back()->upload(plugin);
    }
    row.sets = static_cast<int>(sets.size());
    if (row.sets > 1) sets.back()->solve();

    size_t turn = 0;
    const auto call = [&] { sets[turn++ % sets.size()]->call(plugin); };
    constexpr int kWarmUp = 3;
    double first = 0;
    for (int i = 0; i < kWarmUp; ++i) first = clock.time(call);
    constexpr int kLeast = 10, kMost = 300;
    const int repetitions =
        static_cast<int>(std::clamp(seconds * 1e3 / std::max(first, 1e-3), double{kLeast}, double{kMost}));
    std::vector<double> times;
    for (int i = 0; i < repetitions; ++i) times.push_back(clock.time(call));
    row.single = statistics(times);
    // What takes long has nothing to hide behind the call before.
    constexpr double kLongMs = 2;
    if (row.single.median < kLongMs) {
      const auto batch = [&] {
        for (int i = 0; i < kBatch; ++i) call();
      };
      std::vector<double> batches;
      for (int i = 0; i < 5; ++i) batches.push_back(clock.time(batch) / kBatch);
      row.batched = statistics(batches).median;
    }

    // Once more, on other data where there is some: an error that comes and goes is a race.
    if (const std::string difference = check(plugin, *sets.back()); !difference.empty())
      return wrong("after it was timed: " + difference);
    row.outcome = Outcome::kOk;
  } catch (const std::exception& error) {
    row.outcome = Outcome::kFailed;
    row.message = error.what();
  }
  return row;
}

Row measure(const Plugin& plugin, Clock& clock, const Variant& variant, double cache_bytes, double seconds) {
  Plugin table = plugin;
  table.linear_sum_assignment = variant.function;
  return measure(table, clock, variant.measured, cache_bytes, seconds);
}

std::optional<int64_t> Crossover::from() const {
  std::optional<int64_t> result;
  for (size_t i = points.size(); i-- > 0 && points[i].device_ms < points[i].host_ms;) result = points[i].size;
  return result;
}

std::vector<Crossover> measure_crossovers(const Plugin& plugin, bool tiny, double seconds) {
  const auto size = [&](int64_t full, int64_t small) { return tiny ? small : full; };
  const int64_t objects = size(32, 4), page = size(1000, 80);
  const std::string square = sizes({objects, objects});
  std::vector<Crossover> result;
  result.push_back(crossover(
      plugin, "IoU of " + square + " boxes", "matrices", size(16384, 4),
      [=](int64_t batch) { return iou(1, IouKind::kIou, batch, objects, objects); }, seconds));
  result.push_back(crossover(
      plugin, "assignment " + square, "problems", size(16384, 4),
      [=](int64_t batch) { return assignment(1, Costs::kIou, batch, objects, objects); }, seconds));
  result.push_back(crossover(
      plugin, "detection reward of " + square + " boxes", "groups of 8 completions", size(2048, 4),
      [=](int64_t groups) { return reward(1, Task::kDetection, 8 * groups, objects); }, seconds));
  result.push_back(crossover(
      plugin, "edit distance of " + std::to_string(page) + " characters", "pairs", size(4096, 4),
      [=](int64_t pairs) { return edit_distance(1, pairs, page); }, seconds));
  return result;
}

}  // namespace perception::bench
