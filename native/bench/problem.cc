#include "bench/problem.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/assignment/linear_sum_assignment.h"
#include "core/base/ragged.h"
#include "core/reward/score_tensors.h"
#include "core/text/edit_distance.h"
#include "core/text/text_pairs.h"

namespace perception::bench {
namespace {

// splitmix64: quick, and the same everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}

  uint64_t next() {
    uint64_t value = state_ += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
  }
  float uniform(float low, float high) {
    return low + (high - low) * static_cast<float>(next() >> 40) * 0x1p-24f;
  }
  // In [0, end).
  int32_t below(int32_t end) {
    return static_cast<int32_t>((next() >> 32) * static_cast<uint64_t>(end) >> 32);
  }

 private:
  uint64_t state_;
};

// In an image of 1000 x 1000.
void random_box(Random& random, float* box) {
  box[0] = random.uniform(0, 700);
  box[1] = random.uniform(0, 700);
  box[2] = box[0] + random.uniform(20, 300);
  box[3] = box[1] + random.uniform(20, 300);
}

std::vector<float> random_boxes(Random& random, int64_t count) {
  std::vector<float> boxes(static_cast<size_t>(4 * count));
  for (size_t i = 0; i < boxes.size(); i += 4) random_box(random, &boxes[i]);
  return boxes;
}

std::vector<float> random_numbers(Random& random, size_t count, float low, float high) {
  std::vector<float> numbers(count);
  for (float& number : numbers) number = random.uniform(low, high);
  return numbers;
}

size_t product(std::initializer_list<int64_t> sizes) {
  int64_t result = 1;
  for (const int64_t size : sizes) result *= size;
  return static_cast<size_t>(result);
}

// "" or the first difference beyond `tolerance`, which is relative for numbers above 1. NaN differs from all.
template <class T>
std::string compare(const char* name, const std::vector<T>& received, const std::vector<T>& expected,
                    double tolerance) {
  if (received.size() != expected.size())
    return std::string(name) + ": " + std::to_string(received.size()) + " numbers, expected " +
           std::to_string(expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    if (received[i] == expected[i]) continue;
    const auto wanted = static_cast<double>(expected[i]), got = static_cast<double>(received[i]);
    if (std::abs(got - wanted) <= tolerance * std::max(1.0, std::abs(wanted))) continue;
    return std::string(name) + "[" + std::to_string(i) + "]: expected " + std::to_string(wanted) +
           ", received " + std::to_string(got);
  }
  return "";
}

template <class T>
std::string compare(const char* name, const Output<T>& output, double tolerance) {
  return compare(name, output.received, output.expected, tolerance);
}

constexpr double kTolerance = 1e-6;

class Iou : public Problem {
 public:
  Iou(uint64_t seed, IouKind kind, int64_t batch, int64_t n, int64_t m)
      : kind_(kind), batch_(batch), n_(n), m_(m), out_(product({batch, n, m})) {
    Random random(seed);
    a_.host = random_boxes(random, batch * n);
    b_.host = random_boxes(random, batch * m);
    add({&a_, &b_}, {&out_});
  }
  bool available(const Plugin& plugin) const override { return plugin.pairwise_iou; }
  double work() const override { return static_cast<double>(product({batch_, n_, m_})); }
  void solve() override {
    succeed(pairwise_iou_padded({a_.host, {}, n_}, {b_.host, {}, m_}, batch_, kind_, BoxFormat::kXyxy,
                                out_.fresh()));
  }
  void call(const Plugin& plugin) override {
    const cuda::Boxes a = {a_.device(), nullptr, n_}, b = {b_.device(), nullptr, m_};
    succeed(plugin, plugin.pairwise_iou(kDevice, &a, &b, batch_, kind_, BoxFormat::kXyxy, out_.device()));
  }
  std::string difference() const override { return compare("overlaps", out_, kTolerance); }

