#include "core/metrics/coco_files.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <span>
#include <string_view>
#include <utility>

#include "core/base/thread_pool.h"

namespace perception {
namespace {

constexpr size_t kExamples = 5;
constexpr size_t kShownBytes = 40;  // of a text in a message
constexpr int64_t kRecordsPerChunk = 16384;

// --- Problems. ---

class ProblemList {
 public:
  // `example()` is its text.
  template <class Example>
  void add(std::string_view kind, const Example& example) {
    auto found = std::find_if(problems.begin(), problems.end(),
                              [&](const CocoProblem& problem) { return problem.kind == kind; });
    if (found == problems.end()) found = problems.insert(found, {std::string(kind), 0, {}});
    if (found->examples.size() < kExamples) found->examples.push_back(example());
    ++found->count;
  }

  // Those of `others` come after.
  void merge(const ProblemList& others) {
    for (const CocoProblem& other : others.problems) {
      auto found = std::find_if(problems.begin(), problems.end(),
                                [&](const CocoProblem& problem) { return problem.kind == other.kind; });
      if (found == problems.end()) {
        problems.push_back(other);
        continue;
      }
      found->count += other.count;
      for (const std::string& example : other.examples)
        if (found->examples.size() < kExamples) found->examples.push_back(example);
    }
  }

  std::vector<CocoProblem> problems;
};

std::string text_of(double value) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

std::string quoted(std::string_view text) {
  if (text.size() <= kShownBytes) return "\"" + std::string(text) + "\"";
  size_t size = kShownBytes;
  while (size > 0 && (static_cast<uint8_t>(text[size]) & 0xC0) == 0x80) --size;  // no half of a character
  return "\"" + std::string(text.substr(0, size)) + "…\"";
}

// "image_id 42 (detection 17)"
std::string example_text(std::string_view member, const std::string& value, const char* record,
                         size_t index) {
  return std::string(member) + " " + (value.empty() ? "missing" : value) + " (" + record + " " +
         std::to_string(index) + ")";
}

// --- Values. ---

// What a member was found to be. `fault` says what it is instead of something that can be used; empty: it is
// missing.
struct Field {
  bool usable = false;
  std::string fault;

