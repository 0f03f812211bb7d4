// Rewards and terms of completions over boxes and points: core/reward/score_tensors by groups of lanes, one
// for each completion. The completion of a group (of the advantages) that is done last computes the group's
// advantages.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/geometry/overlap.h"
#include "core/reward/formulas.h"
#include "cuda/advantages.cuh"
#include "cuda/assignment.cuh"
#include "cuda/atomic.h"
#include "cuda/lanes.h"
#include "cuda/plugin.h"
#include "cuda/vector.h"

namespace perception::cuda {

struct ScoreArguments {
  Recipe recipe;
  BoxCost box_cost;
  Objects predictions, truth;
  int64_t count, predictions_per_truth;
  Scores scores;
  AdvantageOptions advantage;
  int32_t* finished;  // [groups], 0 at first: completions that are done; null: no advantages here
  Fault* fault;
};

// What a task matches: items of predictions and of the ground truth, what a pair costs, and the value of a
// matched pair that the terms add up, in core's types.
template <Task task>
struct Matched;

template <>
struct Matched<Task::kDetection> {
  using Number = float;  // costs and values
  struct Item {
    Corners<float> box;
    int32_t label;
  };

  static PERCEPTION_DEVICE Item read(const Objects& objects, int64_t index) {
    Float4 box;
    if (is_aligned(objects.values)) {
      box = reinterpret_cast<const Float4*>(objects.values)[index];
    } else {
      for (int i = 0; i < 4; ++i) box.of[i] = objects.values[4 * index + i];
    }
    return {to_corners(box.of, BoxFormat::kXyxy), objects.labels[index]};
  }
  static PERCEPTION_DEVICE bool finite(const Item& item) {
    const float box[] = {item.box.x1, item.box.y1, item.box.x2, item.box.y2};
    return finite_box(box);
  }
  static PERCEPTION_DEVICE bool broken(const Item& item) {
    return !matchable(item.box) || inverted(item.box);
  }
  static PERCEPTION_DEVICE bool usable(const Item& item) { return !broken(item) && item.label >= 0; }
  static PERCEPTION_DEVICE float cost(const ScoreArguments& arguments, const Item& predicted,
                                      const Item& truth) {
    return arguments.box_cost(predicted.box, predicted.label, truth.box, truth.label);
  }
  static PERCEPTION_DEVICE float value(const ScoreArguments& arguments, const Item& predicted,
                                       const Item& truth) {
    return pair_iou(predicted.box, truth.box, arguments.box_cost.epsilon);
  }
};

template <>
struct Matched<Task::kCounting> {
  using Number = double;
  struct Item {
    float x, y;
  };

  static PERCEPTION_DEVICE Item read(const Objects& objects, int64_t index) {
    return {objects.values[2 * index], objects.values[2 * index + 1]};
  }
  static PERCEPTION_DEVICE bool finite(const Item& item) {
    return std::isfinite(item.x) && std::isfinite(item.y);
  }
  static PERCEPTION_DEVICE bool broken(const Item& item) { return !finite(item); }
  static PERCEPTION_DEVICE bool usable(const Item& item) { return finite(item); }
  static PERCEPTION_DEVICE double cost(const ScoreArguments&, const Item& predicted, const Item& truth) {
    return point_cost(predicted.x, predicted.y, truth.x, truth.y);
  }
  static PERCEPTION_DEVICE double value(const ScoreArguments& arguments, const Item& predicted,
                                        const Item& truth) {
    return cost(arguments, predicted, truth);
  }
};

// --- Matching that is not optimal. Pairs rows <= cols <= kMostColumns by cost(row, column), as
// solve_assignment does, and says as it does whether that was possible; costs may be NaN and -infinity as
// well, where it is not.

// As core/assignment/greedy_assignment.h. Which of equal costs goes first matters only between pairs that
// share their row or column, and there it is the lower one of the other side, whichever of the two the rows
// are.
template <class Lanes, class Cost>
PERCEPTION_DEVICE bool match_greedily(Lanes& lanes, int rows, int cols, const Cost& cost,
                                      const AssignmentMemory& memory) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr int kIndexBits = 15;
  // A lane owns the columns lane.index, lane.index + kSize, ... and of each that is free the first free
  // row of least cost, in memory.predecessor; -1 where all free rows are forbidden.
  const auto each_free_column = [&](auto lane, const auto& body) {
    for (int column = lane.index; column < cols; column += Lanes::kSize)
      if (memory.row_of_column[column] < 0) body(column, memory.predecessor[column]);
  };
  // False where a cost allows no matching.
  const auto find_nearest = [&](int column, int32_t& nearest) {
    double least = kInfinity;
    bool valid = true;
    nearest = -1;
    for (int row = 0; row < rows; ++row) {
      if (memory.column_of_row[row] >= 0) continue;
      const double distance = cost(row, column);
      valid &= distance > -kInfinity;  // false for NaN
      if (!(distance < least)) continue;
      least = distance;
      nearest = row;
    }
    return valid;
  };