 private:
  const IouKind kind_;
  const int64_t batch_, n_, m_;
  Input<float> a_, b_;
  Output<float> out_;
};

// Offsets of lists of 1 to 2 * mean - 1 items; the same for every seed.
struct RaggedSizes {
  RaggedSizes(int64_t problems, int64_t mean) {
    Random random(0);
    const auto length = [&] { return 1 + random.below(static_cast<int32_t>(2 * mean - 1)); };
    for (int64_t i = 0; i < problems; ++i) {
      const int32_t n = length(), m = length();
      a.push_back(a.back() + n);
      b.push_back(b.back() + m);
      out.push_back(out.back() + n * m);
    }
  }
  std::vector<int32_t> a = {0}, b = {0}, out = {0};
};

class RaggedIou : public Problem {
 public:
  RaggedIou(uint64_t seed, IouKind kind, const RaggedSizes& sizes)
      : kind_(kind),
        problems_(static_cast<int64_t>(sizes.a.size()) - 1),
        pairs_(sizes.out.back()),
        out_(static_cast<size_t>(sizes.out.back())) {
    Random random(seed);
    a_.host = random_boxes(random, sizes.a.back());
    b_.host = random_boxes(random, sizes.b.back());
    a_offsets_.host = sizes.a;
    b_offsets_.host = sizes.b;
    out_offsets_.host = sizes.out;
    add({&a_, &b_, &a_offsets_, &b_offsets_, &out_offsets_}, {&out_});
  }
  bool available(const Plugin& plugin) const override { return plugin.pairwise_iou_ragged; }
  double work() const override { return static_cast<double>(pairs_); }
  void solve() override {
    succeed(pairwise_iou_batch(a_.host, a_offsets_.host, b_.host, b_offsets_.host, kind_, BoxFormat::kXyxy,
                               out_offsets_.host, out_.fresh()));
  }
  void call(const Plugin& plugin) override {
    succeed(plugin, plugin.pairwise_iou_ragged(kDevice, a_.device(), a_offsets_.device(), b_.device(),
                                               b_offsets_.device(), out_offsets_.device(), problems_, pairs_,
                                               kind_, BoxFormat::kXyxy, out_.device()));
  }
  std::string difference() const override { return compare("overlaps", out_, kTolerance); }

 private:
  const IouKind kind_;
  const int64_t problems_, pairs_;
  Input<float> a_, b_;
  Input<int32_t> a_offsets_, b_offsets_, out_offsets_;
  Output<float> out_;
};

class IouGradient : public Problem {
 public:
  IouGradient(uint64_t seed, IouKind kind, int64_t batch, int64_t n, int64_t m)
      : kind_(kind),
        batch_(batch),
        n_(n),
        m_(m),
        grad_a_(product({batch, n, 4})),
        grad_b_(product({batch, m, 4})) {
    Random random(seed);
    a_.host = random_boxes(random, batch * n);
    b_.host = random_boxes(random, batch * m);
    grad_.host = random_numbers(random, product({batch, n, m}), -1, 1);
    add({&a_, &b_, &grad_}, {&grad_a_, &grad_b_});
  }
  bool available(const Plugin& plugin) const override { return plugin.pairwise_iou_gradient; }
  double work() const override { return static_cast<double>(product({batch_, n_, m_})); }
  void solve() override {
    succeed(pairwise_iou_gradient({a_.host, {}, n_}, {b_.host, {}, m_}, batch_, kind_, BoxFormat::kXyxy,
                                  grad_.host, grad_a_.fresh(), grad_b_.fresh()));
  }
  void call(const Plugin& plugin) override {
    const cuda::Boxes a = {a_.device(), nullptr, n_}, b = {b_.device(), nullptr, m_};
    succeed(plugin, plugin.pairwise_iou_gradient(kDevice, &a, &b, batch_, kind_, BoxFormat::kXyxy,
                                                 grad_.device(), grad_a_.device(), grad_b_.device()));
  }
  std::string difference() const override {
    const std::string a = compare_boxes("gradient of a", grad_a_);
    return a.empty() ? compare_boxes("gradient of b", grad_b_) : a;
  }

 private:
  // Sums in another order, of summands that may cancel: relative to the greatest of the box's derivatives.
  static std::string compare_boxes(const char* name, const Output<float>& output) {
    for (size_t i = 0; i < output.expected.size(); i += 4) {
      float scale = 1e-3f;
      for (size_t k = i; k < i + 4; ++k) scale = std::max(scale, std::abs(output.expected[k]));
      for (size_t k = i; k < i + 4; ++k)
        if (!(std::abs(output.received[k] - output.expected[k]) <= kTolerance * scale))
          return std::string(name) + "[" + std::to_string(k) + "]: expected " +
                 std::to_string(output.expected[k]) + ", received " + std::to_string(output.received[k]);
    }
    return "";
  }