  void clear() {
    usable = false;
    fault.clear();
  }
  void set_fault(std::string text) {
    usable = false;
    fault = std::move(text);
  }
};

// Takes a value that cannot be used.
bool take_fault(JsonReader& reader, Field& field) {
  const JsonKind kind = reader.kind();
  if (kind == JsonKind::kString) {
    std::string_view text;
    if (!reader.string(text)) return false;
    field.set_fault(quoted(text));
    return true;
  }
  if (kind == JsonKind::kNumber) {
    double number;
    if (!reader.number(number)) return false;
    field.set_fault(text_of(number));
    return true;
  }
  if (kind == JsonKind::kBoolean) {
    bool value;
    if (!reader.boolean(value)) return false;
    field.set_fault(value ? "true" : "false");
    return true;
  }
  field.set_fault(json_kind_name(kind));
  return reader.skip();
}

template <class Usable>
bool take_number(JsonReader& reader, double& value, Field& field, const Usable& usable) {
  if (reader.kind() != JsonKind::kNumber) return take_fault(reader, field);
  if (!reader.number(value)) return false;
  field.usable = usable(value);
  if (!field.usable) field.set_fault(text_of(value));
  return true;
}

// Every whole number below 2^53 is a double of its own.
bool is_id(double value) {
  return value == std::floor(value) && std::abs(value) < static_cast<double>(int64_t{1} << 53);
}

bool take_id(JsonReader& reader, double& value, Field& field) {
  return take_number(reader, value, field, is_id);
}

bool take_box(JsonReader& reader, double* box, Field& field) {
  if (reader.kind() != JsonKind::kArray) return take_fault(reader, field);
  if (!reader.begin_array()) return false;
  size_t count = 0;
  bool numbers = true;
  for (; reader.next_element(); ++count) {
    double ignored;
    if (reader.kind() != JsonKind::kNumber) {
      numbers = false;
      if (!reader.skip()) return false;
    } else if (!reader.number(count < 4 ? box[count] : ignored)) {
      return false;
    }
  }
  if (!reader.status().ok()) return false;
  field.usable = numbers && count == 4 && std::isfinite(box[0]) && std::isfinite(box[1]) &&
                 std::isfinite(box[2]) && std::isfinite(box[3]) && box[2] >= 0 && box[3] >= 0;
  if (field.usable) return true;
  if (!numbers)
    field.set_fault("with something that is no number");
  else if (count != 4)
    field.set_fault("of " + std::to_string(count) + " numbers");
  else
    field.set_fault("[" + text_of(box[0]) + ", " + text_of(box[1]) + ", " + text_of(box[2]) + ", " +
                    text_of(box[3]) + "]");
  return true;
}

// 0 and 1, in Python also false and true.
bool take_flag(JsonReader& reader, uint8_t& value, Field& field) {
  if (reader.kind() == JsonKind::kBoolean) {
    bool flag;
    if (!reader.boolean(flag)) return false;
    field.usable = true;
    value = flag;
    return true;
  }
  double number = 0;
  const bool read =
      take_number(reader, number, field, [](double candidate) { return candidate == 0 || candidate == 1; });
  value = number == 1;
  return read;
}

// A text, or none where it is something else.
bool take_text(JsonReader& reader, std::optional<std::string>& text) {
  text.reset();
  if (reader.kind() != JsonKind::kString) return reader.skip();
  std::string_view value;
  if (!reader.string(value)) return false;
  text.emplace(value);
  return true;
}

bool take_size(JsonReader& reader, double& size) {
  Field field;
  const bool read =
      take_number(reader, size, field, [](double value) { return std::isfinite(value) && value >= 0; });
  if (!field.usable) size = 0;
  return read;
}

// --- Lists of records. ---

struct Record {
  double image, category;
  std::array<double, 4> box;
  double value;   // area or score
  int32_t index;  // in the file's list
  uint8_t crowd;
};

// Which records they are, and what members they need besides image_id, category_id and bbox.
struct RecordKind {
  const char* one;
  bool scored;
  const char *no_objects, *unknown_image, *unknown_category, *bad_box, *bad_value, *bad_crowd;
};
constexpr RecordKind kAnnotations = {"annotation",
                                     false,
                                     "annotations that are no objects",
                                     "annotations of unknown images",
                                     "annotations of unknown categories",
                                     "annotations without a usable bbox",
                                     "annotations without a usable area",
                                     "annotations without a usable iscrowd"};
constexpr RecordKind kDetections = {"detection",
                                    true,
                                    "detections that are no objects",
                                    "detections of unknown images",
                                    "detections of unknown categories",
                                    "detections without a usable bbox",
                                    "detections without a usable score",
                                    nullptr};

Status too_many(const CocoLimits& limits, const char* what) {
  return {Code::kTooLarge, "expected at most " + std::to_string(limits.records) + " " + what +
                               "s, received more; split the file by images"};
}

class RecordReader {
 public:
  RecordReader(JsonReader& reader, const RecordKind& kind, const CocoLimits& limits, ProblemList& problems)
      : reader_(reader), kind_(kind), limits_(limits), problems_(problems) {}

  // The list that comes next.
  Status read() {
    if (!reader_.begin_array()) return reader_.status();
    for (size_t index = 0; reader_.next_element(); ++index) {
      if (index == limits_.records) return too_many(limits_, kind_.one);
      record_.index = static_cast<int32_t>(index);
      if (reader_.kind() == JsonKind::kObject) {
        if (read_record()) keep();
      } else if (take_fault(reader_, image_)) {
        problems_.add(kind_.no_objects,
                      [&] { return example_text("received", image_.fault, kind_.one, index); });
      }
    }
    return reader_.status();
  }

  std::vector<Record> records;
  std::vector<double> ids;  // of the annotations that have one

 private:
  bool read_record() {
    image_.clear();
    category_.clear();
    box_.clear();
    value_.clear();
    crowd_.usable = true;  // missing: none
    has_value_ = has_id_ = false;
    record_.crowd = 0;
    if (!reader_.begin_object()) return false;
    for (std::string_view name; reader_.next_member(name);)
      if (!read_member(name)) return false;
    return reader_.status().ok();
  }

  bool read_member(std::string_view name) {
    const auto finite = [](double value) { return std::isfinite(value); };
    if (name == "image_id") return take_id(reader_, record_.image, image_);
    if (name == "category_id") return take_id(reader_, record_.category, category_);
    if (name == "bbox") return take_box(reader_, record_.box.data(), box_);
    if (kind_.scored) {
      if (name == "score") return take_number(reader_, record_.value, value_, finite);
      return reader_.skip();
    }
    if (name == "area") {
      has_value_ = true;
      return take_number(reader_, record_.value, value_,
                         [](double value) { return std::isfinite(value) && value >= 0; });
    }
    if (name == "iscrowd") return take_flag(reader_, record_.crowd, crowd_);
    if (name == "id") {
      if (!take_id(reader_, id_, id_field_)) return false;
      has_id_ = id_field_.usable;
      return true;
    }
    return reader_.skip();
  }

