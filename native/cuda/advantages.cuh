// Group-relative advantages by groups of lanes: the formulas of core/advantage. Groups of up to kMostInOrder
// rewards are summed in the order of core and give its bits; larger ones in a fixed order of their own.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/advantage/formula.h"
#include "cuda/atomic.h"
#include "cuda/lanes.h"
#include "cuda/plugin.h"
#include "cuda/vector.h"

namespace perception::cuda {

constexpr int32_t kMostInOrder = 32;

// --- Sums that all lanes take part in. `Rewards`: anything with [] from 0, synced. ---

struct ScoredSum {
  double sum;
  int32_t scored;
  int32_t first;  // the first reward that is not NaN; at or beyond the end where there is none
};

template <class Lanes, class Rewards>
PERCEPTION_DEVICE ScoredSum scored_sum(Lanes& lanes, const Rewards& rewards, int32_t count) {
  typename Lanes::template PerLane<double> sum;
  typename Lanes::template PerLane<int32_t> scored, first;
  lanes.each([&](auto lane) {
    sum[lane] = 0;
    scored[lane] = 0;
    first[lane] = std::numeric_limits<int32_t>::max();
    for (int64_t i = lane.index; i < count; i += Lanes::kSize) {
      const float reward = rewards[i];
      const bool is_scored = !std::isnan(reward);
      if (is_scored && scored[lane] == 0) first[lane] = static_cast<int32_t>(i);
      scored[lane] += is_scored;
      sum[lane] += or_zero(reward);
    }
  });
  return {lanes.sum(sum), lanes.sum(scored), lanes.min(first)};
}

struct Spread {
  double squares;  // of the deviations from the mean
  bool all_equal;  // to `first`
};

template <class Lanes, class Rewards>
PERCEPTION_DEVICE Spread spread(Lanes& lanes, const Rewards& rewards, int32_t count, double mean,
                                float first) {
  typename Lanes::template PerLane<double> squares;
  typename Lanes::template PerLane<bool> differs;
  lanes.each([&](auto lane) {
    squares[lane] = 0;
    differs[lane] = false;
    for (int64_t i = lane.index; i < count; i += Lanes::kSize) {
      const float reward = rewards[i];
      squares[lane] += squared_deviation(reward, mean);
      differs[lane] |= !std::isnan(reward) && reward != first;
    }
  });
  return {lanes.sum(squares), !lanes.any(differs)};
}

template <class Lanes, class Rewards>
PERCEPTION_DEVICE Moments moments_by_all(Lanes& lanes, const Rewards& rewards, int32_t count, int ddof) {
  if (count <= kMostInOrder) return moments_of(rewards, count, ddof);
  const ScoredSum total = scored_sum(lanes, rewards, count);
  Moments moments;
  moments.scored = total.scored;
  moments.sum = total.sum;
  moments.mean = total.sum / total.scored;
  const Spread around =
      spread(lanes, rewards, count, moments.mean, total.scored > 0 ? rewards[total.first] : 0.0f);
  moments.std = std_of(around.squares, total.scored, ddof);
  moments.all_equal = around.all_equal;
  return moments;
}

// --- One group. ---

PERCEPTION_DEVICE inline void write_moments(const Moments& moments, float* mean, float* std) {
  if (mean) *mean = static_cast<float>(moments.mean);
  if (std) *std = static_cast<float>(moments.true_std());
}

// By all lanes together. `rewards` and `advantages`: anything with [] from 0; the rewards have been synced,
// and the advantages go elsewhere. mean and std may be null. `batch_std` is used with scale batch alone.
template <class Lanes, class Rewards, class Advantages>
PERCEPTION_DEVICE Moments advantages_of_group(Lanes& lanes, const Rewards& rewards, int64_t count,
                                              const AdvantageOptions& options, double batch_std,
                                              const Advantages& advantages, float* mean, float* std) {
  const Moments group = moments_by_all(lanes, rewards, static_cast<int32_t>(count), options.ddof);
  const AdvantageFormula formula(group, options, batch_std);
  lanes.each([&](auto lane) {
    for (int64_t i = lane.index; i < count; i += Lanes::kSize) advantages[i] = formula(rewards[i]);
    if (lane.index == 0) write_moments(group, mean, std);
  });
  return group;
}

// --- A batch of groups. ---

struct AdvantageBatch {
  const float* rewards;
  Groups groups;
  AdvantageOptions options;
  const double* batch_std;  // null unless the scale is batch
  float* advantages;
  float* mean;  // null, or one per group; so is std
  float* std;
  Fault* fault;