  const IouKind kind_;
  const int64_t batch_, n_, m_;
  Input<float> a_, b_, grad_;
  Output<float> grad_a_, grad_b_;
};

class Distance : public Problem {
 public:
  Distance(uint64_t seed, PointMetric metric, int64_t n, int64_t m)
      : metric_(metric), n_(n), m_(m), out_(product({n, m})) {
    Random random(seed);
    a_.host = random_numbers(random, product({n, 2}), 0, 1000);
    b_.host = random_numbers(random, product({m, 2}), 0, 1000);
    add({&a_, &b_}, {&out_});
  }
  bool available(const Plugin& plugin) const override { return plugin.pairwise_distance; }
  double work() const override { return static_cast<double>(product({n_, m_})); }
  void solve() override { succeed(pairwise_distance(a_.host, b_.host, metric_, out_.fresh())); }
  void call(const Plugin& plugin) override {
    succeed(plugin,
            plugin.pairwise_distance(kDevice, a_.device(), n_, b_.device(), m_, metric_, out_.device()));
  }
  std::string difference() const override { return compare("distances", out_, kTolerance); }

 private:
  const PointMetric metric_;
  const int64_t n_, m_;
  Input<float> a_, b_;
  Output<float> out_;
};

class Assignment : public Problem {
 public:
  Assignment(uint64_t seed, Costs costs, int64_t problems, int64_t rows, int64_t cols)
      : problems_(problems),
        rows_(rows),
        cols_(cols),
        column_of_row_(product({problems, rows})),
        totals_(static_cast<size_t>(problems)) {
    Random random(seed);
    if (costs == Costs::kUniform) {
      costs_.host = random_numbers(random, product({problems, rows, cols}), 0, 1);
    } else {
      const std::vector<float> a = random_boxes(random, problems * rows),
                               b = random_boxes(random, problems * cols);
      costs_.host.resize(product({problems, rows, cols}));
      succeed(pairwise_iou_padded({a, {}, rows}, {b, {}, cols}, problems, IouKind::kIou, BoxFormat::kXyxy,
                                  costs_.host));
      for (float& cost : costs_.host) cost = 1 - cost;
    }
    add({&costs_}, {&column_of_row_, &totals_});
  }
  bool available(const Plugin& plugin) const override { return plugin.linear_sum_assignment; }
  double work() const override { return static_cast<double>(problems_); }
  void solve() override {
    const auto problems = static_cast<size_t>(problems_);
    const std::vector<int32_t> rows(problems, static_cast<int32_t>(rows_)),
        cols(problems, static_cast<int32_t>(cols_));
    std::vector<int32_t> offsets = {0}, row_offsets = {0};
    for (size_t i = 0; i < problems; ++i) {
      offsets.push_back(offsets.back() + rows[i] * cols[i]);
      row_offsets.push_back(row_offsets.back() + rows[i]);
    }
    succeed(linear_sum_assignment_batch<float>(costs_.host, offsets, rows, cols, false, row_offsets,
                                               column_of_row_.fresh(), totals_.fresh()));
  }
  void call(const Plugin& plugin) override {
    cuda::CostMatrices costs{};
    costs.costs = costs_.device();
    costs.problems = problems_;
    costs.rows = rows_;
    costs.cols = cols_;
    succeed(plugin, plugin.linear_sum_assignment(kDevice, &costs, false, column_of_row_.device(),
                                                 totals_.device(), fault()));
  }
  std::string difference() const override {
    const std::string pairs = compare("columns of rows", column_of_row_, 0);
    return pairs.empty() ? compare("totals", totals_, 0) : pairs;
  }

