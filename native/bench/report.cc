#include "bench/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <utility>

namespace perception::bench {
namespace {

// ---- numbers and names

// Three digits, without an exponent.
std::string digits(double value) {
  const int magnitude = value == 0 ? 0 : static_cast<int>(std::floor(std::log10(std::abs(value))));
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", std::clamp(2 - magnitude, 0, 9), value);
  return text;
}

std::string rate(double per_second, const std::string& unit) {
  constexpr std::array<const char*, 5> kPrefixes = {"", "k ", "M ", "G ", "T "};
  size_t prefix = 0;
  for (; per_second >= 1000 && prefix + 1 < kPrefixes.size(); ++prefix) per_second /= 1000;
  return digits(per_second) + " " + kPrefixes[prefix] + unit + "/s";
}

std::string percent(double share) { return share < 0.001 ? "< 0.1 %" : digits(100 * share) + " %"; }

const char* name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk:
      return "right";
    case Outcome::kWrong:
      return "WRONG";
    case Outcome::kFailed:
      return "FAILED";
    case Outcome::kNotRun:
      return "NOT RUN";
  }
  return "";
}

const char* verdict(bool met) { return met ? "met" : "MISSED"; }

double bytes_per_second(const Row& row) { return row.bytes / (row.single.median * 1e-3); }
double share_of_copies(const Report& report, const Row& row) {
  return bytes_per_second(row) / report.copy_bytes_per_second;
}

std::string target_of(const Row& row) {
  if (row.measured.target_ms) return "at most " + digits(*row.measured.target_ms) + " ms";
  if (row.measured.target_share) return "at least " + percent(*row.measured.target_share) + " of copies";
  return "";
}

const Row* find_row(const Report& report, const std::string& name) {
  for (const Row& row : report.rows)
    if (row.measured.name == name) return &row;
  return nullptr;
}

// The cases that peers were measured for, each with those that have a figure, the fastest first.
std::vector<std::pair<std::string, std::vector<Peer>>> peers_by_case(const Report& report) {
  std::vector<std::pair<std::string, std::vector<Peer>>> result;
  for (const Peer& peer : report.peers) {
    if (!peer.median_ms) continue;
    const auto found = std::find_if(result.begin(), result.end(),
                                    [&](const auto& entry) { return entry.first == peer.measured; });
    if (found == result.end())
      result.push_back({peer.measured, {peer}});
    else
      found->second.push_back(peer);
  }
  for (auto& [name, peers] : result)
    std::sort(peers.begin(), peers.end(),
              [](const Peer& a, const Peer& b) { return *a.median_ms < *b.median_ms; });
  return result;
}

// How many times as long as the case a peer takes; nothing where the case has no times.
std::optional<double> times_faster(const Report& report, const Peer& peer) {
  const Row* const row = find_row(report, peer.measured);
  if (!row || row->outcome != Outcome::kOk) return {};
  return *peer.median_ms / row->single.median;
}

// ---- files of tab-separated lines

std::vector<std::array<std::string, 4>> read_table(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + " could not be read");
  std::vector<std::array<std::string, 4>> table;
  for (std::string line; std::getline(file, line);) {
    std::array<std::string, 4> fields;
    size_t field = 0;
    for (const char character : line) {
      if (character != '\t')
        fields[field] += character;
      else if (++field == fields.size())
        break;
    }
    if (field != fields.size() - 1)
      throw std::runtime_error(path + ", line " + std::to_string(table.size() + 1) +
                               ": expected 4 fields with tabs between them");
    table.push_back(fields);
  }
  return table;
}

// ---- Markdown

std::string cell(const std::string& text) {
  std::string result;
  for (const char character : text) {
    if (character == '|') result += '\\';
    result += character == '\n' ? ' ' : character;
  }
  return result;
}

