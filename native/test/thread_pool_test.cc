#include "core/base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "doctest.h"

using perception::parallel_for;
using perception::set_thread_count;
using perception::thread_count;

namespace {

struct ThreadCount {
  const int before = thread_count();
  explicit ThreadCount(int threads) { set_thread_count(threads); }
  ~ThreadCount() { set_thread_count(before); }
};

using Chunk = std::pair<int64_t, int64_t>;

std::vector<Chunk> chunks_of(int64_t count, int64_t grain) {
  std::mutex mutex;
  std::vector<Chunk> chunks;
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    const std::lock_guard lock(mutex);
    chunks.emplace_back(begin, end);
  });
  std::sort(chunks.begin(), chunks.end());
  return chunks;
}

}  // namespace

TEST_CASE("thread pool: thread_count") {
  CHECK(perception::hardware_threads() >= 1);
  CHECK(thread_count() >= 1);
  const ThreadCount guard(3);
  CHECK(thread_count() == 3);
  set_thread_count(0);
  CHECK(thread_count() == 1);
  set_thread_count(-7);
  CHECK(thread_count() == 1);
}

TEST_CASE("thread pool: every chunk exactly once, the same chunks for every number of threads") {
  for (const int threads : {1, 2, 4, 9}) {
    const ThreadCount guard(threads);
    CAPTURE(threads);
    CHECK(chunks_of(0, 4).empty());
    CHECK(chunks_of(-3, 4).empty());
    CHECK(chunks_of(1, 4) == std::vector<Chunk>{{0, 1}});
    CHECK(chunks_of(4, 4) == std::vector<Chunk>{{0, 4}});
    CHECK(chunks_of(10, 4) == std::vector<Chunk>{{0, 4}, {4, 8}, {8, 10}});
    CHECK(chunks_of(3, 0) == std::vector<Chunk>{{0, 1}, {1, 2}, {2, 3}});
    CHECK(chunks_of(5, std::numeric_limits<int64_t>::max()) == std::vector<Chunk>{{0, 5}});
    const int64_t huge = std::numeric_limits<int64_t>::max();
    CHECK(chunks_of(huge, huge / 2 + 1) == std::vector<Chunk>{{0, huge / 2 + 1}, {huge / 2 + 1, huge}});

    std::vector<int> visits(10007);
    parallel_for(10007, 3, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
    });
    CHECK(std::all_of(visits.begin(), visits.end(), [](int n) { return n == 1; }));
  }
}

TEST_CASE("thread pool: several threads work on one call") {
  const ThreadCount guard(4);
  // Each chunk waits for the other three, so this ends only if four threads are at work.
  std::atomic<int> arrived{0};
  std::mutex mutex;
  std::set<std::thread::id> threads;
  parallel_for(4, 1, [&](int64_t, int64_t) {
    {
      const std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
    }
    ++arrived;
    while (arrived < 4) std::this_thread::yield();
  });
  CHECK(threads.size() == 4);
  CHECK(threads.count(std::this_thread::get_id()) == 1);
}

TEST_CASE("thread pool: one thread runs the chunks in order on the caller") {
  const ThreadCount guard(1);
  std::vector<int64_t> begins;
  parallel_for(10, 3, [&](int64_t begin, int64_t) { begins.push_back(begin); });
  CHECK(begins == std::vector<int64_t>{0, 3, 6, 9});
}

TEST_CASE("thread pool: a nested call runs inline") {
  for (const int threads : {1, 4}) {
    const ThreadCount guard(threads);
    std::atomic<int> items{0}, elsewhere{0};
    parallel_for(20, 1, [&](int64_t, int64_t) {
      const auto caller = std::this_thread::get_id();
      parallel_for(50, 7, [&](int64_t begin, int64_t end) {
        items += static_cast<int>(end - begin);
        if (std::this_thread::get_id() != caller) ++elsewhere;
      });
    });
    CHECK(items == 1000);
    CHECK(elsewhere == 0);
  }
}

TEST_CASE("thread pool: several callers at once, while the number of threads changes") {
  const ThreadCount guard(4);
  std::vector<int64_t> sums(6);
  std::vector<std::thread> callers;
  for (size_t caller = 0; caller < sums.size(); ++caller) {
    callers.emplace_back([&sums, caller] {
      for (int round = 0; round < 100; ++round) {
        std::vector<int64_t> squares(257);
        parallel_for(257, 8, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) squares[static_cast<size_t>(i)] = i * i;
        });
        for (const int64_t square : squares) sums[caller] += square;
      }
    });
  }
  for (int i = 0; i < 200; ++i) {
    set_thread_count(i % 6);
    std::this_thread::yield();
  }
  for (std::thread& caller : callers) caller.join();
  for (const int64_t sum : sums) CHECK(sum == 100 * (256LL * 257 * 513 / 6));
}

TEST_CASE("thread pool: an exception comes back to the caller, and the pool goes on") {
  for (const int threads : {1, 4}) {
    const ThreadCount guard(threads);
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> finished{0};
      std::string message;
      try {
        parallel_for(64, 1, [&](int64_t begin, int64_t) {
          if (begin == 5) throw std::runtime_error("chunk 5");
          ++finished;
        });
      } catch (const std::runtime_error& error) {
        message = error.what();
      }
      CHECK(message == "chunk 5");
      CHECK(finished < 64);
      // Not left in the state of a nested call either.
      CHECK(chunks_of(10, 5).size() == 2);
    }
    // Every chunk throws: one exception is rethrown, the others are dropped.
    CHECK_THROWS_AS(parallel_for(64, 1, [](int64_t, int64_t) { throw std::bad_alloc(); }), std::bad_alloc);
    // The chunks that nobody has begun are abandoned: all of these would take hours.
    CHECK_THROWS_AS(parallel_for(int64_t{1} << 40, 1,
                                 [](int64_t begin, int64_t) {
                                   if (begin == 100) throw std::runtime_error("chunk 100");
                                 }),
                    std::runtime_error);
    if (threads == 4) {
      std::atomic<int> arrived{0};
      parallel_for(2, 1, [&](int64_t, int64_t) {
        ++arrived;
        while (arrived < 2) std::this_thread::yield();
      });
      CHECK(arrived == 2);
    }
  }
}
