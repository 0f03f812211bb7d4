// Ragged views: list i is values[offsets[i] .. offsets[i + 1]), offsets has n + 1 entries (Arrow's layout).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/base/status.h"

namespace perception {

// Offsets must start at 0, never go down and end at `total`. `name` is the argument's name in the message.
inline Status validate_offsets(std::span<const int32_t> offsets, size_t total, const char* name) {
  if (offsets.empty())
    return {Code::kInvalidOffsets,
            std::string(name) + ": expected n + 1 entries starting with 0, received none"};
  if (offsets[0] != 0)
    return {Code::kInvalidOffsets,
            std::string(name) + "[0]: expected 0, received " + std::to_string(offsets[0])};
  for (size_t i = 1; i < offsets.size(); ++i) {
    if (offsets[i] < offsets[i - 1])
      return {Code::kInvalidOffsets, std::string(name) + "[" + std::to_string(i) + "]: expected at least " +
                                         std::to_string(offsets[i - 1]) +
                                         " (offsets never go down), received " + std::to_string(offsets[i])};
  }
  if (static_cast<size_t>(offsets.back()) != total)
    return {Code::kInvalidOffsets, std::string(name) + ": expected the last entry to be " +
                                       std::to_string(total) + " (the number of values), received " +
                                       std::to_string(offsets.back())};
  return {};
}

// Counts of a padded batch: empty (all rows count), or one in [0, rows] for each of `entries`.
inline Status validate_counts(std::span<const int32_t> counts, int64_t entries, int64_t rows,
                              const char* name) {
  if (counts.empty()) return {};
  const std::string argument = std::string(name) + " counts";
  PERCEPTION_RETURN_IF_ERROR(check_length(counts.size(), static_cast<size_t>(entries), argument.c_str()));
  for (size_t i = 0; i < counts.size(); ++i)
    if (counts[i] < 0 || counts[i] > rows)
      return {Code::kInvalidValue, argument + "[" + std::to_string(i) + "]: expected a number from 0 to " +
                                       std::to_string(rows) + ", received " + std::to_string(counts[i])};
  return {};
}

// Strings of a batch, one after the other in one buffer of UTF-8.
struct PackedStrings {
  std::span<const uint8_t> bytes;
  std::span<const int32_t> offsets;

  size_t size() const { return offsets.empty() ? 0 : offsets.size() - 1; }
  std::string_view operator[](size_t i) const {
    return {reinterpret_cast<const char*>(bytes.data()) + offsets[i],
            static_cast<size_t>(offsets[i + 1] - offsets[i])};
  }
};

}  // namespace perception