class MarkdownTable {
 public:
  explicit MarkdownTable(const std::vector<std::string>& header) {
    row(header);
    for (size_t i = 0; i < header.size(); ++i) text_ += "| --- ";
    text_ += "|\n";
  }
  void row(const std::vector<std::string>& cells) {
    for (const std::string& text : cells) text_ += "| " + cell(text) + " ";
    text_ += "|\n";
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string summary(const Report& report) {
  int passed = 0, failed = 0, left_out = 0;
  for (const Check& check : report.checks)
    ++(check.result == "PASS" ? passed : check.result == "FAIL" ? failed : left_out);
  int met = 0, missed = 0;
  for (const Row& row : report.rows)
    if (const std::optional<bool> meets = meets_targets(report, row)) ++(*meets ? met : missed);
  int ahead = 0, behind = 0;
  for (const auto& [name, peers] : peers_by_case(report))
    if (const std::optional<double> times = times_faster(report, peers[0]))
      ++(*times >= kPeerTarget ? ahead : behind);
  const auto count = [](int number) { return std::to_string(number); };
  return "- Checks: " + count(passed) + " passed, " + count(failed) + " failed, " + count(left_out) +
         " not run.\n- Cases and crossovers: " + tally(report).text() + ".\n- Targets: " + count(met) +
         " met, " + count(missed) + " missed.\n- Ten times faster than the best peer: " + count(ahead) +
         " met, " + count(behind) + " missed.\n";
}

std::string markdown_cases(const Report& report, const std::vector<Row>& rows) {
  MarkdownTable table(
      {"case", "median ms", "p10 to p90", "queued, ms", "rate", "GB/s", "of copies", "target", "result"});
  for (const Row& row : rows) {
    if (row.outcome != Outcome::kOk) {
      table.row({row.measured.name, "", "", "", "", "", "", target_of(row),
                 std::string(name_of(row.outcome)) + ": " + row.message});
      continue;
    }
    const std::optional<bool> meets = meets_targets(report, row);
    table.row(
        {row.measured.name, digits(row.single.median),
         digits(row.single.p10) + " to " + digits(row.single.p90), row.batched ? digits(*row.batched) : "",
         rate(row.work / (row.single.median * 1e-3), row.measured.unit), digits(bytes_per_second(row) / 1e9),
         percent(share_of_copies(report, row)), target_of(row), meets ? verdict(*meets) : ""});
  }
  return table.text();
}

std::string markdown_peers(const Report& report) {
  MarkdownTable table({"case", "this plug-in, ms", "peer", "peer, ms", "times faster", "ten times", "note"});
  for (const auto& [name, peers] : peers_by_case(report)) {
    for (const Peer& peer : peers) {
      const std::optional<double> times = times_faster(report, peer);
      const bool best = &peer == &peers[0];
      table.row({best ? name : "", best && times ? digits(find_row(report, name)->single.median) : "",
                 peer.name, digits(*peer.median_ms), times ? digits(*times) : "",
                 best && times ? verdict(*times >= kPeerTarget) : "", peer.note});
    }
  }
  std::string text = table.text(), absent;
  for (const Peer& peer : report.peers)
    if (!peer.median_ms)
      absent += "- " + cell(peer.name) + (peer.measured.empty() ? "" : ", " + cell(peer.measured)) + ": " +
                cell(peer.note) + "\n";
  if (!absent.empty()) text += "\nWithout a figure:\n\n" + absent;
  return text;
}

std::string markdown_crossovers(const Report& report) {
  std::string text;
  for (const Crossover& crossover : report.crossovers) text += "- " + cell(crossover_line(crossover)) + "\n";
  for (const Crossover& crossover : report.crossovers) {
    if (crossover.outcome != Outcome::kOk) continue;
    MarkdownTable points({crossover.name + ": " + crossover.unit, "host, ms", "GPU, ms", "host / GPU"});
    for (const Crossover::Point& point : crossover.points)
      points.row({std::to_string(point.size), digits(point.host_ms), digits(point.device_ms),
                  digits(point.host_ms / point.device_ms)});
    text += "\n" + points.text();
  }
  return text;
}

// ---- JSON

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (character == '"' || character == '\\') {
      result += '\\';
      result += character;
    } else if (byte < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", byte);
      result += escape;
    } else {
      result += character;
    }
  }
  return result + '"';
}

std::string number(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}
std::string number(const std::optional<double>& value) { return value ? number(*value) : "null"; }

// Members of an object or elements of an array, one to a line at the outer levels.
std::string joined(const std::vector<std::string>& items, const char* open, const char* close,
                   const char* between) {
  std::string result = open;
  for (size_t i = 0; i < items.size(); ++i) result += (i > 0 ? std::string(",") : "") + between + items[i];
  return result + (items.empty() ? "" : between) + close;
}

