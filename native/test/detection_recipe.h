// The recipe that the tests of both scorers, of text and of tensors, use for detection.
#pragma once

#include "core/reward/recipe.h"

namespace perception {

inline Recipe detection_recipe() {
  Recipe recipe;
  recipe.task = Task::kDetection;
  recipe.reader = Reader::kAny;
  recipe.terms = {
      {Term::kFormat, 0.25}, {Term::kF1, 0.75}, {Term::kClass, 1}, {Term::kIou, 1}, {Term::kMissing, -0.5}};
  recipe.clamp_low = 0;
  recipe.clamp_high = 3;
  recipe.count_faulty = true;
  recipe.cost_l1 = 5;
  recipe.cost_giou = 2;
  recipe.cost_class = 1;
  recipe.min_iou = 0.5;
  recipe.classes = 3;
  return recipe;
}

}  // namespace perception