 private:
  const int64_t problems_, rows_, cols_;
  Input<float> costs_;
  Output<int32_t> column_of_row_;
  Output<double> totals_;
};

// Advantages of groups of one size, by core.
void solve_advantages(const std::vector<float>& rewards, int64_t size, const AdvantageOptions& options,
                      std::vector<float>& advantages) {
  std::vector<int32_t> offsets;
  for (size_t end = 0; end <= rewards.size(); end += static_cast<size_t>(size))
    offsets.push_back(static_cast<int32_t>(end));
  std::vector<float> mean(offsets.size() - 1), std(offsets.size() - 1);
  succeed(group_advantages(rewards, offsets, options, advantages, mean, std));
}

class Advantages : public Problem {
 public:
  Advantages(uint64_t seed, AdvantageScale scale, int64_t groups, int64_t size)
      : groups_(groups), size_(size), advantages_(product({groups, size})) {
    options_.scale = scale;
    Random random(seed);
    rewards_.host = random_numbers(random, product({groups, size}), 0, 3);
    add({&rewards_}, {&advantages_});
  }
  bool available(const Plugin& plugin) const override { return plugin.group_advantages; }
  double work() const override { return static_cast<double>(groups_ * size_); }
  void solve() override { solve_advantages(rewards_.host, size_, options_, advantages_.fresh()); }
  void call(const Plugin& plugin) override {
    const cuda::Groups groups = {groups_, size_, nullptr, nullptr};
    succeed(plugin, plugin.group_advantages(kDevice, rewards_.device(), groups_ * size_, &groups, &options_,
                                            advantages_.device(), nullptr, nullptr, fault()));
  }
  std::string difference() const override { return compare("advantages", advantages_, kTolerance); }

 private:
  const int64_t groups_, size_;
  AdvantageOptions options_;
  Input<float> rewards_;
  Output<float> advantages_;
};

// perception-r1/grounding-strict, detection-strict and counting-strict of src/rewards/recipes.ts.
Recipe recipe_of(Task task) {
  Recipe recipe;
  recipe.task = task;
  recipe.count_faulty = true;
  switch (task) {
    case Task::kGrounding:
      recipe.terms = {{Term::kIou, 1}, {Term::kFormat, 1}};
      break;
    case Task::kDetection:
      recipe.terms = {{Term::kFormat, 0.25},
                      {Term::kF1, 0.75},
                      {Term::kClass, 1},
                      {Term::kIou, 1},
                      {Term::kMissing, -0.5}};
      recipe.clamp_low = 0;
      recipe.clamp_high = 3;
      recipe.cost_l1 = 5;
      recipe.cost_giou = 2;
      recipe.cost_class = 1;
      recipe.min_iou = 0.5;
      recipe.classes = 90;
      break;
    default:
      recipe.terms = {{Term::kCounting, 1}, {Term::kCount, 0}, {Term::kProximity, 0}, {Term::kFormat, 0}};
      recipe.clamp_low = 0;
      recipe.clamp_high = 1;
  }
  return recipe;
}

class Reward : public Problem {
 public:
  static constexpr int64_t kGroup = 8;

  Reward(uint64_t seed, Task task, int64_t completions, int64_t objects)
      : recipe_(recipe_of(task)),
        completions_(completions),
        objects_(objects),
        rewards_(static_cast<size_t>(completions)),
        terms_(recipe_.terms.size() * static_cast<size_t>(completions)),
        advantages_(static_cast<size_t>(completions)) {
    make_truth(seed);
    make_predictions(seed);
    add({&predictions_, &prediction_labels_, &truth_, &truth_labels_}, {&rewards_, &terms_, &advantages_});
  }
  bool available(const Plugin& plugin) const override { return plugin.score; }
  double work() const override { return static_cast<double>(completions_); }
  void solve() override {
    const TensorScoreRequest request = {&recipe_,
                                        {predictions_.host, prediction_labels_.host, {}, objects_},
                                        {truth_.host, truth_labels_.host, {}, objects_},
                                        completions_,
                                        kGroup};
    succeed(score_tensors(request, rewards_.fresh(), terms_.fresh()));
    solve_advantages(rewards_.expected, kGroup, options_, advantages_.fresh());
  }
  void call(const Plugin& plugin) override {
    const cuda::ScoreBatch batch = {&recipe_, objects(predictions_, prediction_labels_),
                                    objects(truth_, truth_labels_), completions_, kGroup};
    const cuda::Scores scores = {rewards_.device(), terms_.device(), advantages_.device(), nullptr, nullptr};
    succeed(plugin, plugin.score(kDevice, &batch, &options_, &scores, fault()));
  }
  std::string difference() const override {
    for (const std::string& difference :
         {compare("rewards", rewards_, kTolerance), compare("terms", terms_, kTolerance)})
      if (!difference.empty()) return difference;
    // A group of nearly equal rewards magnifies their last bits: its advantages are held to its own rewards.
    std::vector<float> expected(rewards_.received.size());
    solve_advantages(rewards_.received, kGroup, options_, expected);
    return compare("advantages", advantages_.received, expected, kTolerance);
  }

