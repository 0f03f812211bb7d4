// What this machine can do at most, for bench/harness/limits.ts to compare kernels with:
//
//   limits KIND AMOUNT THREADS    prints milliseconds, the median of many repetitions
//
//   store       writes AMOUNT bytes; past the caches too, whichever is faster
//   copy        reads AMOUNT / 2 bytes and writes as many; likewise
//   overlaps    the arithmetic of AMOUNT pairs of boxes (IoU in float32), all within the first cache
//   word-steps  AMOUNT steps of the bit-parallel edit distance (Myers 1999), independent of one another
//
// One file without dependencies, compiled for the very machine: c++ -std=c++20 -O3 -march=native -ffast-math
// -pthread.
#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
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

void store(float* out, size_t count, bool past_caches) {
#ifdef __SSE2__
  if (past_caches) {
    const __m128 value = _mm_set1_ps(1);
    for (size_t i = 0; i + 16 <= count; i += 16)
      for (size_t k = 0; k < 16; k += 4) _mm_stream_ps(out + i + k, value);
    _mm_sfence();
    return;
  }
#endif
  std::fill_n(out, count, 1.0f);
}

void copy(const float* in, float* out, size_t count, bool past_caches) {
#ifdef __SSE2__
  if (past_caches) {
    for (size_t i = 0; i + 16 <= count; i += 16)
      for (size_t k = 0; k < 16; k += 4) _mm_stream_ps(out + i + k, _mm_load_ps(in + i + k));
    _mm_sfence();
    return;
  }
#endif
  std::copy_n(in, count, out);
}

void overlaps(int64_t pairs) {
  constexpr int kBoxes = 512;
  alignas(64) float x1[kBoxes], y1[kBoxes], x2[kBoxes], y2[kBoxes], area[kBoxes], out[kBoxes];
  for (int j = 0; j < kBoxes; ++j) {
    x1[j] = y1[j] = static_cast<float>(j);
    x2[j] = y2[j] = x1[j] + 100;
    area[j] = 10000;
  }
  for (int64_t done = 0; done < pairs; done += kBoxes) {
    const auto x = static_cast<float>(done % 97);
    for (int j = 0; j < kBoxes; ++j) {
      const float width = std::max(0.0f, std::min(x + 100, x2[j]) - std::max(x, x1[j]));
      const float height = std::max(0.0f, std::min(x + 100, y2[j]) - std::max(x, y1[j]));
      const float common = width * height;
      out[j] = common / (10000 + area[j] - common);
    }
    use(out);
  }
}

void word_steps(int64_t steps) {
  // Eight columns at once, each in a lane of a vector, down the words of which each hands its carries to the
  // next: enough that is independent to hide how long a step takes.
  using Lanes = uint64_t __attribute__((vector_size(64)));
  constexpr int kLanes = 8, kWords = 4, kRounds = 64;
  Lanes positive[kWords], negative[kWords], match[kRounds][kWords];
  for (int w = 0; w < kWords; ++w) {
    positive[w] = ~Lanes{};
    negative[w] = Lanes{};
    for (int i = 0; i < kRounds; ++i)
      match[i][w] = Lanes{} + 0x9E3779B97F4A7C15u * static_cast<uint64_t>(i + w);
  }
  for (int64_t done = 0; done < steps; done += kLanes * kWords * kRounds) {
    for (int i = 0; i < kRounds; ++i) {
      Lanes carry_up = Lanes{} + 1, carry_down = Lanes{};
      for (int w = 0; w < kWords; ++w) {
        const Lanes equal = match[i][w] | carry_down;
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

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// Milliseconds of `work(thread)` on all threads at once: repeated for a quarter of a second, five times at
// least.
double measure(int threads, const std::function<void(int)>& work) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  bool more = true;
  std::barrier gate(threads);
  const auto run = [&](int thread) {
    work(thread);
    const auto begin = Clock::now();
    while (true) {
      gate.arrive_and_wait();
      if (!more) return;
      const auto start = Clock::now();
      work(thread);
      gate.arrive_and_wait();
      if (thread != 0) continue;
      const auto now = Clock::now();
      times.push_back(std::chrono::duration<double, std::milli>(now - start).count());
      more = times.size() < 5 || now - begin < std::chrono::milliseconds(250);
    }
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
  run(0);
  for (std::thread& other : others) other.join();
  return median(times);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("limits (store | copy | overlaps | word-steps) AMOUNT THREADS\n", stderr);
    return 2;
  }
  const std::string kind = argv[1];
  const int threads = std::atoi(argv[3]);
  const int64_t share = std::atoll(argv[2]) / threads;
  if (kind == "overlaps") {
    std::printf("%f\n", measure(threads, [&](int) { overlaps(share); }));
    return 0;
  }
  if (kind == "word-steps") {
    std::printf("%f\n", measure(threads, [&](int) { word_steps(share); }));
    return 0;
  }
  // Whole cache lines for each thread.
  const bool reads = kind == "copy";
  const size_t count = static_cast<size_t>(share) / (reads ? 128 : 64) * 16;
  const auto array = [&] {
    return static_cast<float*>(std::aligned_alloc(64, count * static_cast<size_t>(threads) * sizeof(float)));
  };
  float *const out = array(), *const in = reads ? array() : nullptr;
  // Memory that was never written is all one page.
  if (reads) std::fill_n(in, count * static_cast<size_t>(threads), 1.0f);
  double least = 1e300;
  for (const bool past_caches : {false, true})
    least = std::min(least, measure(threads, [&](int thread) {
                       const size_t begin = static_cast<size_t>(thread) * count;
                       if (reads)
                         copy(in + begin, out + begin, count, past_caches);
                       else
                         store(out + begin, count, past_caches);
                       use(*out);
                     }));
  std::printf("%f\n", least);
  std::free(out);
  std::free(in);
}
