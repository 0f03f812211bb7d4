// Takes apart the arguments of a call: kinds of typed arrays, numbers, flags. Shapes are checked by core,
// which is where memory would be touched. Everything here throws ArgumentError, which job.h turns into a
// JavaScript error.
#pragma once

#include <napi.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/ragged.h"
#include "core/base/status.h"

namespace perception::node {

struct ArgumentError {
  Status status;
};

template <class T>
constexpr std::pair<napi_typedarray_type, const char*> array_type() {
  if constexpr (std::is_same_v<T, float>) return {napi_float32_array, "Float32Array"};
  if constexpr (std::is_same_v<T, double>) return {napi_float64_array, "Float64Array"};
  if constexpr (std::is_same_v<T, int32_t>) return {napi_int32_array, "Int32Array"};
  if constexpr (std::is_same_v<T, uint8_t>) return {napi_uint8_array, "Uint8Array"};
}

// Where a typed array's elements lie now. A detached array arrives here with length 0.
template <class T>
std::span<T> elements(const Napi::Value& value, const char* name) {
  const auto [type, expected] = array_type<T>();
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type)
    throw ArgumentError{{Code::kInvalidArgument, std::string(name) + ": expected a " + expected}};
  napi_typedarray_type actual;
  size_t length = 0;
  void* data = nullptr;
  napi_value buffer;
  size_t offset = 0;
  if (napi_get_typedarray_info(value.Env(), value, &actual, &length, &data, &buffer, &offset) != napi_ok)
    throw ArgumentError{{Code::kInvalidArgument, std::string(name) + ": could not be read"}};
  return {static_cast<T*>(data), data ? length : 0};
}

// What a job does with an input. Node-API cannot hold a buffer's memory in place: JavaScript may detach or
// shrink it while another thread reads.
enum class Hold : uint8_t {
  kView,  // the job ends before JavaScript runs again
  kCopy,  // asynchronous, the caller's own array: copied
  kKeep,  // asynchronous, an array that only the TypeScript layer knows: kept alive
};

template <class T>
class Input {
 public:
  Input() = default;
  Input(const Napi::Value& value, const char* name, Hold hold) : view_(elements<T>(value, name)) {
    if (hold == Hold::kCopy) {
      copy_.assign(view_.begin(), view_.end());
      view_ = copy_;
    } else if (hold == Hold::kKeep) {
      keep_ = Napi::Persistent(value.As<Napi::Object>());
    }
  }
  std::span<const T> span() const { return view_; }

 private:
  std::vector<T> copy_;  // moving it moves its memory along, so the view stays right
  Napi::ObjectReference keep_;
  std::span<const T> view_;
};

// An output of a job. The TypeScript layer gives asynchronous work arrays that nobody else has seen, so that
// they can neither be detached nor written to until the promise settles.
template <class T>
class Output {
 public:
  Output() = default;
  Output(const Napi::Value& value, const char* name)
      : view_(elements<T>(value, name)), keep_(Napi::Persistent(value.As<Napi::Object>())) {}
  std::span<T> span() const { return view_; }

 private:
  std::span<T> view_;
  Napi::ObjectReference keep_;
};

struct PackedInput {
  Input<uint8_t> bytes;
  Input<int32_t> offsets;
  PackedStrings strings() const { return {bytes.span(), offsets.span()}; }
};

inline double number(const Napi::Value& value, const char* name) {
  if (!value.IsNumber())
    throw ArgumentError{{Code::kInvalidArgument, std::string(name) + ": expected a number"}};
  return value.As<Napi::Number>().DoubleValue();
}

// A whole number in [low, high].
inline int64_t integer(const Napi::Value& value, const char* name, int64_t low = 0,
                       int64_t high = std::numeric_limits<int32_t>::max()) {
  const double result = number(value, name);
  if (!(result >= static_cast<double>(low) && result <= static_cast<double>(high)) ||
      result != std::floor(result))
    throw ArgumentError{{Code::kInvalidArgument, std::string(name) + ": expected a whole number from " +
                                                     std::to_string(low) + " to " + std::to_string(high) +
                                                     ", received " + std::to_string(result)}};
  return static_cast<int64_t>(result);
}

// An enumeration's value, `last` being its greatest.
template <class Enum>
Enum choice(const Napi::Value& value, const char* name, Enum last) {
  return static_cast<Enum>(integer(value, name, 0, static_cast<int64_t>(last)));
}

inline bool flag(const Napi::Value& value, const char* name) {
  if (!value.IsBoolean())
    throw ArgumentError{{Code::kInvalidArgument, std::string(name) + ": expected a boolean"}};
  return value.As<Napi::Boolean>().Value();
}

}  // namespace perception::node