  lanes.each([&](auto lane) {
    for (int row = lane.index; row < rows; row += Lanes::kSize) memory.column_of_row[row] = -1;
    for (int column = lane.index; column < cols; column += Lanes::kSize) memory.row_of_column[column] = -1;
  });
  lanes.sync();
  typename Lanes::template PerLane<bool> refused;
  lanes.each([&](auto lane) {
    bool valid = true;
    each_free_column(lane, [&](int column, int32_t& nearest) { valid &= find_nearest(column, nearest); });
    refused[lane] = !valid;
  });
  if (lanes.any(refused)) return false;
  for (int pairs = 0; pairs < rows; ++pairs) {
    typename Lanes::template PerLane<Nearest> candidates;
    lanes.each([&](auto lane) {
      Nearest candidate = {kInfinity, ~0u};
      each_free_column(lane, [&](int column, int32_t row) {
        if (row < 0) return;
        const uint32_t key = static_cast<uint32_t>(row) << kIndexBits | static_cast<uint32_t>(column);
        candidate = nearer(candidate, {cost(row, column), key});
      });
      candidates[lane] = candidate;
    });
    const Nearest nearest = lanes.least(candidates);
    lanes.sync();
    if (nearest.distance == kInfinity) return false;
    const int row = static_cast<int>(nearest.key >> kIndexBits),
              column = static_cast<int>(nearest.key & ((1u << kIndexBits) - 1));
    lanes.each([&](auto lane) {
      if (lane.index != column % Lanes::kSize) return;
      memory.column_of_row[row] = column;
      memory.row_of_column[column] = row;
    });
    lanes.sync();
    lanes.each([&](auto lane) {
      each_free_column(lane, [&](int other, int32_t& its_row) {
        if (its_row == row) find_nearest(other, its_row);
      });
    });
  }
  return true;
}

// The i-th row with the i-th column.
template <class Lanes, class Cost>
PERCEPTION_DEVICE bool match_in_order(Lanes& lanes, int rows, int cols, const Cost& cost,
                                      const AssignmentMemory& memory) {
  typename Lanes::template PerLane<bool> refused;
  lanes.each([&](auto lane) {
    bool valid = true;
    for (int i = lane.index; i < cols; i += Lanes::kSize) {
      memory.row_of_column[i] = i < rows ? i : -1;
      if (i >= rows) continue;
      memory.column_of_row[i] = i;
      valid &= std::isfinite(cost(i, i));
    }
    refused[lane] = !valid;
  });
  lanes.sync();
  return !lanes.any(refused);
}

// Where in a completion's memory its arrays begin, in bytes.
struct ScoreLayout {
  size_t predicted = 0, truth = 0;  // items; the terms' values are at 0
  size_t assignment = 0;            // lay_out
  // Costs [rows, cols], or where they are not kept the ColumnStates. Later values by prediction.
  size_t costs = 0;
  size_t bytes = sizeof(TermValues);
};

template <Task task>
ScoreLayout score_layout(int predictions, int objects, bool keeps_costs) {
  using Number = typename Matched<task>::Number;
  using Item = typename Matched<task>::Item;
  const size_t rows = static_cast<size_t>(std::min(predictions, objects)),
               cols = static_cast<size_t>(std::max(predictions, objects));
  ScoreLayout layout;
  const auto place = [&](size_t bytes) {
    const size_t start = layout.bytes;
    layout.bytes += up_to_16(bytes);
    return start;
  };
  layout.predicted = place(static_cast<size_t>(predictions) * sizeof(Item));
  layout.truth = place(static_cast<size_t>(objects) * sizeof(Item));
  layout.assignment = place(assignment_bytes(static_cast<int>(rows), static_cast<int>(cols)));
  layout.costs = place(keeps_costs ? rows * cols * sizeof(Number) : cols * sizeof(ColumnState));
  return layout;
}