 private:
  int width() const { return recipe_.task == Task::kCounting ? 2 : 4; }
  bool labelled() const { return recipe_.task == Task::kDetection; }

  void make_truth(uint64_t seed) {
    Random random(seed);
    const int64_t count = completions_ / kGroup * objects_;
    truth_.host =
        width() == 4 ? random_boxes(random, count) : random_numbers(random, product({count, 2}), 0, 1000);
    truth_labels_.host.resize(labelled() ? static_cast<size_t>(count) : 0);
    for (int32_t& label : truth_labels_.host) label = random.below(80);
  }

  // The objects in another order, near where they are; one in eight somewhere else, one in eight mislabelled.
  void make_predictions(uint64_t seed) {
    Random random(seed + 1'000'000);
    const auto width = static_cast<size_t>(this->width());
    for (int64_t completion = 0; completion < completions_; ++completion) {
      const int64_t shift = random.below(static_cast<int32_t>(objects_));
      for (int64_t i = 0; i < objects_; ++i) {
        const auto object = static_cast<size_t>(completion / kGroup * objects_ + (i + shift) % objects_);
        float values[4];
        if (random.below(8) != 0)
          for (size_t k = 0; k < width; ++k)
            values[k] = truth_.host[object * width + k] + random.uniform(-9, 9);
        else
          random_box(random, values);
        predictions_.host.insert(predictions_.host.end(), values, values + width);
        if (labelled())
          prediction_labels_.host.push_back(random.below(8) != 0 ? truth_labels_.host[object]
                                                                 : random.below(80));
      }
    }
  }

  cuda::Objects objects(const Input<float>& values, const Input<int32_t>& labels) const {
    return {values.device(), labelled() ? labels.device() : nullptr, nullptr, objects_};
  }

  const Recipe recipe_;
  const AdvantageOptions options_;
  const int64_t completions_, objects_;
  Input<float> predictions_, truth_;
  Input<int32_t> prediction_labels_, truth_labels_;
  Output<float> rewards_, terms_, advantages_;
};

class EditDistances : public Problem {
 public:
  EditDistances(uint64_t seed, int64_t pairs, int64_t length) : distances_(static_cast<size_t>(pairs)) {
    Random random(seed);
    const auto character = [&] { return static_cast<char>(' ' + random.below(64)); };
    std::string a;
    for (int64_t pair = 0; pair < pairs; ++pair) {
      a.clear();
      std::string b;
      for (int64_t i = 0; i < length; ++i) {
        const char symbol = character();
        a += symbol;
        switch (random.below(30)) {
          case 0:
            b += character();
            break;
          case 1:
            break;
          case 2:
            b += symbol;
            b += character();
            break;
          default:
            b += symbol;
        }
      }
      append(a, a_);
      append(b, b_);
      cells_ += static_cast<double>(a.size()) * static_cast<double>(b.size());
    }
    add({&pattern_ids_, &pattern_offsets_, &text_ids_, &text_offsets_}, {&distances_});
  }
  bool available(const Plugin& plugin) const override { return plugin.edit_distance; }
  double work() const override { return cells_; }
  void solve() override { succeed(edit_distance_batch(a_.packed(), b_.packed(), distances_.fresh())); }
  void upload(const Plugin& plugin) override {
    NumberedPairs numbered;
    succeed(number_pairs(a_.packed(), b_.packed(), numbered));
    pattern_ids_.host = std::move(numbered.pattern_ids);
    pattern_offsets_.host = std::move(numbered.pattern_offsets);
    text_ids_.host = std::move(numbered.text_ids);
    text_offsets_.host = std::move(numbered.text_offsets);
    longest_pattern_ = numbered.longest_pattern;
    longest_text_ = numbered.longest_text;
    most_symbols_ = numbered.most_symbols;
    Problem::upload(plugin);
  }
  void call(const Plugin& plugin) override {
    const cuda::TextPairs pairs = {pattern_ids_.device(),
                                   pattern_offsets_.device(),
                                   text_ids_.device(),
                                   text_offsets_.device(),
                                   static_cast<int64_t>(a_.packed().size()),
                                   longest_pattern_,
                                   longest_text_,
                                   most_symbols_};
    succeed(plugin, plugin.edit_distance(kDevice, &pairs, distances_.device()));
  }
  std::string difference() const override { return compare("distances", distances_, 0); }

