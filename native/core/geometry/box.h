// Box formats. Every kernel works on corners; this is the one place that converts.
#pragma once

#include <cstdint>

namespace perception {

enum class BoxFormat : uint8_t { kXyxy, kXywh, kCxcywh };

template <class T>
struct Corners {
  T x1, y1, x2, y2;

  template <class U>
  constexpr Corners<U> as() const {
    return {static_cast<U>(x1), static_cast<U>(y1), static_cast<U>(x2), static_cast<U>(y2)};
  }
};

// `box` points at four numbers in `format`.
template <class T>
constexpr Corners<T> to_corners(const T* box, BoxFormat format) {
  switch (format) {
    case BoxFormat::kXywh:
      return {box[0], box[1], box[0] + box[2], box[1] + box[3]};
    case BoxFormat::kCxcywh: {
      const T half_width = box[2] / 2, half_height = box[3] / 2;
      return {box[0] - half_width, box[1] - half_height, box[0] + half_width, box[1] + half_height};
    }
    case BoxFormat::kXyxy:
      break;
  }
  return {box[0], box[1], box[2], box[3]};
}

}  // namespace perception
