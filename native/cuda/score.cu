// Rewards, terms and advantages of completions: checks the shapes, picks how completions are scored by their
// size, and launches.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>

#include "cuda/launch.h"
#include "cuda/operations.h"
#include "cuda/score.cuh"

namespace perception::cuda {
namespace {

Status check_objects(const Objects& objects, int64_t entries, Task task, const char* name) {
  if (objects.rows < 0)
    return {Code::kShapeMismatch,
            std::string(name) + ": expected no negative dimension, received " + std::to_string(objects.rows)};
  if (task != Task::kGrounding && objects.rows > kMostColumns)
    return {Code::kTooLarge, std::string(name) + ": expected at most " + std::to_string(kMostColumns) +
                                 " rows on a GPU, received " + std::to_string(objects.rows) +
                                 "; the CPU scores more"};
  if (task == Task::kDetection && !objects.labels)
    return check_length(0, static_cast<size_t>(entries * objects.rows),
                        (std::string(name) + " labels").c_str());
  return {};
}

Status check_batch(const ScoreBatch& batch) {
  const Task task = batch.recipe->task;
  if (task == Task::kOcr)
    return {Code::kInvalidArgument, "recipe: expected one over boxes or points, received one for OCR"};
  if (batch.count < 0 || batch.predictions_per_truth < 1 || batch.count % batch.predictions_per_truth != 0)
    return {Code::kShapeMismatch, "truth: expected a number of entries that divides " +
                                      std::to_string(batch.count) + ", the number of predictions"};
  PERCEPTION_RETURN_IF_ERROR(check_objects(batch.predictions, batch.count, task, "predictions"));
  return check_objects(batch.truth, batch.count / batch.predictions_per_truth, task, "truth");
}

// By groups of `lanes` lanes that have their memory in a workspace.
template <int lanes, Task task, bool kOptimal>
Status launch_in_workspace(int32_t device, Stream stream, const ScoreArguments& arguments,
                           int64_t groups_per_multiprocessor) {
  ScoreKernel<task, 0, kOptimal> kernel{arguments,
                                        score_layout<task>(static_cast<int>(arguments.predictions.rows),
                                                           static_cast<int>(arguments.truth.rows), false)};
  kernel.groups = std::min(arguments.count, multiprocessors(device) * groups_per_multiprocessor);
  Workspace workspace(device);
  PERCEPTION_RETURN_IF_ERROR(workspace.allocate(static_cast<size_t>(kernel.groups) * kernel.layout.bytes));
  kernel.workspace = workspace.as<unsigned char>();
  return launch<lanes>(stream, kernel.groups, 0, kernel);
}

template <Task task>
Status launch_matching(int32_t device, Stream stream, const ScoreArguments& arguments) {
  // A warp each: the baselines have too little to do for more.
  if (arguments.recipe.matching != MatchingMethod::kHungarian)
    return launch_in_workspace<32, task, false>(device, stream, arguments, 16);
  const int predictions = static_cast<int>(arguments.predictions.rows),
            objects = static_cast<int>(arguments.truth.rows);
  const int most = std::max(predictions, objects);
  const ScoreLayout layout = score_layout<task>(predictions, objects, true);
  if (most <= 32)
    return launch<32>(stream, arguments.count, layout.bytes, ScoreKernel<task, 1>{arguments, layout});
  // Beside what a kernel asks for, its collectives have some of the block's shared memory.
  constexpr size_t kLanesBytes = 4096;
  if (layout.bytes + kLanesBytes <= shared_memory_limit(device)) {
    if (most <= 128)
      return launch<128>(stream, arguments.count, layout.bytes, ScoreKernel<task, 1>{arguments, layout});
    if (most <= 4 * 256)
      return launch<256>(stream, arguments.count, layout.bytes, ScoreKernel<task, 4>{arguments, layout});
  }
  return launch_in_workspace<256, task, true>(device, stream, arguments, 4);
}

Status launch_task(int32_t device, Stream stream, const ScoreArguments& arguments) {
  switch (arguments.recipe.task) {
    case Task::kGrounding:
      return launch<32>(stream, arguments.count, ScoreLayout().bytes,
                        ScoreKernel<Task::kGrounding, 1>{arguments, ScoreLayout()});
    case Task::kDetection:
      return launch_matching<Task::kDetection>(device, stream, arguments);
    default:
      return launch_matching<Task::kCounting>(device, stream, arguments);
  }
}

// For what is not computed beside the rewards.
Status advantages_of_batch(int32_t device, const ScoreArguments& arguments) {
  const Groups groups = {arguments.count / arguments.predictions_per_truth, arguments.predictions_per_truth,
                         nullptr, nullptr};
  const Scores& scores = arguments.scores;
  return queue_group_advantages(device, scores.rewards, arguments.count, groups, arguments.advantage,
                                scores.advantages, scores.mean, scores.std, arguments.fault);
}

int32_t score(int32_t device, const ScoreBatch* batch, const AdvantageOptions* advantage,
              const Scores* scores, Fault* fault) {
  return reported([&]() -> Status {
    PERCEPTION_RETURN_IF_ERROR(check_batch(*batch));
    const bool with_advantages = scores->advantages != nullptr;
    if (with_advantages && batch->count > std::numeric_limits<int32_t>::max())
      return {Code::kTooLarge, "rewards: expected at most " +
                                   std::to_string(std::numeric_limits<int32_t>::max()) +
                                   " numbers, received " + std::to_string(batch->count)};
    // The standard deviation of a whole batch is known when all rewards are.
    const bool fused = with_advantages && advantage->scale != AdvantageScale::kBatch;
    Stream stream;
    PERCEPTION_RETURN_IF_ERROR(use_device(device, stream));
    ScoreArguments arguments = {
        .recipe = *batch->recipe,
        .box_cost = BoxCost(*batch->recipe),
        .predictions = batch->predictions,
        .truth = batch->truth,
        .count = batch->count,
        .predictions_per_truth = batch->predictions_per_truth,
        .scores = *scores,
        .advantage = with_advantages ? *advantage : AdvantageOptions(),
        .finished = nullptr,
        .fault = fault,
    };
    Workspace finished(device);
    if (fused) {
      const int64_t groups = batch->count / batch->predictions_per_truth;
      const size_t bytes = static_cast<size_t>(groups) * sizeof(int32_t);
      PERCEPTION_RETURN_IF_ERROR(finished.allocate(bytes));
      arguments.finished = finished.as<int32_t>();
      PERCEPTION_RETURN_IF_ERROR(fill(device, arguments.finished, 0, bytes));
    }
    PERCEPTION_RETURN_IF_ERROR(launch_task(device, stream, arguments));
    return with_advantages && !fused ? advantages_of_batch(device, arguments) : Status();
  });
}

}  // namespace

void add_score(Plugin& plugin) { plugin.score = score; }

}  // namespace perception::cuda