// Scores completions: group i completion i, in shared memory. Or, with kColumnsPerLane (which is
// solve_assignment's) = 0, group i the completions i, i + groups, ... in a workspace; costs are not kept then
// but computed whenever the solver asks for them.
//
// kOptimal: the recipe's matching is kHungarian. The other methods have a kernel of their own, so that they
// take no registers from it.
template <Task task, int kColumnsPerLane, bool kOptimal = true>
struct ScoreKernel {
  static constexpr bool kKeepsCosts = kColumnsPerLane > 0;

  ScoreArguments arguments;
  ScoreLayout layout;
  // Where costs are not kept: [groups, layout.bytes].
  unsigned char* workspace = nullptr;
  int64_t groups = 0;

  template <class Lanes>
  PERCEPTION_DEVICE void operator()(Lanes& lanes, int64_t group, unsigned char* shared) const {
    if constexpr (kKeepsCosts) {
      score(lanes, group, shared);
    } else {
      for (int64_t index = group; index < arguments.count; index += groups) {
        score(lanes, index, workspace + static_cast<size_t>(group) * layout.bytes);
        lanes.sync();
      }
    }
  }

 private:
  struct Completion {
    int64_t index, prompt;
    int64_t predictions, objects;
    unsigned char* memory;

    // Of lane 0 alone.
    PERCEPTION_DEVICE TermValues& values() const { return *reinterpret_cast<TermValues*>(memory); }
  };

  enum class Outcome { kEarns, kEarnsNothing, kWrongCounts, kTruthNotFinite };

  template <class Lanes>
  PERCEPTION_DEVICE void score(Lanes& lanes, int64_t index, unsigned char* memory) const {
    Completion completion{index, index / arguments.predictions_per_truth, 0, 0, memory};
    const bool counted = count_of(arguments.predictions, completion.index, completion.predictions) &
                         count_of(arguments.truth, completion.prompt, completion.objects);
    Outcome outcome = Outcome::kWrongCounts;
    if (counted) {
      if constexpr (task == Task::kGrounding)
        outcome = ground(lanes, completion);
      else
        outcome = match_items(lanes, completion);
    }
    lanes.each([&](auto lane) {
      if (lane.index == 0) write(completion, outcome);
    });
    if (arguments.finished) finish_group(lanes, completion.prompt);
  }

  // Counts come from the device's memory: false where one is not between 0 and the number of rows.
  static PERCEPTION_DEVICE bool count_of(const Objects& objects, int64_t entry, int64_t& count) {
    count = objects.counts ? objects.counts[entry] : objects.rows;
    return count >= 0 && count <= objects.rows;
  }

  template <class Lanes>
  PERCEPTION_DEVICE Outcome ground(Lanes& lanes, const Completion& completion) const {
    const float* const predicted =
        arguments.predictions.values + 4 * completion.index * arguments.predictions.rows;
    const float* const truth = arguments.truth.values + 4 * completion.prompt * arguments.truth.rows;
    typename Lanes::template PerLane<bool> infinite;
    lanes.each([&](auto lane) {
      infinite[lane] = false;
      for (int64_t k = lane.index; k < completion.objects; k += Lanes::kSize)
        infinite[lane] |= !finite_box(truth + 4 * k);
    });
    if (lanes.any(infinite)) return Outcome::kTruthNotFinite;
    lanes.each([&](auto lane) {
      if (lane.index != 0) return;
      TermValues& values = completion.values() = {};
      if (completion.predictions == 0 || completion.objects == 0) return;
      const Corners<float> box = to_corners(predicted, BoxFormat::kXyxy);
      const bool usable = matchable(box);
      values[Term::kFormat] = completion.predictions == 1 && usable && !inverted(box);
      if (usable)
        values[Term::kIou] = grounding_iou(arguments.recipe, box.as<double>(),
                                           to_corners(truth, BoxFormat::kXyxy).as<double>());
    });
    return Outcome::kEarns;
  }

