// The one way core reports failure. No exception leaves core: allocation failure becomes kOutOfMemory at the
// seam.
#pragma once

#include <cstddef>
#include <cstdint>
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
  kInternal,
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
    case Code::kInternal:
      return "INTERNAL";
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

}  // namespace perception

// Leaves the calling function with the status of `expression` unless it is ok.
#define PERCEPTION_RETURN_IF_ERROR(expression)                                      \
  do {                                                                              \
    if (::perception::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)