  void keep() {
    if (!image_.usable) return report(kind_.unknown_image, "image_id", image_);
    if (!category_.usable) return report(kind_.unknown_category, "category_id", category_);
    if (!box_.usable) return report(kind_.bad_box, "bbox", box_);
    if (!kind_.scored && !has_value_) {
      record_.value = record_.box[2] * record_.box[3];
      value_.usable = std::isfinite(record_.value);
      if (!value_.usable) value_.set_fault(text_of(record_.value));
    }
    if (!value_.usable) return report(kind_.bad_value, kind_.scored ? "score" : "area", value_);
    if (!crowd_.usable) return report(kind_.bad_crowd, "iscrowd", crowd_);
    records.push_back(record_);
    if (has_id_) ids.push_back(id_);
  }

  void report(const char* problem, const char* member, const Field& field) {
    problems_.add(problem, [&] {
      return example_text(member, field.fault, kind_.one, static_cast<size_t>(record_.index));
    });
  }

  JsonReader& reader_;
  const RecordKind& kind_;
  const CocoLimits& limits_;
  ProblemList& problems_;
  Record record_{};
  Field image_, category_, box_, value_, crowd_, id_field_;
  double id_ = 0;
  bool has_value_ = false, has_id_ = false;
};

// Images and categories: objects that are known by their ids. `member(item, name)` takes a member other than
// the id.
template <class Item, class TakeMember>
Status read_items(JsonReader& reader, const char* one, const std::string& no_id, const CocoLimits& limits,
                  ProblemList& problems, std::vector<Item>& items, const TakeMember& take_member) {
  if (!reader.begin_array()) return reader.status();
  Field id;
  for (size_t index = 0; reader.next_element(); ++index) {
    if (index == limits.records) return too_many(limits, one);
    id.clear();
    if (reader.kind() != JsonKind::kObject) {
      if (!take_fault(reader, id)) return reader.status();
      problems.add(no_id, [&] { return example_text("received", id.fault, one, index); });
      continue;
    }
    Item item{};
    if (!reader.begin_object()) return reader.status();
    for (std::string_view name; reader.next_member(name);)
      if (!(name == "id" ? take_id(reader, item.id, id) : take_member(item, name))) return reader.status();
    if (!reader.status().ok()) break;
    if (id.usable)
      items.push_back(std::move(item));
    else
      problems.add(no_id, [&] { return example_text("id", id.fault, one, index); });
  }
  return reader.status();
}

// --- The two files. ---

struct TruthFile {
  std::vector<CocoImage> images;
  std::vector<CocoCategory> categories;
  std::vector<Record> records;
  ProblemList problems;
};

// The first of the sorted ids that is there more than once.
Status check_unique(const char* list, std::span<const double> sorted) {
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice == sorted.end()) return {};
  const auto count = std::upper_bound(twice, sorted.end(), *twice) - twice;
  return {Code::kInvalidInput, std::string(list) + ": expected every id once, received the id " +
                                   text_of(*twice) + " " + std::to_string(count) + " times"};
}

template <class Item>
Status sort_by_id(const char* list, std::vector<Item>& items) {
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.id < b.id; });
  std::vector<double> ids;
  for (const Item& item : items) ids.push_back(item.id);
  return check_unique(list, ids);
}

