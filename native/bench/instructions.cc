// The kernels on small fixed inputs, for scripts/instruction-counts.mjs to count their instructions:
//
//   instructions           prints the names of the kernels
//   instructions KERNEL    runs it once to fill its scratch memory, and once more inside counted()
//
// A kernel is added at the end of this file.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/advantage/group_advantages.h"
#include "core/assignment/linear_sum_assignment.h"
#include "core/base/status.h"
#include "core/base/thread_pool.h"
#include "core/geometry/iou.h"
#include "core/reward/score.h"
#include "core/text/edit_distance.h"

using namespace perception;

namespace {

// That of test/reference/random.ts.
class Generator {
 public:
  double next() {
    state_ = 1664525 * state_ + 1013904223;
    return state_ * 0x1p-32;
  }
  int integer(int low, int high) { return low + static_cast<int>(next() * (high - low + 1)); }

 private:
  uint32_t state_ = 2026;
};

void succeed(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.message().c_str());
  std::exit(1);
}

std::vector<int32_t> even_offsets(int32_t count, int32_t size) {
  std::vector<int32_t> offsets;
  for (int32_t i = 0; i <= count; ++i) offsets.push_back(i * size);
  return offsets;
}

std::vector<float> uniform(int64_t count) {
  Generator random;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(random.next());
  return values;
}

std::vector<float> boxes(int64_t count, Generator& random) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    const auto x = static_cast<float>(800 * random.next()), y = static_cast<float>(800 * random.next());
    values.insert(values.end(), {x, y, x + static_cast<float>(10 + 190 * random.next()),
                                 y + static_cast<float>(10 + 190 * random.next())});
  }
  return values;
}

// A kernel with its data.
using Work = std::function<void()>;

Work iou(int32_t problems, int32_t size, IouKind kind) {
  Generator random;
  std::vector<float> a = boxes(problems * size, random), b = boxes(problems * size, random);
  std::vector<float> out(static_cast<size_t>(problems * size * size));
  return [=, offsets = even_offsets(problems, size),
          out_offsets = even_offsets(problems, size * size)]() mutable {
    succeed(pairwise_iou_batch(a, offsets, b, offsets, kind, BoxFormat::kXyxy, out_offsets, out));
  };
}

Work distance(int32_t size, PointMetric metric) {
  std::vector<float> points = uniform(2 * size), out(static_cast<size_t>(size * size));
  return [=]() mutable { succeed(pairwise_distance(points, points, metric, out)); };
}

template <class T>
Work assignment(int32_t problems, int32_t rows, int32_t columns) {
  const std::vector<float> values = uniform(problems * rows * columns);
  const auto count = static_cast<size_t>(problems);
  return [=, costs = std::vector<T>(values.begin(), values.end()),
          offsets = even_offsets(problems, rows * columns), row_offsets = even_offsets(problems, rows),
          heights = std::vector<int32_t>(count, rows), widths = std::vector<int32_t>(count, columns),
          column_of_row = std::vector<int32_t>(count * static_cast<size_t>(rows)),
          totals = std::vector<double>(count)]() mutable {
    succeed(linear_sum_assignment_batch<T>(costs, offsets, heights, widths, false, row_offsets, column_of_row,
                                           totals));
  };
}

Work advantages(int32_t groups, int32_t size) {
  const auto count = static_cast<size_t>(groups);
  std::vector<float> rewards = uniform(groups * size), out = rewards, mean(count), std(count);
  return [=, offsets = even_offsets(groups, size)]() mutable {
    succeed(group_advantages(rewards, offsets, {}, out, mean, std));
  };
}

struct Texts {
  std::vector<uint8_t> bytes;
  std::vector<int32_t> offsets = {0};

  void add(const std::string& text) {
    bytes.insert(bytes.end(), text.begin(), text.end());
    offsets.push_back(static_cast<int32_t>(bytes.size()));
  }
  PackedStrings view() const { return {bytes, offsets}; }
};

// Texts of letters, and as many with that share of the letters replaced.
Work edits(int count, int length, double errors) {
  Generator random;
  const auto letter = [&] { return static_cast<char>('a' + random.integer(0, 25)); };
  Texts a, b;
  for (int i = 0; i < count; ++i) {
    std::string text, other;
    for (int k = 0; k < length; ++k) {
      text += letter();
      other += random.next() < errors ? letter() : text.back();
    }
    a.add(text);
    b.add(other);
  }
  return [=, distances = std::vector<int32_t>(static_cast<size_t>(count))]() mutable {
    succeed(edit_distance_batch(a.view(), b.view(), distances));
  };
}