  template <class Lanes>
  PERCEPTION_DEVICE Outcome match_items(Lanes& lanes, const Completion& completion) const {
    using M = Matched<task>;
    const int predictions = static_cast<int>(completion.predictions),
              objects = static_cast<int>(completion.objects);
    auto* const predicted = reinterpret_cast<typename M::Item*>(completion.memory + layout.predicted);
    auto* const truth = reinterpret_cast<typename M::Item*>(completion.memory + layout.truth);

    const int64_t first_object = completion.prompt * arguments.truth.rows;
    typename Lanes::template PerLane<bool> infinite;
    lanes.each([&](auto lane) {
      infinite[lane] = false;
      for (int k = lane.index; k < objects; k += Lanes::kSize) {
        truth[k] = M::read(arguments.truth, first_object + k);
        infinite[lane] |= !M::finite(truth[k]);
      }
    });

    // The usable predictions, in their order.
    const int64_t first_prediction = completion.index * arguments.predictions.rows;
    typename Lanes::template PerLane<typename M::Item> item;
    typename Lanes::template PerLane<bool> usable_item, broken;
    typename Lanes::template PerLane<int32_t> place;
    int usable = 0;
    lanes.each([&](auto lane) { broken[lane] = false; });
    for (int start = 0; start < predictions; start += Lanes::kSize) {
      lanes.each([&](auto lane) {
        usable_item[lane] = false;
        if (start + lane.index >= predictions) return;
        item[lane] = M::read(arguments.predictions, first_prediction + start + lane.index);
        usable_item[lane] = M::usable(item[lane]);
        broken[lane] |= M::broken(item[lane]);
      });
      const int found = lanes.rank(usable_item, place);
      lanes.each([&](auto lane) {
        if (usable_item[lane]) predicted[usable + place[lane]] = item[lane];
      });
      usable += found;
    }
    if (lanes.any(infinite)) return Outcome::kTruthNotFinite;
    // The released code raises, so that one such box costs the whole answer.
    if (task == Task::kDetection && arguments.recipe.reader == Reader::kPr1Detection && objects > 0 &&
        lanes.any(broken))
      return Outcome::kEarnsNothing;
    lanes.sync();

    Total total;
    if (usable > 0 && objects > 0 &&
        !match(lanes, completion.memory, predicted, usable, truth, objects, total))
      return Outcome::kEarnsNothing;
    lanes.each([&](auto lane) {
      if (lane.index != 0) return;
      TermValues& values = completion.values() = {};
      const auto faulty = static_cast<size_t>(predictions - usable);
      values[Term::kFormat] =
          usable_share(static_cast<size_t>(predictions), faulty, static_cast<size_t>(objects));
      if constexpr (task == Task::kDetection)
        detection_values(
            arguments.recipe,
            {static_cast<size_t>(total.pairs), static_cast<size_t>(total.same_label), total.values,
             static_cast<size_t>(usable) + (arguments.recipe.count_faulty ? faulty : 0),
             static_cast<size_t>(objects)},
            values);
      else
        counting_values(arguments.recipe,
                        {static_cast<size_t>(usable), faulty, static_cast<size_t>(objects), total.values},
                        values);
    });
    return Outcome::kEarns;
  }

  // Over the matched pairs that count.
  struct Total {
    double values = 0;
    int32_t pairs = 0, same_label = 0;
  };

