// The one way core reports failure. No exception leaves core: allocation failure becomes kOutOfMemory at the
// seam.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>

namespace perception {

enum class Code : uint8_t {
  kOk,
  kInvalidArgument,
  kShapeMismatch,
  kInvalidOffsets,
  kInvalidValue,
  kInfeasible,
  kTooLarge,
  kOutOfMemory,
  kDeviceUnavailable,
  kDeviceLost,
  kInternal,
  kInvalidInput,
};

// The stable name that PerceptionError.code carries; the table is in docs/errors.md.
constexpr const char* code_name(Code code) {
  switch (code) {
    case Code::kOk:
      return "OK";
    case Code::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case Code::kShapeMismatch:
      return "SHAPE_MISMATCH";
    case Code::kInvalidOffsets:
      return "INVALID_OFFSETS";
    case Code::kInvalidValue:
      return "INVALID_VALUE";
    case Code::kInfeasible:
      return "INFEASIBLE";
    case Code::kTooLarge:
      return "TOO_LARGE";
    case Code::kOutOfMemory:
      return "OUT_OF_MEMORY";
    case Code::kDeviceUnavailable:
      return "DEVICE_UNAVAILABLE";
    case Code::kDeviceLost:
      return "DEVICE_LOST";
    case Code::kInternal:
      return "INTERNAL";
    case Code::kInvalidInput:
      return "INVALID_INPUT";
  }
  return "INTERNAL";
}

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// kShapeMismatch unless `received` is `expected`; `name` is the argument's.
inline Status check_length(size_t received, size_t expected, const char* name) {
  if (received == expected) return {};
  return {Code::kShapeMismatch, std::string(name) + ": expected length " + std::to_string(expected) +
                                    ", received " + std::to_string(received)};
}

// The same for an array of `shape`, none of which may be negative; a product beyond memory fits no array.
inline Status check_shape(size_t received, std::initializer_list<int64_t> shape, const char* name) {
  size_t expected = 1;
  bool fits = true, zero = false;
  for (const int64_t size : shape) {
    if (size < 0)
      return {Code::kShapeMismatch,
              std::string(name) + ": expected no negative dimension, received " + std::to_string(size)};
    zero |= size == 0;
    const auto factor = static_cast<size_t>(size);
    if (size != 0 && expected > std::numeric_limits<size_t>::max() / factor)
      fits = false;
    else if (size != 0)
      expected *= factor;
  }
  if (!fits && !zero)
    return {Code::kTooLarge, std::string(name) + ": its shape is beyond what memory can hold"};
  return check_length(received, zero ? 0 : expected, name);
}

}  // namespace perception

// Leaves the calling function with the status of `expression` unless it is ok.
#define PERCEPTION_RETURN_IF_ERROR(expression)                                      \
  do {                                                                              \
    if (::perception::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)
