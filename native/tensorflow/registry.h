// Recipes and advantage formulas that attributes of TensorFlow ops refer to by number. An op's attributes
// hold only float32; behind a number every double arrives exactly. Entries live as long as the process.
#pragma once

#include <cstdint>

#include "core/advantage/group_advantages.h"
#include "core/reward/recipe.h"

namespace perception::tensorflow {

// The entry's number, from 1; equal contents have the same one. From any thread.
int32_t keep_recipe(const Recipe& recipe);
int32_t keep_formula(const AdvantageOptions& formula);

// Null where no entry has that number.
const Recipe* find_recipe(int32_t number);
const AdvantageOptions* find_formula(int32_t number);

}  // namespace perception::tensorflow
