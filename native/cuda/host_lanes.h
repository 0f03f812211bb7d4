// Lanes on the host: in lockstep on one thread, or a thread each. The contract is in lanes.h.
#pragma once

#include <array>
#include <atomic>
#include <barrier>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include "cuda/lanes.h"

namespace perception::cuda {

// What both kinds compute from the values of all lanes.
namespace host {

template <int size, class T, class Combine>
T by_halves(std::array<T, size> values, Combine combine) {
  static_assert(size > 0 && (size & (size - 1)) == 0, "a power of two");
  for (int half = size / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i)
      values[static_cast<size_t>(i)] =
          combine(values[static_cast<size_t>(i)], values[static_cast<size_t>(i + half)]);
  return values[0];
}

// `Lanes` provides kSize, PerLane, each and all(PerLane<T>) -> std::array<T, kSize>.
template <class Lanes>
class Collectives {
 public:
  template <class PerLane>
  auto min(const PerLane& values) {
    return by_halves<Lanes::kSize>(all(values), [](auto a, auto b) { return b < a ? b : a; });
  }
  template <class PerLane>
  auto max(const PerLane& values) {
    return by_halves<Lanes::kSize>(all(values), [](auto a, auto b) { return a < b ? b : a; });
  }
  template <class PerLane>
  Nearest least(const PerLane& values) {
    return by_halves<Lanes::kSize>(all(values), nearer);
  }
  template <class PerLane>
  auto sum(const PerLane& values) {
    return by_halves<Lanes::kSize>(all(values), [](auto a, auto b) { return a + b; });
  }
  template <class PerLane>
  bool any(const PerLane& flags) {
    bool result = false;
    for (const bool flag : all(flags)) result |= flag;
    return result;
  }
  template <class Flags, class Counts>
  int32_t rank(const Flags& flags, Counts& before) {
    const auto every = all(flags);
    self().each([&](auto lane) {
      before[lane] = 0;
      for (int i = 0; i < lane.index; ++i) before[lane] += every[static_cast<size_t>(i)];
    });
    int32_t total = 0;
    for (const bool flag : every) total += flag;
    return total;
  }
  template <class PerLane>
  auto broadcast(const PerLane& values, int from) {
    return all(values)[static_cast<size_t>(from)];
  }
  template <class PerLane>
  PerLane from_below(const PerLane& values, typename PerLane::Value first) {
    const auto every = all(values);
    PerLane result;
    self().each([&](auto lane) {
      result[lane] = lane.index == 0 ? first : every[static_cast<size_t>(lane.index - 1)];
    });
    return result;
  }

 private:
  Lanes& self() { return static_cast<Lanes&>(*this); }
  template <class PerLane>
  auto all(const PerLane& values) {
    return self().all(values);
  }
};

}  // namespace host

template <int size>
class LockstepLanes : public host::Collectives<LockstepLanes<size>> {
 public:
  static constexpr int kSize = size;
  template <class T>
  class PerLane {
   public:
    using Value = T;
    T& operator[](Lane lane) { return values_[static_cast<size_t>(lane.index)]; }
    const T& operator[](Lane lane) const { return values_[static_cast<size_t>(lane.index)]; }

   private:
    friend class LockstepLanes;
    std::array<T, size> values_;
  };

  template <class Body>
  void each(const Body& body) {
    for (int i = 0; i < size; ++i) body(Lane{i});
  }
  void sync() {}

 private:
  friend class host::Collectives<LockstepLanes>;
  template <class T>
  const std::array<T, size>& all(const PerLane<T>& values) {
    return values.values_;
  }
};

// What the threads of one group share.
template <int size>
class Team {
 public:
  // Orders memory between the threads, for ThreadSanitizer too.
  void sync() { barrier_.arrive_and_wait(); }

  // Gives every thread the values of all. ThreadSanitizer sees no order in it (relaxed atomics and fences of
  // the compiler and the machine that it does not know), as a shuffle on a GPU orders no memory.
  template <class T>
  std::array<T, size> exchange(int lane, const T& value) {
    static_assert(sizeof(T) <= 2 * sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
    uint64_t words[2] = {};
    std::memcpy(words, &value, sizeof(T));
    slots_[static_cast<size_t>(lane)][0].store(words[0], std::memory_order_relaxed);
    slots_[static_cast<size_t>(lane)][1].store(words[1], std::memory_order_relaxed);
    meet();
    std::array<T, size> result;
    for (size_t i = 0; i < size; ++i) {
      words[0] = slots_[i][0].load(std::memory_order_relaxed);
      words[1] = slots_[i][1].load(std::memory_order_relaxed);
      std::memcpy(&result[i], words, sizeof(T));
    }
    meet();
    return result;
  }

 private:
  void meet() {
    fence();
    const uint32_t generation = generation_.load(std::memory_order_relaxed);
    fence();
    if (arrived_.fetch_add(1, std::memory_order_relaxed) == size - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      fence();
      generation_.store(generation + 1, std::memory_order_relaxed);
    } else {
      while (generation_.load(std::memory_order_relaxed) == generation) std::this_thread::yield();
    }
    fence();
  }

  static void fence() {
#if defined(__x86_64__)
    __asm__ volatile("mfence" ::: "memory");
#elif defined(__aarch64__)
    __asm__ volatile("dmb ish" ::: "memory");
#else
#error "a fence for this machine"
#endif
  }

  std::barrier<> barrier_{size};
  std::array<std::array<std::atomic<uint64_t>, 2>, size> slots_{};
  std::atomic<int> arrived_{0};
  std::atomic<uint32_t> generation_{0};
};

template <int size>
class ThreadLanes : public host::Collectives<ThreadLanes<size>> {
 public:
  static constexpr int kSize = size;
  template <class T>
  using PerLane = OwnValue<T>;

  ThreadLanes(Team<size>& team, int index) : team_(team), index_(index) {}

  template <class Body>
  void each(const Body& body) {
    body(Lane{index_});
  }
  void sync() { team_.sync(); }

 private:
  friend class host::Collectives<ThreadLanes>;
  template <class T>
  std::array<T, size> all(const PerLane<T>& values) {
    return team_.exchange(index_, values[Lane{index_}]);
  }

  Team<size>& team_;
  const int index_;
};

// Runs body(lanes) on a group of `size` threads.
template <int size, class Body>
void run_on_threads(const Body& body) {
  const auto team = std::make_unique<Team<size>>();
  std::vector<std::jthread> threads;
  for (int i = 0; i < size; ++i)
    threads.emplace_back([&team, &body, i] {
      ThreadLanes<size> lanes(*team, i);
      body(lanes);
    });
}

}  // namespace perception::cuda
