// Reads the files of the COCO API: a ground truth (instances JSON) and results. What reaches an evaluation is
// what pycocotools takes from them, in its order: images by ascending id, and within an image as in the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/json/byte_source.h"
#include "core/json/json_reader.h"

namespace perception {

// Ids are whole numbers of less than 2^53.
struct CocoImage {
  double id;
  std::optional<std::string> file_name;
  double width, height;  // 0: unknown
};

struct CocoCategory {
  double id;
  std::optional<std::string> name;
};

// Objects or detections, image by image: image i has those from offsets[i] up to offsets[i + 1].
struct CocoObjects {
  std::vector<double> boxes;        // [n, 4] x y width height, finite, no negative width or height
  std::vector<int32_t> categories;  // [n] places in the list of categories
  std::vector<int32_t> offsets;     // [images + 1]
  std::vector<double> values;       // [n] areas of objects, scores of detections; finite
  std::vector<uint8_t> crowd;       // [n] of objects
};

// Records of one kind that could not be used: they are left out.
struct CocoProblem {
  std::string kind;  // "detections of unknown images"
  int64_t count = 0;
  std::vector<std::string> examples;  // the first five: "image_id 42 (detection 17)", from 0
};

struct CocoDataset {
  std::vector<CocoImage> images;         // ascending by id
  std::vector<CocoCategory> categories;  // likewise
  CocoObjects truth;
  std::optional<CocoObjects> detections;
  std::vector<CocoProblem> problems;
};

struct CocoLimits {
  // Of one file; four numbers of a box each have to have an index.
  size_t records = std::numeric_limits<int32_t>::max() / 4;
  size_t buffer_bytes = kJsonBufferBytes;
};

struct CocoSource {
  ByteSource* bytes;
  std::string name;  // begins every message
};

// Both at the same time where there are two threads. kInvalidInput where one is no such file or has an id
// twice.
Status read_coco(const CocoSource& ground_truth, const std::optional<CocoSource>& results,
                 const CocoLimits& limits, CocoDataset& dataset);

// The same from files; paths are UTF-8.
Status load_coco(const std::string& ground_truth, const std::optional<std::string>& results,
                 CocoDataset& dataset);

}  // namespace perception
