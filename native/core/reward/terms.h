// The terms of one answer, from boxes, points and labels: gathers what the formulas (formulas.h) need, and
// matches. Where the numbers come from, text or tensors, is the callers' business.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/assignment/greedy_assignment.h"
#include "core/assignment/linear_sum_assignment.h"
#include "core/geometry/box.h"
#include "core/reward/formulas.h"
#include "core/reward/recipe.h"

namespace perception {

// The boxes of a ground truth as arrays, along which costs are computed.
class TrueBoxes {
 public:
  static constexpr size_t kBlock =
      16;  // the arrays are filled up to whole blocks, as many as the widest vector holds

  void resize(size_t size);
  void set(size_t k, const Corners<float>& box, int32_t label) {
    float* const to = corners_.data() + k;
    to[0] = box.x1;
    to[padded_] = box.y1;
    to[2 * padded_] = box.x2;
    to[3 * padded_] = box.y2;
    labels_[k] = label;
  }
  size_t size() const { return size_; }
  const float* corners(size_t i) const { return corners_.data() + i * padded_; }  // all x1, y1, x2 or y2
  const int32_t* labels() const { return labels_.data(); }
  Corners<float> box(size_t k) const { return {corners(0)[k], corners(1)[k], corners(2)[k], corners(3)[k]}; }

 private:
  size_t size_ = 0, padded_ = 0;
  std::vector<float> corners_;
  std::vector<int32_t> labels_;
};

// Of the predictions only those that can be used.
struct DetectionItems {
  std::span<const Corners<float>> predicted;
  std::span<const int32_t> predicted_labels;
  const TrueBoxes* truth = nullptr;
  size_t faulty = 0;  // predictions that cannot be used
  // Per prediction the object matched with it, or -1.
  std::span<int32_t> object_of_prediction;
  bool matched = false;  // unless the numbers allow no matching, so that the answer earns nothing
};

struct CountingItems {
  std::span<const double> predicted,
      truth;  // x y in per-mille; of the predictions only those that can be used
  size_t faulty = 0;
};

// Scratch memory, kept between answers.
struct Matching {
  std::vector<int32_t> object_of_prediction;  // counting: per usable point
  std::vector<float> box_cost;
  std::vector<double> cost;
  std::vector<AssignmentTask<float>> tasks;
  std::vector<DetectionItems*> answer_of_task;
  AssignmentWorkspace assignment;
  GreedyWorkspace greedy;
};

// Finds `matched` and `object_of_prediction` of several answers together.
void match_detections(const Recipe& recipe, std::span<DetectionItems> answers, Matching& matching);
// Fills `values` of an answer that is matched; pairs that overlap too little are taken apart.
void detection_terms(const Recipe& recipe, const DetectionItems& items, TermValues& values);

// Fills `values`; false where the numbers allow no matching, so that the answer earns nothing.
bool counting_terms(const Recipe& recipe, const CountingItems& items, Matching& matching, TermValues& values);

}  // namespace perception