  // False where the numbers allow no complete matching.
  template <class Lanes, class Item>
  PERCEPTION_DEVICE bool match(Lanes& lanes, unsigned char* memory, const Item* predicted, int usable,
                               const Item* truth, int objects, Total& total) const {
    using M = Matched<task>;
    using Number = typename M::Number;
    // As in core, the shorter side is the rows. A cost is the same either way round.
    const bool transposed = usable > objects;
    const Item* const row_items = transposed ? truth : predicted;
    const Item* const col_items = transposed ? predicted : truth;
    const int rows = transposed ? objects : usable, cols = transposed ? usable : objects;
    const AssignmentMemory assignment = lay_out(memory + layout.assignment, rows, cols);
    const auto cost_of = [&](int row, int column) -> double {
      return M::cost(arguments, row_items[row], col_items[column]);
    };
    if constexpr (!kOptimal) {
      const bool matched = arguments.recipe.matching == MatchingMethod::kGreedy
                               ? match_greedily(lanes, rows, cols, cost_of, assignment)
                               : match_in_order(lanes, rows, cols, cost_of, assignment);
      if (!matched) return false;
    } else {
      constexpr Number kInfinity = std::numeric_limits<Number>::infinity();
      auto* const costs = reinterpret_cast<Number*>(memory + layout.costs);
      typename Lanes::template PerLane<bool> refused;
      lanes.each([&](auto lane) {
        bool valid = true;
        for (int column = lane.index; column < cols; column += Lanes::kSize) {
          const Item own = col_items[column];
          for (int row = 0; row < rows; ++row) {
            const Number cost = M::cost(arguments, row_items[row], own);
            valid &= cost > -kInfinity;  // false for NaN
            if constexpr (kKeepsCosts) costs[row * cols + column] = cost;
          }
        }
        refused[lane] = !valid;
      });
      if (lanes.any(refused)) return false;
      bool solved;
      if constexpr (kKeepsCosts) {
        lanes.sync();
        solved = solve_assignment<kColumnsPerLane>(
            lanes, rows, cols, [&](int row, int column) -> double { return costs[row * cols + column]; },
            assignment);
      } else {
        solved = solve_assignment<0>(lanes, rows, cols, cost_of, assignment,
                                     reinterpret_cast<ColumnState*>(memory + layout.costs));
      }
      if (!solved) return false;
    }

    const int32_t* const object_of_prediction =
        transposed ? assignment.row_of_column : assignment.column_of_row;
    auto* const pair_values = reinterpret_cast<Number*>(memory + layout.costs);
    const auto counts = [&](Number value) {
      return task != Task::kDetection || value > arguments.recipe.min_iou;
    };
    typename Lanes::template PerLane<int32_t> same_label;
    lanes.each([&](auto lane) {
      same_label[lane] = 0;
      for (int i = lane.index; i < usable; i += Lanes::kSize) {
        const int32_t object = object_of_prediction[i];
        if (object < 0) continue;
        pair_values[i] = M::value(arguments, predicted[i], truth[object]);
        if constexpr (task == Task::kDetection)
          same_label[lane] += counts(pair_values[i]) && predicted[i].label == truth[object].label;
      }
    });
    lanes.sync();
    if constexpr (task == Task::kDetection) total.same_label = lanes.sum(same_label);
    // In core's order.
    for (int i = 0; i < usable; ++i) {
      if (object_of_prediction[i] < 0 || !counts(pair_values[i])) continue;
      total.values += pair_values[i];
      ++total.pairs;
    }
    return true;
  }

  // By lane 0.
  PERCEPTION_DEVICE void write(const Completion& completion, Outcome outcome) const {
    const Recipe& recipe = arguments.recipe;
    const Scores& scores = arguments.scores;
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    const bool failed = outcome == Outcome::kWrongCounts || outcome == Outcome::kTruthNotFinite;
    const bool earns = outcome == Outcome::kEarns && passes_gate(recipe, completion.values());
    const float nothing = failed ? kNan : 0;
    const float reward = earns ? static_cast<float>(total_reward(recipe, completion.values())) : nothing;
    scores.rewards[completion.index] = reward;
    for (size_t term = 0; term < recipe.terms.size(); ++term)
      scores.terms[static_cast<int64_t>(term) * arguments.count + completion.index] =
          earns ? static_cast<float>(completion.values()[recipe.terms[term].term]) : nothing;
    if (failed)
      report_fault(arguments.fault, completion.index,
                   outcome == Outcome::kWrongCounts ? Code::kShapeMismatch : Code::kInvalidValue);
    else if (arguments.finished && std::isinf(reward))  // which advantages refuse
      report_fault(arguments.fault, completion.index, Code::kInvalidValue);
  }

  template <class Lanes>
  PERCEPTION_DEVICE void finish_group(Lanes& lanes, int64_t group) const {
    typename Lanes::template PerLane<int32_t> before;
    lanes.each([&](auto lane) {
      before[lane] = 0;
      if (lane.index != 0) return;
      fence();  // between the reward and the counter that tells of it
      before[lane] = fetch_add(arguments.finished + group, 1);
    });
    if (lanes.broadcast(before, 0) + 1 < arguments.predictions_per_truth) return;
    lanes.each([&](auto lane) {
      if (lane.index == 0) fence();  // between the counter and the other rewards
    });
    lanes.sync();
    const int64_t start = group * arguments.predictions_per_truth;
    const Scores& scores = arguments.scores;
    advantages_of_group(lanes, scores.rewards + start, arguments.predictions_per_truth, arguments.advantage,
                        0.0, scores.advantages + start, scores.mean ? scores.mean + group : nullptr,
                        scores.std ? scores.std + group : nullptr);
  }

  // On the host the atomic counter orders memory itself.
  static PERCEPTION_DEVICE void fence() {
#ifdef __CUDACC__
    __threadfence();
#endif
  }
};

}  // namespace perception::cuda