  // The first slot of a group; that of the group after the last is the end.
  PERCEPTION_DEVICE int64_t start(int64_t group) const {
    return groups.offsets ? groups.offsets[group] : group * groups.size;
  }
  PERCEPTION_DEVICE int32_t size(int64_t group) const {
    return static_cast<int32_t>(start(group + 1) - start(group));
  }
  // Where the reward of a slot is.
  PERCEPTION_DEVICE int64_t place(int64_t slot) const { return groups.order ? groups.order[slot] : slot; }
  PERCEPTION_DEVICE double std_of_batch() const { return batch_std ? *batch_std : 0; }

  PERCEPTION_DEVICE void write(int64_t group, const Moments& moments) const {
    write_moments(moments, mean ? mean + group : nullptr, std ? std + group : nullptr);
    // Sums of finite rewards do not overflow.
    if (!std::isfinite(moments.sum)) report_fault(fault, group, Code::kInvalidValue);
  }
};

// The numbers of a group, wherever its slots lead.
template <class T>
struct Slots {
  T* values;
  const int32_t* order;
  int64_t first;
  PERCEPTION_PORTABLE T& operator[](int64_t i) const { return values[order ? order[first + i] : first + i]; }
};

// Groups of kSize (a multiple of 4) consecutive rewards, a lane each, in registers. rewards and advantages
// are aligned to 16 bytes. kPlain: the baseline is the mean and nothing is clipped, which leaves less to do.
// A problem is as many groups as there are lanes.
template <int kSize, bool kPlain>
struct GroupsInRegisters {
  AdvantageBatch batch;

  template <class Lanes>
  PERCEPTION_DEVICE void operator()(Lanes& lanes, int64_t problem, unsigned char*) const {
    lanes.each([&](auto lane) {
      const int64_t group = problem * Lanes::kSize + lane.index;
      if (group >= batch.groups.count) return;
      const auto* const from = reinterpret_cast<const Float4*>(batch.rewards + group * kSize);
      auto* const to = reinterpret_cast<Float4*>(batch.advantages + group * kSize);
      Float4 quads[kSize / 4];
      for (int i = 0; i < kSize / 4; ++i) quads[i] = from[i];
      AdvantageOptions options = batch.options;
      if constexpr (kPlain) {
        options.baseline = AdvantageBaseline::kMean;
        options.clip_low = -std::numeric_limits<double>::infinity();
        options.clip_high = std::numeric_limits<double>::infinity();
      }
      const Values values = {quads};
      const Moments moments = advantages_in_order(values, kSize, options, batch.std_of_batch(), values);
      for (int i = 0; i < kSize / 4; ++i) to[i] = quads[i];
      batch.write(group, moments);
    });
  }

 private:
  struct Values {
    Float4* quads;
    PERCEPTION_PORTABLE float& operator[](int64_t i) const { return quads[i / 4].of[i % 4]; }
  };
};

// Groups of `least` to `most` rewards, of any kind; the others are left alone. A problem is `tile` groups, no
// more than there are lanes: a lane takes each where none has more than kMostInOrder rewards, else all lanes
// together take one after the other. Either way gives the same bits.
struct GroupTiles {
  AdvantageBatch batch;
  int32_t tile;
  int32_t least, most;

  static constexpr size_t shared_bytes(int32_t tile) {
    return static_cast<size_t>(StagedRewards::place(int64_t{tile} * kMostInOrder)) * sizeof(float);
  }

  template <class Lanes>
  PERCEPTION_DEVICE void operator()(Lanes& lanes, int64_t problem, unsigned char* shared) const {
    const int64_t begin = problem * tile, end = std::min(begin + tile, batch.groups.count);
    typename Lanes::template PerLane<bool> mine, large;
    lanes.each([&](auto lane) {
      const int64_t group = begin + lane.index;
      const int32_t size = group < end ? batch.size(group) : -1;
      mine[lane] = size >= least && size <= most;
      large[lane] = size > kMostInOrder;
    });
    if (!lanes.any(mine)) return;
    if (lanes.any(large))
      one_by_one(lanes, begin, end);
    else
      side_by_side(lanes, begin, end, reinterpret_cast<float*>(shared));
  }

 private:
  // Rewards in shared memory, a word left out after every 32, so that lanes whose groups have the same size
  // read from different banks.
  struct StagedRewards {
    float* memory;
    int64_t first;
    static PERCEPTION_PORTABLE constexpr int64_t place(int64_t slot) { return slot + slot / 32; }
    PERCEPTION_PORTABLE float& operator[](int64_t i) const { return memory[place(first + i)]; }
  };

