// What this machine can do at most, for bench/harness/limits.ts to compare kernels with:
//
//   limits KIND AMOUNT THREADS    prints milliseconds, the least of many repetitions
//
//   store       writes AMOUNT bytes; past the caches too, whichever is faster
//   copy        reads AMOUNT / 2 bytes and writes as many; likewise
//   overlaps    the arithmetic of AMOUNT pairs of boxes (IoU in float32), all within the first cache
//   word-steps  AMOUNT steps of the bit-parallel edit distance (Myers 1999), independent of one another
//
// The least, not the median: whatever else runs on the machine can only make a repetition longer, and what is
// a limit must not be longer than the machine takes. For the same reason threads take small blocks from one
// another, as kernels do, so that one that has to wait for a processor holds up no other; and they wait for
// each other without sleeping.
//
// One file without dependencies, compiled for the very machine; bench/harness/limits.ts has the flags.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace {

// Keeps what was computed from being left out.
template <class T>
void use(const T& value) {
  asm volatile("" : : "r"(&value) : "memory");
}

#if defined(__AVX512F__)
constexpr size_t kVector = 16;
void stream(float* out, __m512 value) { _mm512_stream_ps(out, value); }
__m512 loaded(const float* in) { return _mm512_load_ps(in); }
#elif defined(__AVX__)
constexpr size_t kVector = 8;
void stream(float* out, __m256 value) { _mm256_stream_ps(out, value); }
__m256 loaded(const float* in) { return _mm256_load_ps(in); }
#elif defined(__SSE2__)
constexpr size_t kVector = 4;
void stream(float* out, __m128 value) { _mm_stream_ps(out, value); }
__m128 loaded(const float* in) { return _mm_load_ps(in); }
#endif

void store(float* out, size_t count, bool past_caches) {
#ifdef __SSE2__
  if (past_caches) {
    alignas(64) float ones[16];
    std::fill_n(ones, 16, 1.0f);
    const auto value = loaded(ones);
    for (size_t i = 0; i < count; i += kVector) stream(out + i, value);
    return;
  }
#endif
  std::fill_n(out, count, 1.0f);
}

void copy(const float* in, float* out, size_t count, bool past_caches) {
#ifdef __SSE2__
  if (past_caches) {
    for (size_t i = 0; i < count; i += kVector) stream(out + i, loaded(in + i));
    return;
  }
#endif
  std::copy_n(in, count, out);
}

struct Boxes {
  static constexpr int kCount = 1024;
  alignas(64) float x1[kCount], y1[kCount], x2[kCount], y2[kCount], area[kCount];

  Boxes() {
    for (int j = 0; j < kCount; ++j) {
      x1[j] = y1[j] = static_cast<float>(j);
      x2[j] = y2[j] = x1[j] + 100;
      area[j] = 10000;
    }
  }
};

void overlaps(const Boxes& boxes, int64_t pairs) {
  alignas(64) float out[Boxes::kCount];
  for (int64_t done = 0; done < pairs; done += Boxes::kCount) {
    const auto x = static_cast<float>(done % 97);
    for (int j = 0; j < Boxes::kCount; ++j) {
      const float width = std::max(0.0f, std::min(x + 100, boxes.x2[j]) - std::max(x, boxes.x1[j]));
      const float height = std::max(0.0f, std::min(x + 100, boxes.y2[j]) - std::max(x, boxes.y1[j]));
      const float common = width * height;
      out[j] = common / (10000 + boxes.area[j] - common);
    }
    use(out);
  }
}

using Lanes = uint64_t __attribute__((vector_size(64)));

// For each of some columns which of its characters match.
struct Matches {
  static constexpr int kWords = 4, kColumns = 64;
  Lanes words[kColumns][kWords];

  Matches() {
    for (int i = 0; i < kColumns; ++i)
      for (int w = 0; w < kWords; ++w)
        words[i][w] = Lanes{} + 0x9E3779B97F4A7C15u * static_cast<uint64_t>(i + w);
  }
};

