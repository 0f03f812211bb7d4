// What a run of the benchmarks found, as JSON and as Markdown. docs/results/README.md says how to read it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/measure.h"

namespace perception::bench {

struct Ceiling {
  std::string name;
  double value;
  std::string unit;
};

// A figure of another library in the same run; without one, `note` says why.
struct Peer {
  std::string measured;  // the case's name
  std::string name;
  std::optional<double> median_ms;
  std::string note;
};

// A step of scripts/gpu-check.
struct Check {
  std::string step, result, seconds, note;
};

struct Report {
  std::string device, date;
  // What else is known of the machine, in the order in which it is told.
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<Check> checks;
  double copy_bytes_per_second = 0;
  std::vector<Ceiling> ceilings;
  std::vector<Row> rows;
  std::vector<Row> variants;  // assignment by kernels of several shapes
  std::vector<Peer> peers;
  std::vector<Crossover> crossovers;
};

// Cases and crossovers, and variants that were wrong: one that a GPU cannot run is none.
struct Tally {
  int right = 0, wrong = 0, not_run = 0;
  std::string text() const;
};
Tally tally(const Report& report);

// How many times faster than the best peer a case should be.
constexpr double kPeerTarget = 10;

// Whether a row meets all of its targets; nothing where it has none, or no times.
std::optional<bool> meets_targets(const Report& report, const Row& row);

// Of a file of tab-separated lines, each with four fields. Throws where one has not.
std::vector<Peer> read_peers(const std::string& path);
std::vector<Check> read_checks(const std::string& path);

// For a terminal.
std::string row_line(const Report& report, const Row& row);
std::string crossover_line(const Crossover& crossover);

std::string markdown(const Report& report);
std::string json(const Report& report);

}  // namespace perception::bench