std::string member(const char* key, const std::string& value) { return quoted(key) + ": " + value; }

std::string object(const std::vector<std::string>& members) { return joined(members, "{", "}", " "); }

template <class T, class Convert>
std::string array(const std::vector<T>& values, const Convert& convert) {
  std::vector<std::string> items;
  for (const T& value : values) items.push_back(convert(value));
  return joined(items, "[", "]", "\n    ");
}

std::string json_row(const Report& report, const Row& row) {
  std::vector<std::string> members = {member("name", quoted(row.measured.name)),
                                      member("result", quoted(name_of(row.outcome))),
                                      member("targetMs", number(row.measured.target_ms)),
                                      member("targetShareOfCopies", number(row.measured.target_share))};
  if (row.outcome != Outcome::kOk) {
    members.push_back(member("message", quoted(row.message)));
    return object(members);
  }
  const std::optional<bool> meets = meets_targets(report, row);
  for (const std::string& more :
       {member("medianMs", number(row.single.median)), member("p10Ms", number(row.single.p10)),
        member("p90Ms", number(row.single.p90)), member("runs", std::to_string(row.single.count)),
        member("queuedMs", number(row.batched)), member("dataSets", std::to_string(row.sets)),
        member("bytes", number(row.bytes)), member("work", number(row.work)),
        member("unit", quoted(row.measured.unit)),
        member("shareOfCopies", number(share_of_copies(report, row))),
        member("targetsMet", meets ? (*meets ? "true" : "false") : "null")})
    members.push_back(more);
  return object(members);
}

}  // namespace

Tally tally(const Report& report) {
  Tally result;
  const auto count = [&](Outcome outcome) {
    ++(outcome == Outcome::kOk ? result.right : outcome == Outcome::kNotRun ? result.not_run : result.wrong);
  };
  for (const Row& row : report.rows) count(row.outcome);
  for (const Row& row : report.variants)
    if (row.outcome == Outcome::kWrong) count(row.outcome);
  for (const Crossover& crossover : report.crossovers) count(crossover.outcome);
  return result;
}

std::string Tally::text() const {
  return std::to_string(right) + " right, " + std::to_string(wrong) + " wrong or failed, " +
         std::to_string(not_run) + " not run";
}

std::optional<bool> meets_targets(const Report& report, const Row& row) {
  if (row.outcome != Outcome::kOk || (!row.measured.target_ms && !row.measured.target_share)) return {};
  return (!row.measured.target_ms || row.single.median <= *row.measured.target_ms) &&
         (!row.measured.target_share || share_of_copies(report, row) >= *row.measured.target_share);
}

std::vector<Peer> read_peers(const std::string& path) {
  std::vector<Peer> peers;
  for (const auto& [measured, name, median_ms, note] : read_table(path)) {
    Peer peer{measured, name, {}, note};
    if (median_ms != "-") {
      size_t used = 0;
      try {
        peer.median_ms = std::stod(median_ms, &used);
      } catch (const std::exception&) {
      }
      if (!peer.median_ms || used != median_ms.size() || !(*peer.median_ms > 0))
        throw std::runtime_error(path + ": expected milliseconds or -, received " + median_ms);
    }
    peers.push_back(peer);
  }
  return peers;
}

std::vector<Check> read_checks(const std::string& path) {
  std::vector<Check> checks;
  for (const auto& [step, result, seconds, note] : read_table(path))
    checks.push_back({step, result, seconds, note});
  return checks;
}

std::string row_line(const Report& report, const Row& row) {
  std::string name = row.measured.name;
  name.resize(std::max<size_t>(name.size(), 48), ' ');
  if (row.outcome != Outcome::kOk) return name + "  " + name_of(row.outcome) + ": " + row.message;
  std::string line = name + "  " + digits(row.single.median) + " ms";
  if (row.batched) line += ", queued " + digits(*row.batched) + " ms";
  line += ", " + rate(row.work / (row.single.median * 1e-3), row.measured.unit) + ", " +
          percent(share_of_copies(report, row)) + " of copies";
  if (const std::optional<bool> meets = meets_targets(report, row))
    line += "; " + target_of(row) + ": " + verdict(*meets);
  return line;
}