  template <class Lanes>
  PERCEPTION_DEVICE void one_by_one(Lanes& lanes, int64_t begin, int64_t end) const {
    for (int64_t group = begin; group < end; ++group) {
      const int32_t size = batch.size(group);
      if (size < least || size > most) continue;
      const int32_t* const order = batch.groups.order;
      const int64_t start = batch.start(group);
      const Moments moments = advantages_of_group(
          lanes, Slots<const float>{batch.rewards, order, start}, size, batch.options, batch.std_of_batch(),
          Slots<float>{batch.advantages, order, start}, nullptr, nullptr);
      lanes.each([&](auto lane) {
        if (lane.index == 0) batch.write(group, moments);
      });
    }
  }

  template <class Lanes>
  PERCEPTION_DEVICE void side_by_side(Lanes& lanes, int64_t begin, int64_t end, float* memory) const {
    const int64_t first = batch.start(begin);
    const int32_t slots = static_cast<int32_t>(batch.start(end) - first);
    const StagedRewards staged = {memory, 0};
    lanes.each([&](auto lane) {
      for (int32_t i = lane.index; i < slots; i += Lanes::kSize)
        staged[i] = batch.rewards[batch.place(first + i)];
    });
    lanes.sync();
    lanes.each([&](auto lane) {
      const int64_t group = begin + lane.index;
      if (group >= end) return;
      const StagedRewards rewards = {memory, batch.start(group) - first};
      const Moments moments =
          advantages_in_order(rewards, batch.size(group), batch.options, batch.std_of_batch(), rewards);
      batch.write(group, moments);
    });
    lanes.sync();
    lanes.each([&](auto lane) {
      for (int32_t i = lane.index; i < slots; i += Lanes::kSize)
        batch.advantages[batch.place(first + i)] = staged[i];
    });
  }
};

// --- The standard deviation of a whole batch: sums of chunks, in two passes as for a group. ---

constexpr int32_t kRewardsPerChunk = 16384;

struct RewardChunks {
  const float* rewards;
  int64_t count;    // of rewards
  int64_t chunks;   // count / kRewardsPerChunk, rounded up
  double* sums;     // [chunks], of the rewards that are not NaN
  double* scored;   // [chunks], how many those are
  double* squares;  // [chunks], of their deviations from the mean of all

  PERCEPTION_DEVICE const float* begin(int64_t chunk) const { return rewards + chunk * kRewardsPerChunk; }
  PERCEPTION_DEVICE int32_t size(int64_t chunk) const {
    return static_cast<int32_t>(std::min<int64_t>(kRewardsPerChunk, count - chunk * kRewardsPerChunk));
  }

  template <class Lanes>
  PERCEPTION_DEVICE double total(Lanes& lanes, const double* partial) const {
    typename Lanes::template PerLane<double> sum;
    lanes.each([&](auto lane) {
      sum[lane] = 0;
      for (int64_t i = lane.index; i < chunks; i += Lanes::kSize) sum[lane] += partial[i];
    });
    return lanes.sum(sum);
  }
};

// A problem is a chunk: its sums and scored.
struct SumChunks {
  RewardChunks batch;

  template <class Lanes>
  PERCEPTION_DEVICE void operator()(Lanes& lanes, int64_t chunk, unsigned char*) const {
    const ScoredSum total = scored_sum(lanes, batch.begin(chunk), batch.size(chunk));
    lanes.each([&](auto lane) {
      if (lane.index != 0) return;
      batch.sums[chunk] = total.sum;
      batch.scored[chunk] = total.scored;
    });
  }
};

// A problem is a chunk: its squares.
struct SquareChunks {
  RewardChunks batch;

  template <class Lanes>
  PERCEPTION_DEVICE void operator()(Lanes& lanes, int64_t chunk, unsigned char*) const {
    const double mean = batch.total(lanes, batch.sums) / batch.total(lanes, batch.scored);
    const Spread around = spread(lanes, batch.begin(chunk), batch.size(chunk), mean, 0.0f);
    lanes.each([&](auto lane) {
      if (lane.index == 0) batch.squares[chunk] = around.squares;
    });
  }
};

// One problem.
struct FinishBatchStd {
  RewardChunks batch;
  int ddof;
  double* std;

  template <class Lanes>
  PERCEPTION_DEVICE void operator()(Lanes& lanes, int64_t, unsigned char*) const {
    const double squares = batch.total(lanes, batch.squares), scored = batch.total(lanes, batch.scored);
    lanes.each([&](auto lane) {
      if (lane.index == 0) *std = std_of(squares, static_cast<int32_t>(scored), ddof);
    });
  }
};

}  // namespace perception::cuda
