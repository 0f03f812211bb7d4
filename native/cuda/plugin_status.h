// What the plug-in's functions and kernels report, as a Status.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/status.h"
#include "cuda/plugin.h"

namespace perception::cuda {

// The Status of a call into the plug-in.
inline Status said_by(const Plugin& plugin, int32_t code) {
  if (code == static_cast<int32_t>(Code::kOk)) return {};
  return {static_cast<Code>(code), plugin.last_error()};
}

// The Status of what an operation left in its fault cell.
inline Status to_status(Fault fault) {
  if (fault == kNoFault) return {};
  const Code code = static_cast<Code>(fault & 0xff);
  const std::string problem = "problem " + std::to_string(fault >> 8) + ": ";
  switch (code) {
    case Code::kInfeasible:
      return {code, problem + "cost: every complete assignment uses a forbidden pair (an infinite cost)"};
    case Code::kInvalidValue:
      return {code, problem +
                        "expected finite numbers (in costs also the infinity that forbids a pair, in rewards "
                        "NaN for not scored), received another"};
    case Code::kShapeMismatch:
      // Of counts, which core checks before it starts, and calls kInvalidValue.
      return {Code::kInvalidValue,
              problem + "counts: expected numbers from 0 to that of the rows, received another"};
    default:
      return {code, problem + "failed"};
  }
}

}  // namespace perception::cuda