 private:
  struct Strings {
    std::vector<uint8_t> bytes;
    std::vector<int32_t> offsets = {0};
    PackedStrings packed() const { return {bytes, offsets}; }
  };

  static void append(const std::string& text, Strings& strings) {
    strings.bytes.insert(strings.bytes.end(), text.begin(), text.end());
    strings.offsets.push_back(static_cast<int32_t>(strings.bytes.size()));
  }

  Strings a_, b_;
  double cells_ = 0;
  int64_t longest_pattern_ = 0, longest_text_ = 0, most_symbols_ = 0;
  Input<int32_t> pattern_ids_, pattern_offsets_, text_ids_, text_offsets_;
  Output<int32_t> distances_;
};

}  // namespace

void Problem::upload(const Plugin& plugin) {
  for (Array* const input : inputs_) input->upload(plugin);
  for (OutputArray* const output : outputs_) output->upload(plugin);
  fault_ = std::make_unique<DeviceMemory>(plugin, sizeof(cuda::kNoFault));
  fault_->upload(&cuda::kNoFault);
}

double Problem::bytes() const {
  size_t result = 0;
  for (const Array* const input : inputs_) result += input->bytes();
  for (const OutputArray* const output : outputs_) result += output->bytes();
  return static_cast<double>(result);
}

void Problem::poison() {
  for (OutputArray* const output : outputs_) output->poison();
}

void Problem::download() {
  for (OutputArray* const output : outputs_) output->download();
  cuda::Fault fault = cuda::kNoFault;
  fault_->download(&fault);
  succeed(cuda::to_status(fault));
}

void Problem::forget_host() {
  for (Array* const input : inputs_) input->forget_host();
  for (OutputArray* const output : outputs_) output->forget_host();
}

std::unique_ptr<Problem> iou(uint64_t seed, IouKind kind, int64_t batch, int64_t n, int64_t m) {
  return std::make_unique<Iou>(seed, kind, batch, n, m);
}
std::unique_ptr<Problem> ragged_iou(uint64_t seed, IouKind kind, int64_t problems, int64_t mean) {
  return std::make_unique<RaggedIou>(seed, kind, RaggedSizes(problems, mean));
}
std::unique_ptr<Problem> iou_gradient(uint64_t seed, IouKind kind, int64_t batch, int64_t n, int64_t m) {
  return std::make_unique<IouGradient>(seed, kind, batch, n, m);
}
std::unique_ptr<Problem> distance(uint64_t seed, PointMetric metric, int64_t n, int64_t m) {
  return std::make_unique<Distance>(seed, metric, n, m);
}
std::unique_ptr<Problem> assignment(uint64_t seed, Costs costs, int64_t problems, int64_t rows,
                                    int64_t cols) {
  return std::make_unique<Assignment>(seed, costs, problems, rows, cols);
}
std::unique_ptr<Problem> advantages(uint64_t seed, AdvantageScale scale, int64_t groups, int64_t size) {
  return std::make_unique<Advantages>(seed, scale, groups, size);
}
std::unique_ptr<Problem> reward(uint64_t seed, Task task, int64_t completions, int64_t objects) {
  return std::make_unique<Reward>(seed, task, completions, objects);
}
std::unique_ptr<Problem> edit_distance(uint64_t seed, int64_t pairs, int64_t length) {
  return std::make_unique<EditDistances>(seed, pairs, length);
}

}  // namespace perception::bench