std::string crossover_line(const Crossover& crossover) {
  std::string text = crossover.name + ": ";
  if (crossover.outcome != Outcome::kOk) return text + name_of(crossover.outcome) + ": " + crossover.message;
  if (const std::optional<int64_t> from = crossover.from())
    return text + "the GPU wins from " + std::to_string(*from) + " " + crossover.unit;
  return text + "the GPU does not win up to " + std::to_string(crossover.points.back().size) + " " +
         crossover.unit;
}

std::string markdown(const Report& report) {
  std::string text = "# GPU check: " + report.device + ", " + report.date + "\n\n" + summary(report) + "\n";
  MarkdownTable facts({"", ""});
  for (const auto& [name, value] : report.facts) facts.row({name, value});
  text += facts.text();

  MarkdownTable checks({"step", "result", "s", "note"});
  for (const Check& check : report.checks) checks.row({check.step, check.result, check.seconds, check.note});
  text += "\n## Checks\n\n" + checks.text();

  MarkdownTable ceilings({"measured in this run", ""});
  for (const Ceiling& ceiling : report.ceilings)
    ceilings.row({ceiling.name, digits(ceiling.value) + " " + ceiling.unit});
  text += "\n## Ceilings\n\n" + ceilings.text();

  text +=
      "\n## Cases\n\nEvery case was compared with the core's answer before and after it was timed. Targets "
      "in ms are "
      "for an NVIDIA H200.\n\n" +
      markdown_cases(report, report.rows);
  text +=
      "\n## Peers\n\nIn the same run, on the same GPU; each was checked against NumPy or SciPy first.\n\n";
  text += report.peers.empty() ? "NOT RUN\n" : markdown_peers(report);
  if (!report.variants.empty())
    text += "\n## Variants\n\nAssignment by kernels of several shapes, whichever the plug-in picks.\n\n" +
            markdown_cases(report, report.variants);
  text +=
      "\n## From which size the GPU wins\n\nData in the host's pageable memory: allocation, upload, "
      "operation "
      "and download against the core with all threads.\n\n" +
      markdown_crossovers(report);
  return text;
}

std::string json(const Report& report) {
  std::vector<std::string> facts;
  for (const auto& [name, value] : report.facts) facts.push_back(member(name.c_str(), quoted(value)));
  const std::vector<std::string> members = {
      member("device", quoted(report.device)),
      member("date", quoted(report.date)),
      member("facts", joined(facts, "{", "}", "\n    ")),
      member("checks", array(report.checks,
                             [](const Check& check) {
                               return object({member("step", quoted(check.step)),
                                              member("result", quoted(check.result)),
                                              member("seconds", quoted(check.seconds)),
                                              member("note", quoted(check.note))});
                             })),
      member("copyBytesPerSecond", number(report.copy_bytes_per_second)),
      member("ceilings", array(report.ceilings,
                               [](const Ceiling& ceiling) {
                                 return object({member("name", quoted(ceiling.name)),
                                                member("value", number(ceiling.value)),
                                                member("unit", quoted(ceiling.unit))});
                               })),
      member("cases", array(report.rows, [&](const Row& row) { return json_row(report, row); })),
      member("variants", array(report.variants, [&](const Row& row) { return json_row(report, row); })),
      member("peers", array(report.peers,
                            [](const Peer& peer) {
                              return object({member("case", quoted(peer.measured)),
                                             member("peer", quoted(peer.name)),
                                             member("medianMs", number(peer.median_ms)),
                                             member("note", quoted(peer.note))});
                            })),
      member("crossovers", array(report.crossovers, [](const Crossover& crossover) {
               const std::optional<int64_t> from = crossover.from();
               return object({member("operation", quoted(crossover.name)),
                              member("unit", quoted(crossover.unit)),
                              member("from", from ? std::to_string(*from) : "null"),
                              member("result", quoted(name_of(crossover.outcome))),
                              member("message", quoted(crossover.message)),
                              member("points", array(crossover.points, [](const Crossover::Point& point) {
                                       return object({member("size", std::to_string(point.size)),
                                                      member("hostMs", number(point.host_ms)),
                                                      member("gpuMs", number(point.device_ms))});
                                     }))});
             }))};
  return joined(members, "{", "}\n", "\n  ");
}

}  // namespace perception::bench