Status read_truth(JsonReader& reader, const CocoLimits& limits, TruthFile& file) {
  constexpr std::array<const char*, 3> kLists = {"images", "annotations", "categories"};
  std::array<bool, 3> found{};
  const JsonKind kind = reader.kind();
  if (kind == JsonKind::kNone) return reader.status();
  if (kind != JsonKind::kObject)
    return {Code::kInvalidInput,
            "expected COCO's ground truth, {\"images\": [...], \"annotations\": [...], \"categories\": "
            "[...]}, received " +
                std::string(json_kind_name(kind)) +
                (kind == JsonKind::kArray ? "; a list of results is the other file, the detections" : "")};
  reader.begin_object();
  std::vector<double> ids;
  for (std::string_view name; reader.next_member(name);) {
    const auto list = static_cast<size_t>(std::find(kLists.begin(), kLists.end(), name) - kLists.begin());
    if (list == kLists.size()) {
      if (!reader.skip()) return reader.status();
      continue;
    }
    if (found[list])
      return {Code::kInvalidInput, "expected \"" + std::string(kLists[list]) +
                                       "\" once, received it again at byte " +
                                       std::to_string(reader.position())};
    found[list] = true;
    const JsonKind value = reader.kind();
    if (value == JsonKind::kNone) return reader.status();
    if (value != JsonKind::kArray)
      return {Code::kInvalidInput, "expected \"" + std::string(kLists[list]) + "\" to be a list, received " +
                                       json_kind_name(value) + " at byte " +
                                       std::to_string(reader.position())};
    if (list == 0) {
      PERCEPTION_RETURN_IF_ERROR(read_items(reader, "image", "images without a usable id", limits,
                                            file.problems, file.images,
                                            [&](CocoImage& image, std::string_view member) {
                                              if (member == "file_name")
                                                return take_text(reader, image.file_name);
                                              if (member == "width") return take_size(reader, image.width);
                                              if (member == "height") return take_size(reader, image.height);
                                              return reader.skip();
                                            }));
    } else if (list == 1) {
      RecordReader records(reader, kAnnotations, limits, file.problems);
      PERCEPTION_RETURN_IF_ERROR(records.read());
      file.records = std::move(records.records);
      ids = std::move(records.ids);
    } else {
      PERCEPTION_RETURN_IF_ERROR(
          read_items(reader, "category", "categories without a usable id", limits, file.problems,
                     file.categories, [&](CocoCategory& category, std::string_view member) {
                       return member == "name" ? take_text(reader, category.name) : reader.skip();
                     }));
    }
  }
  if (!reader.end()) return reader.status();
  for (size_t list = 0; list < kLists.size(); ++list)
    if (!found[list])
      return {Code::kInvalidInput,
              "expected COCO's ground truth with the lists \"images\", \"annotations\" and \"categories\", "
              "received one without \"" +
                  std::string(kLists[list]) + "\""};
  PERCEPTION_RETURN_IF_ERROR(sort_by_id("images", file.images));
  PERCEPTION_RETURN_IF_ERROR(sort_by_id("categories", file.categories));
  std::sort(ids.begin(), ids.end());
  return check_unique("annotations", ids);
}

struct ResultsFile {
  std::vector<Record> records;
  ProblemList problems;
};

Status read_results(JsonReader& reader, const CocoLimits& limits, ResultsFile& file) {
  const JsonKind kind = reader.kind();
  if (kind == JsonKind::kNone) return reader.status();
  if (kind != JsonKind::kArray)
    return {Code::kInvalidInput,
            "expected COCO's results, a list of {\"image_id\", \"category_id\", \"bbox\", \"score\"}, "
            "received " +
                std::string(json_kind_name(kind)) +
                (kind == JsonKind::kObject ? "; a ground truth is the other file" : "")};
  RecordReader records(reader, kDetections, limits, file.problems);
  PERCEPTION_RETURN_IF_ERROR(records.read());
  if (!reader.end()) return reader.status();
  file.records = std::move(records.records);
  return {};
}

// --- Records to images. ---

// Places of ids in an ascending list. Buckets of equal width, of which most have one id or none, and a binary
// search within: no list of ids makes it slow.
class Places {
 public:
  template <class Item>
  explicit Places(const std::vector<Item>& items) : starts_(items.size() + 2) {
    for (const Item& item : items) ids_.push_back(item.id);
    if (ids_.empty()) return;
    scale_ = static_cast<double>(ids_.size()) / (ids_.back() - ids_.front() + 1);
    for (const double id : ids_) ++starts_[bucket(id) + 1];
    for (size_t b = 1; b < starts_.size(); ++b) starts_[b] += starts_[b - 1];
  }

  // -1: none.
  int32_t of(double id) const {
    if (ids_.empty() || id < ids_.front() || id > ids_.back()) return -1;
    const size_t b = bucket(id);
    const auto first = ids_.begin() + starts_[b], last = ids_.begin() + starts_[b + 1];
    const auto found = std::lower_bound(first, last, id);
    return found != last && *found == id ? static_cast<int32_t>(found - ids_.begin()) : -1;
  }

 private:
  // Never goes down from one id to a greater one, and is at most the number of ids.
  size_t bucket(double id) const { return static_cast<size_t>((id - ids_.front()) * scale_); }