// Detections from text to advantages: 4 completions for each of `prompts`, of 20 objects.
Work detection(int prompts, Reader reader) {
  constexpr int kObjects = 20, kGroup = 4;
  Recipe recipe;
  recipe.task = Task::kDetection;
  recipe.reader = reader;
  recipe.terms = {
      {Term::kFormat, 0.25}, {Term::kF1, 0.75}, {Term::kClass, 1}, {Term::kIou, 1}, {Term::kMissing, -0.5}};
  recipe.cost_l1 = 5;
  recipe.cost_giou = 2;
  recipe.cost_class = 1;
  recipe.min_iou = 0.5;
  recipe.classes = 2;
  Vocabulary vocabulary;
  vocabulary.add("dog", 0);
  vocabulary.add("cat", 1);

  Generator random;
  Texts completions;
  std::vector<double> truth;
  std::vector<int32_t> labels;
  for (int prompt = 0; prompt < prompts; ++prompt) {
    for (int k = 0; k < kObjects; ++k) {
      const int x = random.integer(0, 500), y = random.integer(0, 300);
      for (const int value : {x, y, x + random.integer(20, 140), y + random.integer(20, 140)})
        truth.push_back(value);
      labels.push_back(random.integer(0, 1));
    }
    for (int completion = 0; completion < kGroup; ++completion) {
      std::string text = "```json\n[";
      for (size_t k = labels.size() - kObjects; k < labels.size(); ++k) {
        text += text.back() == '[' ? "\n" : ",\n";
        text += "\t{\"bbox_2d\": [";
        for (size_t i = 4 * k; i < 4 * k + 4; ++i)
          text +=
              std::to_string(static_cast<int>(truth[i]) + random.integer(0, 6)) + (i % 4 < 3 ? ", " : "]");
        text += std::string(", \"label\": \"") + (labels[k] == 0 ? "dog" : "cat") + "\"}";
      }
      completions.add(text + "\n]\n```");
    }
  }
  const auto count = static_cast<size_t>(prompts * kGroup);
  return [=, offsets = even_offsets(prompts, kObjects), groups = even_offsets(prompts, kGroup),
          rewards = std::vector<float>(count), terms = std::vector<float>(5 * count),
          advantages = std::vector<float>(count), status = std::vector<uint8_t>(count)]() mutable {
    ScoreRequest request;
    request.recipe = &recipe;
    request.vocabulary = &vocabulary;
    request.completions = completions.view();
    request.truth.offsets = offsets;
    request.truth.coordinates = truth;
    request.truth.labels = labels;
    request.completions_per_truth = kGroup;
    request.group_offsets = groups;
    ScoreResult result;
    result.rewards = rewards;
    result.terms = terms;
    result.advantages = advantages;
    result.status = status;
    succeed(score_batch(request, result));
  };
}

struct Kernel {
  const char* name;
  std::function<Work()> make;
};

const std::vector<Kernel> kernels = {
    {"iou 64 x (10 x 10)", [] { return iou(64, 10, IouKind::kIou); }},
    {"iou 4 x (100 x 100)", [] { return iou(4, 100, IouKind::kIou); }},
    {"giou 4 x (100 x 100)", [] { return iou(4, 100, IouKind::kGiou); }},
    {"diou 4 x (100 x 100)", [] { return iou(4, 100, IouKind::kDiou); }},
    {"ciou 4 x (100 x 100)", [] { return iou(4, 100, IouKind::kCiou); }},
    {"distance l2 200 x 200", [] { return distance(200, PointMetric::kL2); }},
    {"distance l1 200 x 200", [] { return distance(200, PointMetric::kL1); }},
    {"assignment 64 x (10 x 10)", [] { return assignment<float>(64, 10, 10); }},
    {"assignment 64 x (20 x 13)", [] { return assignment<float>(64, 20, 13); }},
    {"assignment 4 x (100 x 100)", [] { return assignment<float>(4, 100, 100); }},
    {"assignment 4 x (100 x 100), float64", [] { return assignment<double>(4, 100, 100); }},
    {"assignment 1 x (300 x 300)", [] { return assignment<float>(1, 300, 300); }},
    {"assignment 1 x (900 x 60)", [] { return assignment<float>(1, 900, 60); }},
    {"advantages 1,024 groups of 8", [] { return advantages(1024, 8); }},
    {"edit distance 8 pages of 2,000, 10 % errors", [] { return edits(8, 2000, 0.1); }},
    {"edit distance 8 pages of 2,000, unrelated", [] { return edits(8, 2000, 1); }},
    {"edit distance 256 lines of 60, 10 % errors", [] { return edits(256, 60, 0.1); }},
    {"score 32 detections, as released", [] { return detection(8, Reader::kPr1Detection); }},
    {"score 32 detections, any syntax", [] { return detection(8, Reader::kAny); }},
};

}  // namespace

// What is counted, by its name; so it must stay a function of its own.
extern "C" __attribute__((noinline)) void counted(const Work& work) {
  work();
  asm volatile("" : : : "memory");
}

int main(int argc, char** argv) {
  if (argc < 2) {
    for (const Kernel& kernel : kernels) std::puts(kernel.name);
    return 0;
  }
  set_thread_count(1);
  for (const Kernel& kernel : kernels) {
    if (std::strcmp(kernel.name, argv[1]) != 0) continue;
    const Work work = kernel.make();
    work();
    counted(work);
    return 0;
  }
  std::fprintf(stderr, "no kernel %s\n", argv[1]);
  return 1;
}