void word_steps(const Matches& matches, int64_t steps) {
  // Eight columns at once, each in a lane of a vector, down the words of which each hands its carries to the
  // next: enough that is independent to hide how long a step takes.
  constexpr int kLanes = 8, kWords = Matches::kWords, kColumns = Matches::kColumns;
  Lanes positive[kWords], negative[kWords];
  for (int w = 0; w < kWords; ++w) {
    positive[w] = ~Lanes{};
    negative[w] = Lanes{};
  }
  for (int64_t done = 0; done < steps; done += kLanes * kWords * kColumns) {
    for (int i = 0; i < kColumns; ++i) {
      Lanes carry_up = Lanes{} + 1, carry_down = Lanes{};
      for (int w = 0; w < kWords; ++w) {
        const Lanes equal = matches.words[i][w] | carry_down;
        const Lanes diagonal = (((equal & positive[w]) + positive[w]) ^ positive[w]) | equal | negative[w];
        const Lanes up = negative[w] | ~(diagonal | positive[w]), down = positive[w] & diagonal;
        const Lanes shifted_up = up << 1 | carry_up, shifted_down = down << 1 | carry_down;
        carry_up = up >> 63;
        carry_down = down >> 63;
        positive[w] = shifted_down | ~(diagonal | shifted_up);
        negative[w] = shifted_up & diagonal;
      }
      use(carry_up);
    }
    use(positive);
    use(negative);
  }
}

// Milliseconds that all of `amount` takes at least, by blocks on all threads at once: repeated for a tenth of
// a second, five times at least.
double least_time(int threads, int64_t amount, int64_t block,
                  const std::function<void(int64_t begin, int64_t size)>& work) {
  using Clock = std::chrono::steady_clock;
  std::atomic<int64_t> next = amount, left = 0;
  std::atomic<bool> over = false;
  const auto take_blocks = [&] {
    while (next < amount) {
      const int64_t begin = next.fetch_add(block);
      if (begin >= amount) return;
      const int64_t size = std::min(block, amount - begin);
      work(begin, size);
      left -= size;
    }
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread)
    others.emplace_back([&] {
      while (!over) take_blocks();
    });
  double least = std::numeric_limits<double>::infinity();
  const auto begin = Clock::now();
  for (int i = 0; i < 5 || Clock::now() - begin < std::chrono::milliseconds(100); ++i) {
    const auto start = Clock::now();
    left = amount;
    next = 0;
    take_blocks();
    while (left > 0) continue;
    least = std::min(least, std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  over = true;
  for (std::thread& other : others) other.join();
  return least;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("limits (store | copy | overlaps | word-steps) AMOUNT THREADS\n", stderr);
    return 2;
  }
  const std::string kind = argv[1];
  const int64_t amount = std::atoll(argv[2]);
  const int threads = std::atoi(argv[3]);
  if (kind == "overlaps") {
    const Boxes boxes;
    const auto work = [&](int64_t, int64_t pairs) { overlaps(boxes, pairs); };
    std::printf("%f\n", least_time(threads, amount, 1 << 15, work));
    return 0;
  }
  if (kind == "word-steps") {
    const Matches matches;
    const auto work = [&](int64_t, int64_t steps) { word_steps(matches, steps); };
    std::printf("%f\n", least_time(threads, amount, 1 << 15, work));
    return 0;
  }
  // Whole cache lines.
  const bool reads = kind == "copy";
  const int64_t count = amount / (reads ? 128 : 64) * 16;
  const auto array = [&] {
    return static_cast<float*>(std::aligned_alloc(64, static_cast<size_t>(count) * sizeof(float)));
  };
  float *const out = array(), *const in = reads ? array() : nullptr;
  if (reads) std::fill_n(in, count, 1.0f);
  double least = std::numeric_limits<double>::infinity();
  for (const bool past_caches : {false, true}) {
    const auto work = [&](int64_t begin, int64_t size) {
      if (reads)
        copy(in + begin, out + begin, static_cast<size_t>(size), past_caches);
      else
        store(out + begin, static_cast<size_t>(size), past_caches);
      use(*out);
    };
    least = std::min(least, least_time(threads, count, 1 << 14, work));
  }
  std::printf("%f\n", least);
  std::free(out);
  std::free(in);
}
