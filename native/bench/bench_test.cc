// The benchmarks on the emulated device, with small sizes: every case is set up, right and timed; what is
// wrong is told; the report says what was found. The numbers mean nothing here.
#include <doctest.h>

#include <cctype>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>

#include "bench/measure.h"
#include "bench/report.h"

extern "C" const perception::cuda::Plugin* perception_r1_cuda();

namespace perception::bench {
namespace {

const Plugin& plugin() { return *perception_r1_cuda(); }

class HostClock : public Clock {
 public:
  double time(const std::function<void()>& body) override {
    const auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }
};

Row measure_tiny(const Plugin& table, const Case& measured) {
  HostClock clock;
  constexpr double kCacheBytes = 20'000, kSeconds = 0;
  return measure(table, clock, measured, kCacheBytes, kSeconds);
}

Case iou_case() {
  return {"IoU", "pairs", [](uint64_t seed) { return iou(seed, IouKind::kIou, 1, 5, 8); }, {}, {}};
}

// The plug-in's table with another function for overlaps.
Plugin with_overlaps(decltype(Plugin::pairwise_iou) function) {
  Plugin table = plugin();
  table.pairwise_iou = function;
  return table;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("benchmarks: every case is right") {
  for (const Case& measured : all_cases(true)) {
    const Row row = measure_tiny(plugin(), measured);
    INFO(measured.name << ": " << row.message);
    CHECK(row.outcome == Outcome::kOk);
    CHECK(row.single.median > 0);
    CHECK(row.single.p10 <= row.single.median);
    CHECK(row.single.median <= row.single.p90);
    CHECK(row.sets * row.bytes >= 3 * 20'000);
    CHECK(row.work > 0);
  }
}

TEST_CASE("benchmarks: every variant is right") {
  HostClock clock;
  for (const Variant& variant : assignment_variants(true)) {
    const Row row = measure(plugin(), clock, variant, 20'000, 0);
    INFO(variant.measured.name << ": " << row.message);
    CHECK(row.outcome == Outcome::kOk);
  }
}

TEST_CASE("benchmarks: the full cases have the names that peers go by") {
  std::string names;
  for (const Case& measured : all_cases(false)) names += measured.name + "\n";
  for (const char* name :
       {"detection reward 8192x32x32\n", "assignment 4096x10x10, IoU costs\n",
        "assignment 1x1000x1000, uniform costs\n", "GIoU 16384x16384\n", "IoU 4096x10x10\n",
        "advantages 2097152x8\n", "edit distance 64 pairs of 3000\n"}) {
    INFO(name);
    CHECK(contains(names, name));
  }
}

TEST_CASE("benchmarks: an operation that errs is WRONG and has no times") {
  const Row row = measure_tiny(with_overlaps([](int32_t device, const cuda::Boxes* a, const cuda::Boxes* b,
                                                int64_t batch, IouKind kind, BoxFormat format, float* out) {
                                 const int32_t code =
                                     plugin().pairwise_iou(device, a, b, batch, kind, format, out);
                                 out[7] += 0.01f;
                                 return code;
                               }),
                               iou_case());
  CHECK(row.outcome == Outcome::kWrong);
  CHECK(contains(row.message, "overlaps[7]"));
  CHECK(row.single.count == 0);
}

TEST_CASE("benchmarks: an operation that leaves a number unwritten is WRONG") {
  const Row row = measure_tiny(with_overlaps([](int32_t device, const cuda::Boxes* a, const cuda::Boxes* b,
                                                int64_t batch, IouKind kind, BoxFormat format, float* out) {
                                 const float before = out[39];
                                 const int32_t code =
                                     plugin().pairwise_iou(device, a, b, batch, kind, format, out);
                                 out[39] = before;
                                 return code;
                               }),
                               iou_case());
  CHECK(row.outcome == Outcome::kWrong);
  CHECK(contains(row.message, "overlaps[39]"));
}

TEST_CASE("benchmarks: an operation that errs later only is WRONG") {
  static int calls;
  calls = 0;
  const Row row = measure_tiny(with_overlaps([](int32_t device, const cuda::Boxes* a, const cuda::Boxes* b,
                                                int64_t batch, IouKind kind, BoxFormat format, float* out) {
                                 const int32_t code =
                                     plugin().pairwise_iou(device, a, b, batch, kind, format, out);
                                 if (++calls > 1) out[0] += 0.01f;
                                 return code;
                               }),
                               iou_case());
  CHECK(row.outcome == Outcome::kWrong);
  CHECK(contains(row.message, "after it was timed"));
}

TEST_CASE("benchmarks: an operation that fails is FAILED, one that is not there is NOT RUN") {
  const Row failed =
      measure_tiny(with_overlaps([](int32_t, const cuda::Boxes*, const cuda::Boxes*, int64_t, IouKind,
                                    BoxFormat, float*) { return static_cast<int32_t>(Code::kInternal); }),
                   iou_case());
  CHECK(failed.outcome == Outcome::kFailed);
  CHECK(measure_tiny(with_overlaps(nullptr), iou_case()).outcome == Outcome::kNotRun);
}

TEST_CASE("benchmarks: host and device are compared end to end") {
  for (const Crossover& crossover : measure_crossovers(plugin(), true, 0)) {
    INFO(crossover.name << ": " << crossover.message);
    CHECK(crossover.outcome == Outcome::kOk);
    CHECK(crossover.points.size() == 3);
  }
}

TEST_CASE("benchmarks: where the device begins to win") {
  Crossover crossover;
  crossover.points = {{1, 1, 9}, {2, 9, 1}, {4, 1, 2}, {8, 3, 2}, {16, 6, 2}};
  CHECK(crossover.from() == 8);
  crossover.points.push_back({32, 1, 2});
  CHECK(!crossover.from());
}

TEST_CASE("benchmarks: quantiles") {
  const Statistics found = statistics({5, 1, 4, 2, 3});
  CHECK(found.median == 3);
  CHECK(found.p10 == doctest::Approx(1.4));
  CHECK(found.p90 == doctest::Approx(4.6));
  CHECK(statistics({1, 2}).median == 1.5);
}

// ---- the report

// Whether a text is one value of JSON; `at` moves behind it.
bool is_json(std::string_view text, size_t& at) {
  const auto skip = [&] {
    while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at]))) ++at;
  };
  const auto take = [&](char character) {
    skip();
    if (at >= text.size() || text[at] != character) return false;
    ++at;
    return true;
  };
  const auto string = [&] {
    if (!take('"')) return false;
    for (; at < text.size() && text[at] != '"'; ++at) {
      if (static_cast<unsigned char>(text[at]) < 0x20) return false;
      if (text[at] == '\\') ++at;
    }
    return take('"');
  };
  const auto list = [&](char close, const auto& item) {
    if (take(close)) return true;
    do {
      if (!item()) return false;
    } while (take(','));
    return take(close);
  };
  skip();
  if (take('{')) return list('}', [&] { return string() && take(':') && is_json(text, at); });
  if (take('[')) return list(']', [&] { return is_json(text, at); });
  if (at < text.size() && text[at] == '"') return string();
  for (const std::string_view word : {"null", "true", "false"})
    if (text.substr(at, word.size()) == word) return at += word.size(), true;
  const size_t end = std::min(text.find_first_not_of("+-.0123456789e", at), text.size());
  const bool some = end > at;
  at = end;
  return some;
}

Row made_up(const std::string& name, double median, std::optional<double> target_ms,
            std::optional<double> target_share) {
  Row row;
  row.measured = {name, "pairs", nullptr, target_ms, target_share};
  row.outcome = Outcome::kOk;
  row.bytes = 1e9;
  row.work = 1e6;
  row.sets = 2;
  row.single = {median, 0.9 * median, 1.1 * median, 20};
  return row;
}

Report made_up_report() {
  Report report;
  report.device = "Some \"GPU\"";
  report.date = "2026-01-31";
  report.facts = {{"driver", "1.2"}};
  report.checks = {{"gpu_tests", "PASS", "3", ""}, {"racecheck", "NOT RUN", "0", "not found | here"}};
  report.copy_bytes_per_second = 4e12;
  report.ceilings = {{"copy", 4000, "GB/s"}};
  report.rows = {made_up("quick", 0.25, 0.3, {}), made_up("slow", 0.5, 0.3, {}),
                 made_up("wide", 0.28, {}, 0.85), made_up("narrow", 0.5, {}, 0.85)};
  report.rows[0].batched = 0.2;
  Row wrong;
  wrong.measured = {"broken", "pairs", nullptr, 1, {}};
  wrong.outcome = Outcome::kWrong;
  wrong.message = "out[3]: expected 1,\nreceived 2";
  report.rows.push_back(wrong);
  report.variants = {made_up("slow: 64 lanes", 0.4, {}, {})};
  report.peers = {{"quick", "second", 12.5, ""},
                  {"quick", "first", 2.5, "a note"},
                  {"slow", "other", 1.0, ""},
                  {"", "absent", {}, "not installed"}};
  Crossover crossover{"IoU", "matrices", Outcome::kOk, "", {{1, 1, 2}, {2, 3, 2}}};
  report.crossovers = {crossover};
  return report;
}

TEST_CASE("benchmarks: the report tells targets, faults and peers") {
  const Report report = made_up_report();
  const std::string text = markdown(report);
  INFO(text);
  for (const char* part :
       {"# GPU check: Some \"GPU\", 2026-01-31",
        "1 passed, 0 failed, 1 not run",
        "5 right, 1 wrong or failed, 0 not run",
        "Targets: 2 met, 2 missed",
        "best peer: 1 met, 1 missed",
        "| racecheck | NOT RUN | 0 | not found \\| here |",
        "| copy | 4000 GB/s |",
        "| quick | 0.250 | 0.225 to 0.275 | 0.200 | 4.00 G pairs/s | 4000 | 100 % | at most 0.300 ms | met |",
        "| slow | 0.500 |",
        "at most 0.300 ms | MISSED |",
        "89.3 % | at least 85.0 % of copies | met |",
        "50.0 % | at least 85.0 % of copies | MISSED |",
        "| broken |  |  |  |  |  |  | at most 1.00 ms | WRONG: out[3]: expected 1, received 2 |",
        "| quick | 0.250 | first | 2.50 | 10.0 | met | a note |",
        "|  |  | second | 12.5 | 50.0 |  |  |",
        "| slow: 64 lanes | 0.400 |",
        "| slow | 0.500 | other | 1.00 | 2.00 | MISSED |  |",
        "- absent: not installed",
        "- IoU: the GPU wins from 2 matrices",
        "| 2 | 3.00 | 2.00 | 1.50 |"}) {
    INFO(part);
    CHECK(contains(text, part));
  }
}

TEST_CASE("benchmarks: the report as JSON") {
  for (const Report& report : {made_up_report(), Report()}) {
    const std::string text = json(report);
    INFO(text);
    size_t at = 0;
    CHECK(is_json(text, at));
    CHECK(text.substr(at) == "\n");
  }
  const std::string text = json(made_up_report());
  for (const char* part :
       {"\"device\": \"Some \\\"GPU\\\"\"", "expected 1,\\u000areceived 2", "\"medianMs\": 0.25",
        "\"queuedMs\": null", "\"targetsMet\": false", "\"peer\": \"absent\", \"medianMs\": null"}) {
    INFO(part);
    CHECK(contains(text, part));
  }
}

TEST_CASE("benchmarks: tables of peers and checks") {
  const std::string path = "bench_test.tsv";
  const auto write = [&](const std::string& text) { std::ofstream(path) << text; };
  write("IoU 2x2\ttorch\t0.5\ta note\n\toptax\t-\tnot installed\n");
  const std::vector<Peer> peers = read_peers(path);
  REQUIRE(peers.size() == 2);
  CHECK(peers[0].measured == "IoU 2x2");
  CHECK(peers[0].name == "torch");
  CHECK(peers[0].median_ms == 0.5);
  CHECK(peers[0].note == "a note");
  CHECK(!peers[1].median_ms);
  for (const char* broken : {"a\tb\tc\n", "a\tb\tc\td\te\n", "a\tb\tsoon\td\n", "a\tb\t\td\n",
                             "a\tb\t-1\td\n", "a\tb\tnan\td\n", "\n"}) {
    INFO(broken);
    write(broken);
    CHECK_THROWS(read_peers(path));
  }
  write("build\tPASS\t12\t\n");
  CHECK(read_checks(path).at(0).seconds == "12");
  std::remove(path.c_str());
  CHECK_THROWS(read_checks(path));
}

}  // namespace
}  // namespace perception::bench