  std::vector<double> ids_;
  std::vector<int32_t> starts_;
  double scale_ = 0;
};

CocoObjects by_image(std::vector<Record> records, const RecordKind& kind, size_t images,
                     const Places& image_places, const Places& category_places, ProblemList& problems) {
  const auto count = static_cast<int64_t>(records.size());
  // Of each record its image, later its place in the result; -1: left out.
  std::vector<int32_t> places(records.size()), categories(records.size());
  parallel_for(count, kRecordsPerChunk, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      places[i] = image_places.of(records[i].image);
      categories[i] = category_places.of(records[i].category);
    }
  });
  CocoObjects objects;
  objects.offsets.resize(images + 1);
  for (size_t i = 0; i < records.size(); ++i) {
    const auto report = [&](const char* problem, const char* member, double id) {
      problems.add(problem, [&] {
        return example_text(member, text_of(id), kind.one, static_cast<size_t>(records[i].index));
      });
      places[i] = -1;
    };
    if (places[i] < 0)
      report(kind.unknown_image, "image_id", records[i].image);
    else if (categories[i] < 0)
      report(kind.unknown_category, "category_id", records[i].category);
    else
      ++objects.offsets[static_cast<size_t>(places[i]) + 1];
  }
  for (size_t i = 1; i <= images; ++i) objects.offsets[i] += objects.offsets[i - 1];
  std::vector<int32_t> next(objects.offsets.begin(), objects.offsets.end() - 1);
  for (int32_t& place : places)
    if (place >= 0) place = next[static_cast<size_t>(place)]++;

  const auto used = static_cast<size_t>(objects.offsets.back());
  objects.boxes.resize(4 * used);
  objects.categories.resize(used);
  objects.values.resize(used);
  if (!kind.scored) objects.crowd.resize(used);
  parallel_for(count, kRecordsPerChunk, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      if (places[i] < 0) continue;
      const auto to = static_cast<size_t>(places[i]);
      std::copy(records[i].box.begin(), records[i].box.end(), objects.boxes.begin() + 4 * to);
      objects.categories[to] = categories[i];
      objects.values[to] = records[i].value;
      if (!kind.scored) objects.crowd[to] = records[i].crowd;
    }
  });
  return objects;
}

Status named(const Status& status, const CocoSource& source) {
  if (status.ok()) return status;
  return {status.code(), source.name + ": " + status.message()};
}

}  // namespace

Status read_coco(const CocoSource& ground_truth, const std::optional<CocoSource>& results,
                 const CocoLimits& limits, CocoDataset& dataset) {
  TruthFile truth;
  ResultsFile found;
  Status truth_status, results_status;
  parallel_for(results ? 2 : 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      JsonReader reader(i == 0 ? *ground_truth.bytes : *results->bytes, limits.buffer_bytes);
      if (i == 0)
        truth_status = read_truth(reader, limits, truth);
      else
        results_status = read_results(reader, limits, found);
    }
  });
  PERCEPTION_RETURN_IF_ERROR(named(truth_status, ground_truth));
  if (results) PERCEPTION_RETURN_IF_ERROR(named(results_status, *results));

  const Places images(truth.images), categories(truth.categories);
  ProblemList problems = std::move(truth.problems);
  dataset.truth =
      by_image(std::move(truth.records), kAnnotations, truth.images.size(), images, categories, problems);
  problems.merge(found.problems);
  dataset.detections.reset();
  if (results)
    dataset.detections =
        by_image(std::move(found.records), kDetections, truth.images.size(), images, categories, problems);
  dataset.images = std::move(truth.images);
  dataset.categories = std::move(truth.categories);
  dataset.problems = std::move(problems.problems);
  return {};
}

Status load_coco(const std::string& ground_truth, const std::optional<std::string>& results,
                 CocoDataset& dataset) {
  FileSource truth_file, results_file;
  const CocoSource truth{&truth_file, "groundTruth \"" + ground_truth + "\""};
  PERCEPTION_RETURN_IF_ERROR(named(truth_file.open(ground_truth), truth));
  if (!results) return read_coco(truth, std::nullopt, {}, dataset);
  const CocoSource found{&results_file, "detections \"" + *results + "\""};
  PERCEPTION_RETURN_IF_ERROR(named(results_file.open(*results), found));
  return read_coco(truth, found, {}, dataset);
}

}  // namespace perception
