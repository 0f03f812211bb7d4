// What was read out of one completion (a model's answer), and the readers that do it.
//
// Every reader is total and linear in the length of the text: any bytes give objects and fault bits, never an
// error, and nothing in the text is ever evaluated.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace perception {

// Bits; the same numbers reach JavaScript as the `status` of a completion.
enum Fault : uint8_t {
  kFaultNone = 0,
  kFaultNoObjects = 1,  // nothing that could be read as a box or a point
  kFaultTruncated = 2,  // the text ends inside an item
  kFaultMalformed =
      4,  // an item that could not be read (missing key, wrong count of numbers, text for a number)
  kFaultInverted = 8,       // a box with x2 < x1 or y2 < y1
  kFaultNonFinite = 16,     // a coordinate that is not a finite number
  kFaultUnknownLabel = 32,  // a label that is missing or not in the vocabulary (only where labels matter)
  kFaultFormat = 64,        // the recipe's own format check failed
  kFaultLimit = 128,  // more than kMaxObjects items, or nested deeper than kMaxDepth; not all of it was read
};

inline constexpr size_t kMaxObjects = 65536;
inline constexpr int kMaxDepth = 64;  // nesting that the tolerant reader follows

enum class ObjectKind : uint8_t { kBox, kPoint, kRejected };

struct ParsedObject {
  ObjectKind kind = ObjectKind::kRejected;
  uint8_t faults = 0;  // this object's own bits
  bool has_label = false;
  int32_t label_id = -1;                     // set by readers that are given a vocabulary; -1 = not in it
  double coordinates[4] = {};                // box: x1 y1 x2 y2 as written; point: x y
  uint32_t label_begin = 0, label_size = 0;  // into ParsedCompletion::labels (UTF-8)
  uint32_t text_begin = 0, text_end = 0;     // the bytes of the completion that the object was read from
};

struct ParsedCompletion {
  std::vector<ParsedObject> objects;  // in the order of the text, rejected items included
  std::string labels;
  uint8_t faults = 0;   // all objects' bits and the completion's own
  double format = 0;    // released readers only: the value of the released format reward (0..1)
  bool failed = false;  // released readers only: the released code raises an exception here and scores 0
  // read_pr1_detection only: the released code raises here if there is any ground truth to match. Without
  // ground truth it has already returned 0.25 * format.
  bool failed_only_with_truth = false;

  void clear();
  std::string_view label(const ParsedObject& object) const;
};

// Label -> id: a table with open addressing, since every box of every answer is looked up.
class Vocabulary {
 public:
  void add(std::string_view label, int32_t id);  // of a label that is there already the id is replaced
  // -1 where the label is not there. `readable`: how many bytes may be read from where the label begins.
  int32_t find(std::string_view label, size_t readable) const;
  int32_t find(std::string_view label) const { return find(label, label.size()); }
  size_t size() const { return size_; }

 private:
  // A label of up to 16 bytes is these two words, filled up with zeros; of a longer one they are a hash and
  // which of long_labels_ it is.
  struct Slot {
    static constexpr uint32_t kFree = 0xffffffff;
    uint64_t words[2] = {};
    uint32_t size = kFree;
    int32_t id = -1;
  };
  static Slot key_of(std::string_view label, size_t readable);
  // Where `label` is, or the free slot where it would be. There is one.
  size_t slot_of(std::string_view label, const Slot& key) const;

  std::vector<Slot> slots_;  // a power of two of them, at most a quarter used
  std::vector<std::string> long_labels_;
  size_t size_ = 0;
};

// The tolerant reader: every published box syntax, mixed and with prose around it. See docs/parsing.md.
void read_any(std::string_view text, ParsedCompletion& out);

// The readers of the released Perception-R1 rewards, faults included; docs/recipes.md lists those.
void read_pr1_grounding(std::string_view text, ParsedCompletion& out);
void read_pr1_detection(std::string_view text, const Vocabulary& vocabulary, ParsedCompletion& out);
void read_pr1_counting(std::string_view text, ParsedCompletion& out);

// Plain text for OCR: the answer without <think>, <answer> and chat tokens. The result points into `text` or
// `scratch`.
std::string_view read_text(std::string_view text, std::string& scratch);

}  // namespace perception
