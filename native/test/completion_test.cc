#include "core/text/completion.h"

#include <cmath>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "doctest.h"

using namespace perception;

namespace {

std::string number(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

// "box 1 2 3 4 'cat'; point 5 6; rejected(malformed)", what was read in one line.
std::string describe(const ParsedCompletion& parsed) {
  static const char* const kNames[] = {"none",     "truncated", "malformed", "inverted",
                                       "infinite", "label",     "format",    "limit"};
  std::string text;
  for (const ParsedObject& object : parsed.objects) {
    if (!text.empty()) text += "; ";
    const size_t count = object.kind == ObjectKind::kBox ? 4 : object.kind == ObjectKind::kPoint ? 2 : 0;
    text += count == 4 ? "box" : count == 2 ? "point" : "rejected";
    for (size_t i = 0; i < count; ++i) text += " " + number(object.coordinates[i]);
    if (object.has_label) text += " '" + std::string(parsed.label(object)) + "'";
    for (int bit = 0; bit < 8; ++bit) {
      if ((object.faults >> bit & 1) != 0) text += std::string(" !") + kNames[bit];
    }
  }
  return text;
}

ParsedCompletion any(std::string_view text) {
  ParsedCompletion parsed;
  read_any(text, parsed);
  return parsed;
}

ParsedCompletion grounding(std::string_view text) {
  ParsedCompletion parsed;
  read_pr1_grounding(text, parsed);
  return parsed;
}

ParsedCompletion counting(std::string_view text) {
  ParsedCompletion parsed;
  read_pr1_counting(text, parsed);
  return parsed;
}

const Vocabulary& vocabulary() {
  static const Vocabulary words = [] {
    Vocabulary result;
    result.add("person", 1);
    result.add("cat", 17);
    result.add("\xF0\x9F\x98\x80", 5);  // U+1F600
    return result;
  }();
  return words;
}

ParsedCompletion detection(std::string_view text) {
  ParsedCompletion parsed;
  read_pr1_detection(text, vocabulary(), parsed);
  return parsed;
}

std::string repeat(std::string_view word, size_t size) {
  std::string text;
  while (text.size() < size) text += word;
  return text;
}

struct Case {
  std::string text;
  const char* objects;
  int faults;
};

void check_any(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const ParsedCompletion parsed = any(c.text);
    CHECK(describe(parsed) == c.objects);
    CHECK(int{parsed.faults} == c.faults);
    CHECK(parsed.format == 0);
    CHECK_FALSE(parsed.failed);
  }
}

}  // namespace

TEST_CASE("vocabulary") {
  CHECK(vocabulary().size() == 3);
  CHECK(vocabulary().find("cat") == 17);
  CHECK(vocabulary().find("Cat") == -1);
  CHECK(vocabulary().find("") == -1);
}

TEST_CASE("read_any: nothing to read") {
  check_any({
      {"", "", kFaultNoObjects},
      {"I see 3 cats, at 10, 20.", "", kFaultNoObjects},
      {"it's [a], \"b\" (c) {d, e} <f> 5 > 4 }]) <|im_end|>", "", kFaultNoObjects},
      {"[] () [1] (1,2,3) [1,2,3,4,5] [[]]", "", kFaultNoObjects},
  });
}

TEST_CASE("read_any: Qwen2-VL tokens") {
  const std::string dog = "<|object_ref_start|> the dog\n<|object_ref_end|>";
  check_any({
      {dog + "<|box_start|>(1,2),(3,4)<|box_end|><|im_end|>", "box 1 2 3 4 'the dog'", 0},
      {dog + "<|box_start|>(1,2),(3,4)<|box_end|><|box_start|>(5,6)<|box_end|>",
       "box 1 2 3 4 'the dog'; point 5 6 'the dog'", 0},
      {dog + "<|box_start|>(1,2),(3,4)<|box_end|>, <|object_ref_start|>cat<|object_ref_end|>"
             "<|box_start|>(5,6),(7,8)<|box_end|>",
       "box 1 2 3 4 'the dog'; box 5 6 7 8 'cat'", 0},
      {"<|box_start|> ( 1 , 2 ) , ( 3 , 4 ) <|box_end|>", "box 1 2 3 4", 0},
      {"<|box_start|>[1,2,3,4]<|box_end|><|box_start|>(1,2,3,4)<|box_end|>", "box 1 2 3 4; box 1 2 3 4", 0},
      {"<|box_start|>(9,2),(3,4)<|box_end|>", "box 9 2 3 4 !inverted", kFaultInverted},
      {"<|box_start|>(1,2)(3,4)<|box_end|>(5,6),(7,8)", "rejected !malformed; box 5 6 7 8", kFaultMalformed},
      {"<|box_start|>[1,2]<|box_end|>", "rejected !malformed", kFaultMalformed | kFaultNoObjects},
      {"<|box_start|><|box_end|>", "rejected !malformed", kFaultMalformed | kFaultNoObjects},
      {"<|box_start|>(1,2),(3,4),(5,6)<|box_end|>", "rejected !malformed", kFaultMalformed | kFaultNoObjects},
      {"<|box_start|>(1,2),(3,1e999)<|box_end|>", "rejected !infinite", kFaultNonFinite | kFaultNoObjects},
      {dog + "<|box_start|>(1,2),(3,4)", "rejected 'the dog' !truncated", kFaultTruncated | kFaultNoObjects},
      {"<|box_start|>(1,2),(3", "rejected !truncated", kFaultTruncated | kFaultNoObjects},
      {"<|box_start|>", "rejected !truncated", kFaultTruncated | kFaultNoObjects},
      {"<|box_start|>(1,2),(3,4)<|box_start|>(5,6),(7,8)<|box_end|>", "rejected !malformed; box 5 6 7 8",
       kFaultMalformed},
      {"<|box_start|>(1,2)" + dog + "<|box_start|>(5,6)<|box_end|>",
       "rejected !malformed; point 5 6 'the dog'", kFaultMalformed},
      {"<|object_ref_start|>cat", "", kFaultTruncated | kFaultNoObjects},
      {"<|object_ref_start|>cat<|box_start|>(5,6)<|box_end|>", "point 5 6", 0},
  });
}

TEST_CASE("read_any: JSON") {
  const std::string cat = R"({"bbox_2d": [1, 2, 3, 4], "label": "cat"})";
  check_any({
      {"[" + cat + "]", "box 1 2 3 4 'cat'", 0},
      {"```json\n[\n\t" + cat + ",\n\t" + cat + "\n]\n```", "box 1 2 3 4 'cat'; box 1 2 3 4 'cat'", 0},
      {"Here: " + cat + " and " + cat + ".", "box 1 2 3 4 'cat'; box 1 2 3 4 'cat'", 0},
      {R"({"objects": [)" + cat + R"(], "count": 1})", "box 1 2 3 4 'cat'", 0},
      {R"({"a": {"b": [[)" + cat + R"(]]}})", "box 1 2 3 4 'cat'", 0},
      {R"({"point_2d": [1.5, -2], "label": "x"})", "point 1.5 -2 'x'", 0},
      {R"({"point_2d": [5, 6], "label": "x", "bbox_2d": [1,2,3,4]})", "box 1 2 3 4 'x'; point 5 6 'x'", 0},
      {R"([{'bbox_2d': [1,2,3,4], 'label': 'teddy bear's',},])", "box 1 2 3 4 'teddy bear's'", 0},
      {R"({'label': "it's", "bbox_2d": (1,2,3,4,)})", "box 1 2 3 4 'it's'", 0},
      {R"({"bbox_2d": [1,2,3,4], "label": "a\"b\\c\/\n\u00e9\ud83d\ude00\q"})",
       "box 1 2 3 4 'a\"b\\c/\n\xC3\xA9\xF0\x9F\x98\x80\\q'", 0},
      {R"({"\u0062box_2d": [1,2,3,4]})", "box 1 2 3 4", 0},
      {R"x({"bbox_2d": [1,2,3,4], "label": "} [{, (1,2)"})x", "box 1 2 3 4 '} [{, (1,2)'", 0},
      {R"({"bbox_2d": [1,2,3,4], "label": 5})", "box 1 2 3 4", 0},
      {R"({"bbox_2d": [1,2,3,4], "label": "a", "label": null})", "box 1 2 3 4", 0},
      {R"({"bbox_2d": [9,9,9,9], "bbox_2d": [1,2,3,4]})", "box 1 2 3 4", 0},
      {R"({"bbox_2d": [1,2,3,4], "bbox_2d": [1,2,3]})", "rejected !malformed",
       kFaultMalformed | kFaultNoObjects},
      {R"({"bbox_2d": [1,2,3,4], "score": 0.5, "ok": true, "tags": ["a", "b"]})", "box 1 2 3 4", 0},
      {R"({"bbox_2d": [4,2,3,4]})", "box 4 2 3 4 !inverted", kFaultInverted},
      {R"({"bbox_2d": [+1,.5,5.,1e2]})", "box 1 0.5 5 100", 0},
      {R"([{"bbox_2d": [1,2,NaN,4]}, {"bbox_2d": [1,2,-Infinity,4]}, {"bbox_2d": [1,2,3,1e400]}])",
       "rejected !infinite; rejected !infinite; rejected !infinite", kFaultNonFinite | kFaultNoObjects},
      {R"({"bbox_2d": null, "point_2d": [1, 2]})", "point 1 2", 0},
      {R"({"bbox_2d": [1], "point_2d": [1, 2]})", "point 1 2", kFaultMalformed},
  });
  const std::vector<std::string> malformed = {
      "{}",
      R"({"label": "cat"})",
      R"({"bbox": [1,2,3,4], "label": "cat"})",
      R"({"bbox_2d": ["1","2","3","4"]})",
      R"({"bbox_2d": [1,2,3]})",
      R"({"bbox_2d": [1,2,3,4,5]})",
      R"({"bbox_2d": [[1,2],[3,4]]})",
      R"({"bbox_2d": [1,2,null,4]})",
      R"({"bbox_2d": [1,2,true,4]})",
      R"({"bbox_2d": "1,2,3,4"})",
      R"({"bbox_2d": {"x": 1}})",
      R"({"bbox_2d": 5})",
      R"({"bbox_2d": null})",
      R"({"point_2d": [1,2,3]})",
      R"({"bbox_2d": [1 2 3 4]})",
  };
  for (const std::string& text : malformed) {
    CAPTURE(text);
    const ParsedCompletion parsed = any("[" + text + ", " + cat + "]");
    REQUIRE(parsed.objects.size() == 2);
    CHECK(parsed.objects[0].kind == ObjectKind::kRejected);
    CHECK(parsed.objects[0].faults == kFaultMalformed);
    CHECK(parsed.objects[0].text_begin == 1);
    CHECK(parsed.objects[0].text_end == 1 + text.size());
    CHECK(parsed.objects[1].kind == ObjectKind::kBox);
    CHECK(parsed.faults == kFaultMalformed);
  }
}

TEST_CASE("read_any: nested objects") {
  check_any({
      {R"({"bbox_2d": [1,2,3,4], "parts": [{"bbox_2d": [5,6,7,8]}]})", "box 1 2 3 4; box 5 6 7 8", 0},
      {R"({"parts": [{"bbox_2d": [5,6,7,8]}], "bbox_2d": [1,2,3,4]})", "box 1 2 3 4; box 5 6 7 8", 0},
      {R"({"bbox_2d": [1,2,3], "parts": [{"bbox_2d": [5,6,7,8]}]})", "rejected !malformed; box 5 6 7 8",
       kFaultMalformed},
      {R"({"objects": [{"a": 1}, {"bbox_2d": [5,6,7,8]}]})", "rejected !malformed; box 5 6 7 8",
       kFaultMalformed},
      {R"({"a": {x, {"bbox_2d": [5,6,7,8]}}})", "box 5 6 7 8", 0},
  });
}

TEST_CASE("read_any: a cut tail keeps every closed object") {
  const std::string full =
      R"([{"bbox_2d": [1, 2, 3, 4], "label": "cat"}, {"bbox_2d": [5, 6, 7, 8], "label": "dog"}])";
  const size_t first_end = full.find('}') + 1;
  const size_t second = full.find('{', first_end), second_end = full.find('}', second) + 1;
  for (size_t size = 0; size <= full.size(); ++size) {
    CAPTURE(full.substr(0, size));
    const ParsedCompletion parsed = any(full.substr(0, size));
    const bool in_first = size > 1 && size < first_end;
    const bool in_second = size > second && size < second_end;
    size_t boxes = 0, cut = 0;
    for (const ParsedObject& object : parsed.objects) {
      boxes += object.kind == ObjectKind::kBox;
      cut += object.kind == ObjectKind::kRejected && object.faults == kFaultTruncated;
    }
    CHECK(boxes == (size >= second_end ? 2u : size >= first_end ? 1u : 0u));
    CHECK(cut == (in_first || in_second ? 1u : 0u));
    CHECK(parsed.objects.size() == boxes + cut);
    CHECK(((parsed.faults & kFaultTruncated) != 0) == (in_first || in_second));
    CHECK(((parsed.faults & kFaultNoObjects) != 0) == (boxes == 0));
    CHECK((parsed.faults & kFaultMalformed) == 0);
  }
  check_any({
      {R"({"objects": [{"bbox_2d": [1,2,3,4]},)", "box 1 2 3 4", kFaultTruncated},
      {R"({"bbox_2d": {"x1": 1)", "rejected !truncated", kFaultTruncated | kFaultNoObjects},
      {"{", "rejected !truncated", kFaultTruncated | kFaultNoObjects},
      {R"([{'bbox_2d': [1,2,3,4]}, {'label': 'ca)", "box 1 2 3 4; rejected !truncated", kFaultTruncated},
  });
}

TEST_CASE("read_any: bare lists") {
  check_any({
      {"[1, 2, 3, 4]", "box 1 2 3 4", 0},
      {"(1,2,3,4) and [5,6,7,8]", "box 1 2 3 4; box 5 6 7 8", 0},
      {"(1,2),(3,4)", "box 1 2 3 4", 0},
      {"(1,2) ,\n (3,4)", "box 1 2 3 4", 0},
      {"((1,2),(3,4))", "box 1 2 3 4", 0},
      {"[(1,2),(3,4),(5,6)]", "box 1 2 3 4; point 5 6", 0},
      {"(1,2) (3,4)", "point 1 2; point 3 4", 0},
      {"(1,2), (3,4,5,6)", "point 1 2; box 3 4 5 6", 0},
      {"(1,2), and (3,4)", "point 1 2; point 3 4", 0},
      {"at (1,2), [3,4].", "point 1 2; point 3 4", 0},
      {"[[1,2,3,4],[5,6,7,8]]", "box 1 2 3 4; box 5 6 7 8", 0},
      {"[1,2,[3,4,5,6]]", "box 3 4 5 6", 0},
      {"[1,2,3,4)", "", kFaultNoObjects},
      {"[1,2,3,x] [1;2;3;4] [1 2 3 4] [10%, 20%]", "", kFaultNoObjects},
      {"[-1.5, +2, .5, 5.]", "box -1.5 2 0.5 5", 0},
      {"[1,2,inf,4]", "rejected !infinite", kFaultNonFinite | kFaultNoObjects},
      {"[3,2,1,4]", "box 3 2 1 4 !inverted", kFaultInverted},
      {"[", "", kFaultNoObjects},
      {"[1", "", kFaultTruncated | kFaultNoObjects},
      {"[1,2,3,4", "", kFaultTruncated | kFaultNoObjects},
      {"[1,2,3,-", "", kFaultTruncated | kFaultNoObjects},
      {"(1,2),(3", "rejected !truncated", kFaultTruncated | kFaultNoObjects},
      {"(1,2),", "point 1 2", 0},
      {"it's 5 o'clock: \"[1,2,3,4]\"", "box 1 2 3 4", 0},
  });
}

// Items laid out alike are compared rather than read (core/text/usual_items.h), so that white space alone
// decides how an answer is read, never what is read.
TEST_CASE("items laid out alike are read as they are one by one") {
  std::mt19937 random(5);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const std::vector<std::string> numbers = {"1",  "12",  "345",  "6789", "12345678", "123456789", "0",
                                            "-4", "1.5", "0.25", "12.",  "1e3",      "007",       "-0"};
  const std::vector<std::string> labels = {
      "cat", "person", "a label that is longer than a vector", "", "a`b", "```", "caf\u00e9", "\"", "\n"};
  const std::vector<std::string> spaces = {"", " ", "\n", "\n    ", "\n                        ", "\t"};
  int alike = 0;
  for (int round = 0; round < 4000; ++round) {
    CAPTURE(round);
    const bool label_first = below(3) == 0;
    const size_t items = 1 + below(9), odd = below(4) == 0 ? below(items) : items;
    const std::string fence = below(2) == 0 ? "```json\n" : "",
                      space[3] = {spaces[below(6)], spaces[below(6)], spaces[below(6)]};
    // The same items, all laid out alike and each in its own way.
    std::string same = fence + "[", different = same;
    for (size_t k = 0; k < items; ++k) {
      const auto number = [&] { return numbers[below(k == odd ? numbers.size() : 6)]; };
      const std::string values[4] = {number(), number(), number(), number()};
      const std::string label = labels[below(k == odd ? labels.size() : 4)];
      const auto item = [&](const std::string& a, const std::string& b, const std::string& c) {
        const std::string box = "\"bbox_2d\":" + b + "[" + values[0] + "," + c + values[1] + "," + c +
                                values[2] + "," + c + values[3] + a + "]";
        const std::string name = "\"label\":" + b + "\"" + label + "\"";
        return (k == 0 ? "" : "," + a) + "{" + a +
               (label_first ? name + "," + a + box : box + "," + a + name) + a + "}";
      };
      same += item(space[0], space[1], space[2]);
      different += item(spaces[(k + 1) % 6], spaces[(k + 2) % 6], spaces[(k + 3) % 6]);
    }
    const std::string end = below(8) == 0 ? "" : fence.empty() ? "]" : "]\n```";
    same += end;
    different += end;
    ParsedCompletion one, other;
    for (const bool tolerant : {false, true}) {
      if (tolerant) {
        read_any(same, one);
        read_any(different, other);
      } else {
        read_pr1_detection(same, vocabulary(), one);
        read_pr1_detection(different, vocabulary(), other);
      }
      REQUIRE(describe(one) == describe(other));
      CHECK(one.faults == other.faults);
      CHECK(one.format == other.format);
      CHECK(one.failed == other.failed);
      alike += one.objects.size() == items && items > 2;
    }
    for (const ParsedObject& object : one.objects)
      if (object.kind == ObjectKind::kBox) CHECK(same[object.text_begin] == '{');
  }
  CHECK(alike > 2000);
}

TEST_CASE("Vocabulary: labels of every length") {
  Vocabulary words;
  std::vector<std::string> labels;
  for (size_t size = 0; size < 40; ++size)
    for (const char last : {'a', 'b', '\0'}) labels.push_back(std::string(size, 'x') + last);
  for (size_t i = 0; i < labels.size(); ++i) words.add(labels[i], static_cast<int32_t>(i));
  words.add(labels[7], 1000);
  CHECK(words.size() == labels.size());
  const std::string rest = "and what follows in the text";
  for (size_t i = 0; i < labels.size(); ++i) {
    const int32_t expected = i == 7 ? 1000 : static_cast<int32_t>(i);
    CHECK(words.find(labels[i]) == expected);
    const std::string text = labels[i] + rest;
    CHECK(words.find(std::string_view(text).substr(0, labels[i].size()), text.size()) == expected);
    CHECK(words.find(text) == -1);
  }
  CHECK(Vocabulary().find("x") == -1);
}

TEST_CASE("read_any: braces and quotes of prose hide nothing") {
  const std::string cat = R"([{"bbox_2d": [1,2,3,4], "label": "cat"}])";
  for (const char* prose :
       {"set {a, b} ", "{ ", "{{ ", "} ", "{1: 2} ", "{\"a\", \"b\"} ", "{\"a ", "it's {a's} ", "{'tis} ",
        "\"", "'", "\" { ", "[ ", "( ", "[\" ", "{x: 'y ", "\\ ", "```json\n"}) {
    CAPTURE(prose);
    const ParsedCompletion parsed = any(prose + cat);
    REQUIRE_FALSE(parsed.objects.empty());
    const ParsedObject& object = parsed.objects.back();
    CHECK(object.kind == ObjectKind::kBox);
    CHECK(object.coordinates[3] == 4);
    CHECK(parsed.label(object) == "cat");
  }
  check_any({
      {"{bbox_2d: [1,2,3,4]}", "box 1 2 3 4", 0},
      {"{{\"bbox_2d\": [1,2,3,4]}}", "box 1 2 3 4", 0},
  });
}

TEST_CASE("read_any: think and answer") {
  check_any({
      {"<think>[9,9,9,9]</think>[1,2,3,4]", "box 1 2 3 4", 0},
      {"[1,2,3,4]<think>[9,9,9,9]</think>[5,6,7,8]<think></think>", "box 1 2 3 4; box 5 6 7 8", 0},
      {"[9,9,9,9]</think>[1,2,3,4]", "box 1 2 3 4", 0},
      {"[1,2,3,4]<think>[9,9,9,9]", "box 1 2 3 4", kFaultTruncated},
      {"<think>", "", kFaultTruncated | kFaultNoObjects},
      {"<think><answer>[9,9,9,9]</answer></think>x [8,8,8,8] <answer>[1,2,3,4]</answer> [7,7,7,7]",
       "box 1 2 3 4", 0},
      {"<answer>[1,2,3,4]</answer><answer>[9,9,9,9]</answer>", "box 1 2 3 4", 0},
      {"<answer>[1,2,3,4]", "box 1 2 3 4", kFaultTruncated},
      {"<answer>[1,2,3", "", kFaultTruncated | kFaultNoObjects},
      {"<answer>[{\"bbox_2d\": [1,2,3,4]}, {\"bb</answer> [9,9,9,9]", "box 1 2 3 4; rejected !truncated",
       kFaultTruncated},
      {"<answer>a<think>[9,9,9,9]</think>[1,2,3,4]</answer>", "box 1 2 3 4", 0},
  });
}

TEST_CASE("read_any: spans") {
  const std::string box = "<|box_start|>(1,2),(3,4)<|box_end|>", pair = "(5, 6) , (7, 8)",
                    json = R"({ "bbox_2d": [1,2,3,4] })";
  const std::string text = "<think>x</think> " + box + " so " + pair + ", " + json;
  const ParsedCompletion parsed = any(text);
  REQUIRE(parsed.objects.size() == 3);
  const std::string* expected[] = {&box, &pair, &json};
  for (size_t i = 0; i < 3; ++i) {
    const ParsedObject& object = parsed.objects[i];
    CHECK(text.substr(object.text_begin, object.text_end - object.text_begin) == *expected[i]);
  }
}

TEST_CASE("read_any: limits") {
  const ParsedCompletion many = any(repeat("(1,2) ", 6 * (kMaxObjects + 1)));
  CHECK(many.objects.size() == kMaxObjects);
  CHECK(many.faults == kFaultLimit);
  const ParsedCompletion exact = any(repeat("(1,2) ", 6 * kMaxObjects));
  CHECK(exact.objects.size() == kMaxObjects);
  CHECK(exact.faults == kFaultNone);

  // The innermost is read at any depth, and what comes after it too.
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "{\"a\":";
  deep += "{\"bbox_2d\":[1,2,3,4]}" + std::string(1000, '}') + "[5,6,7,8]";
  const ParsedCompletion nested = any(deep);
  CHECK(describe(nested) == "box 1 2 3 4; box 5 6 7 8");
  CHECK(nested.faults == kFaultLimit);
}

TEST_CASE("read_pr1_grounding") {
  struct {
    std::string text;
    const char* objects;
    double format;
    int faults;
  } const cases[] = {
      {"<|object_ref_start|>dog<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|><|im_end|>",
       "box 1 2 3 4", 1, 0},
      {"<foo", "", 1, kFaultNoObjects},
      {">", "", 1, kFaultNoObjects},
      {"im_end", "", 1, kFaultNoObjects},
      {"im_en", "", 0, kFaultFormat | kFaultNoObjects},
      {"", "", 0, kFaultFormat | kFaultNoObjects},
      {"<|endoftext|>box_start [0.1,0.2,0.3,0.4]", "box 100 200 300 400", 1, 0},
      {"[0.0019, -0.0019, 0.5, 1]", "box 1 -1 500 1000", 0, kFaultFormat},
      {"(0,0),(1,1) (0.1,0.2,0.3,0.4) [0.5,0.6,0.7,0.8]", "box 500 600 700 800", 0, kFaultFormat},
      {"(0,0),(1,1) (0.1,0.2,0.3,0.4)", "box 100 200 300 400", 0, kFaultFormat},
      {"(1,2),(3,4)", "box 1000 2000 3000 4000", 0, kFaultFormat},
      {"<|box_<|endoftext|>start|>[1,2,3,4]", "box 1 2 3 4", 1, 0},
      {"<|box_start|>[ 1,\xE3\x80\x80 2,\xC2\xA0 3,\n4\x1C]", "box 1 2 3 4", 1, 0},
      {"<|box_start|>[1 ,2,3,4] (1,2) ,(3,4) [1.,2,3,4] [+1,2,3,4] [1,2,3,4,5]", "", 1, kFaultNoObjects},
      {"<|box_start|>[[1,2,3,4]]", "box 1 2 3 4", 1, 0},
      {"<|box_start|>[3,2,1,4]", "box 3 2 1 4 !inverted", 1, kFaultInverted},
      {"<[1,2,3," + std::string(400, '9') + "]", "rejected !infinite", 1, kFaultNonFinite | kFaultNoObjects},
      {"<[1,2,3," + std::string(307, '9') + "]", "rejected !infinite", 1, kFaultNonFinite | kFaultNoObjects},
  };
  for (const auto& c : cases) {
    CAPTURE(c.text);
    const ParsedCompletion parsed = grounding(c.text);
    CHECK(describe(parsed) == c.objects);
    CHECK(parsed.format == c.format);
    CHECK(int{parsed.faults} == c.faults);
    CHECK_FALSE(parsed.failed);
  }
  const std::string text = "ab<|endoftext|>[1,<|endoftext|>2,3,4]<|endoftext|>";
  const ParsedObject object = grounding(text).objects.at(0);
  CHECK(text.substr(object.text_begin, object.text_end - object.text_begin) == "[1,<|endoftext|>2,3,4]");
}

TEST_CASE("read_pr1_detection: items") {
  const std::string cat = R"({"bbox_2d": [1, 2, 3, 4], "label": "cat"})";
  struct {
    std::string text;
    const char* objects;
    double format;
    int faults;
  } const cases[] = {
      {"[" + cat + "]", "box 1 2 3 4 'cat'", 1, 0},
      {"```json\n[" + cat + "]\n```", "box 1 2 3 4 'cat'", 1, 0},
      {"`````json`[" + cat + "]", "box 1 2 3 4 'cat'", 1, 0},
      {"[" + cat + R"(, {"bbox_2d": [1,2,3,4], "label": "unicorn"}])",
       "box 1 2 3 4 'cat'; rejected 'unicorn' !label", 0.5, kFaultUnknownLabel},
      {"[" + cat + R"(, {"bbox_2d": [1,2,3,4]}])", "box 1 2 3 4 'cat'; rejected !label", 0.5,
       kFaultUnknownLabel},
      {"[" + cat + R"(, {"bbox_2d": [1,2,3,4], "label": ["cat"]}])", "box 1 2 3 4 'cat'; rejected !label",
       0.5, kFaultUnknownLabel},
      {"[" + cat + R"(, {"label": "cat"}, 5, "x"])",
       "box 1 2 3 4 'cat'; rejected 'cat' !malformed; rejected !malformed; rejected !malformed", 0.25,
       kFaultMalformed},
      {R"([{"label": "dog", "bbox_2d": 0, "bbox_2d": [1,2,3,4], "label": "cat"}])", "box 1 2 3 4 'cat'", 1,
       0},
      {R"([{"\u0062box_2d": [true,false,3e0,4], "label": "c\u0061t"}])", "box 1 0 3 4 'cat'", 1, 0},
      {R"([{"bbox_2d": [1,2,3,4], "label": "\uD83D\uDE00"}])", "box 1 2 3 4 '\xF0\x9F\x98\x80'", 1, 0},
      {"[" + cat + R"(, {"a": [{}, [], null, NaN, -Infinity, "\ud800"]}])",
       "box 1 2 3 4 'cat'; rejected !malformed", 0.5, kFaultMalformed},
  };
  for (const auto& c : cases) {
    CAPTURE(c.text);
    const ParsedCompletion parsed = detection(c.text);
    CHECK(describe(parsed) == c.objects);
    CHECK(parsed.format == c.format);
    CHECK(int{parsed.faults} == c.faults);
    CHECK_FALSE(parsed.failed);
    CHECK_FALSE(parsed.failed_only_with_truth);
  }
  const std::string text = "`````json`[ {\"bbox_2d\": [1,2,3,4], ```\"label\": \"cat\"} ]```";
  const ParsedObject object = detection(text).objects.at(0);
  CHECK(object.label_id == 17);
  CHECK(text.substr(object.text_begin, object.text_end - object.text_begin) ==
        "{\"bbox_2d\": [1,2,3,4], ```\"label\": \"cat\"}");
}

TEST_CASE("read_pr1_detection: what json.loads refuses") {
  const std::string cat = R"({"bbox_2d": [1, 2, 3, 4], "label": "cat"})";
  const int malformed = kFaultFormat | kFaultMalformed | kFaultNoObjects;
  const int truncated = kFaultFormat | kFaultTruncated | kFaultNoObjects;
  struct {
    std::string text;
    int faults;
  } const cases[] = {
      {"", truncated},
      {" \n", truncated},
      {"[", truncated},
      {"[" + cat, truncated},
      {"[" + cat + ",", truncated},
      {"[{\"bbox_2d\": [1, 2.", truncated},
      {"[{\"bbox_2d\": [1, 2e", truncated},
      {"[{\"bbox_2d\": [1, -", truncated},
      {"[{\"la", truncated},
      {"[\"\\", truncated},
      {"[\"\\u00", truncated},
      {"[tru", truncated},
      {"[-Inf", truncated},
      {"Boxes: [" + cat + "]", malformed},
      {"````json[" + cat + "]", malformed},
      {"[" + cat + "] x", malformed},
      {"[" + cat + "]]", malformed},
      {"[" + cat + ",]", malformed},
      {"[" + cat + " " + cat + "]", malformed},
      {"[\f]", malformed},
      {"\xEF\xBB\xBF[]", malformed},
      {"[{'bbox_2d': [1,2,3,4]}]", malformed},
      {"[{\"a\" 1}]", malformed},
      {"[{\"a\":1,}]", malformed},
      {"[{1:1}]", malformed},
      {"[01]", malformed},
      {"[+1]", malformed},
      {"[.5]", malformed},
      {"[1.]", malformed},
      {"[1e]", malformed},
      {"[- 1]", malformed},
      {"[nan]", malformed},
      {"[True]", malformed},
      {"[\"\t\"]", malformed},
      {"[\"\\'\"]", malformed},
      {"[\"\\u00g0\"]", malformed},
      {"[" + std::string(4301, '1') + "]", malformed},
      {std::string(991, '[') + std::string(991, ']'), malformed},
      {"{\"objects\": [" + cat + "]}", malformed},
      {"{}", malformed},
      {"\"text\"", malformed},
      {"5", malformed},
      {"null", malformed},
  };
  for (const auto& c : cases) {
    CAPTURE(c.text);
    const ParsedCompletion parsed = detection(c.text);
    CHECK(parsed.failed);
    CHECK_FALSE(parsed.failed_only_with_truth);
    CHECK(parsed.format == 0);
    CHECK(parsed.objects.empty());
    CHECK(int{parsed.faults} == c.faults);
  }
  // Valid JSON, as deep as Python follows, but no item.
  const ParsedCompletion deep = detection(std::string(990, '[') + std::string(990, ']'));
  CHECK(deep.failed);
  CHECK(int{deep.faults} == (kFaultMalformed | kFaultNoObjects));
  CHECK(int{detection("[]").faults} == kFaultNoObjects);
  CHECK(detection("[]").failed);
}

TEST_CASE("read_pr1_detection: what torch refuses") {
  const auto with = [](const std::string& box) {
    return detection(R"([{"label": "cat", "bbox_2d": )" + box + R"(}, {"label": "person", )" +
                     R"("bbox_2d": [5, 6, 7, 8]}])");
  };
  const auto alone = [](const std::string& box) {
    return detection(R"([{"label": "cat", "bbox_2d": )" + box + "}]");
  };
  for (const char* box : {"[1,2,3]", "[]", "[[1,2,3,4]]", "[\"1\",\"2\",\"3\",\"4\"]", "null", "5", "\"x\"",
                          "{}", "[1,2,3,null]", "[1,2,3,[4]]", "[1,2,[3],4]"}) {
    CAPTURE(box);
    const ParsedCompletion parsed = with(box);
    // torch looks at no other list once the first has made the tensor empty.
    const bool empty = std::string_view(box) == "[]";
    CHECK(parsed.failed == !empty);
    CHECK(parsed.failed_only_with_truth == empty);
    CHECK(int{parsed.faults} == kFaultMalformed);
    CHECK(parsed.format == 1);
    CHECK(describe(parsed) == "rejected 'cat' !malformed; box 5 6 7 8 'person'");
  }
  for (const char* box : {"[1,2,3]", "[]", "[[1,2,3,4]]", "5", "[[],[]]", "[[],[1]]"}) {
    CAPTURE(box);
    const ParsedCompletion parsed = alone(box);
    CHECK_FALSE(parsed.failed);
    CHECK(parsed.failed_only_with_truth);
    CHECK(parsed.format == 1);
    CHECK(int{parsed.faults} == (kFaultMalformed | kFaultNoObjects));
  }
  struct {
    const char* box;
    const char* objects;
    int faults;
    bool failed, failed_only_with_truth;
  } const cases[] = {
      {"[3,2,1,4]", "box 3 2 1 4 'cat' !inverted", kFaultInverted, false, true},
      {"[1,4,3,2]", "box 1 4 3 2 'cat' !inverted", kFaultInverted, false, true},
      {"[1,2,1,2]", "box 1 2 1 2 'cat'", 0, false, false},
      {"[1.00000001,2,1,4]", "box 1 2 1 4 'cat'", 0, false, false},  // equal as float32
      {"[16777217,0,16777216,5]", "box 1.67772e+07 0 1.67772e+07 5 'cat' !inverted", kFaultInverted, false,
       true},  // int64: exact
      {"[16777217,0,16777216,5.5]", "box 1.67772e+07 0 1.67772e+07 5.5 'cat'", 0, false, false},
      {"[1,2,NaN,4]", "rejected 'cat' !infinite", kFaultNonFinite | kFaultNoObjects, false, true},
      {"[1,2,Infinity,4]", "rejected 'cat' !infinite", kFaultNonFinite | kFaultNoObjects, false, true},
      {"[1,2,1e39,4]", "rejected 'cat' !infinite", kFaultNonFinite | kFaultNoObjects, false, true},
      {"[0,0,1e30,1e30]", "rejected 'cat' !infinite", kFaultNonFinite | kFaultNoObjects, false, true},
      {"[1e-999,-0,5,4]", "box 0 0 5 4 'cat'", 0, false, false},
      {"[0,0,9223372036854775808,5]", "box 0 0 9.22337e+18 5 'cat'", kFaultNonFinite, true, false},
      {"[0,0,9223372036854775808,5.5]", "box 0 0 9.22337e+18 5.5 'cat'", 0, false, false},
      {"[false,false,true,true]", "box 0 0 1 1 'cat'", kFaultMalformed, false, true},
      {"[false,false,true,2]", "box 0 0 1 2 'cat'", 0, false, false},
  };
  for (const auto& c : cases) {
    CAPTURE(c.box);
    const ParsedCompletion parsed = alone(c.box);
    CHECK(describe(parsed) == c.objects);
    CHECK(int{parsed.faults} == c.faults);
    CHECK(parsed.failed == c.failed);
    CHECK(parsed.failed_only_with_truth == c.failed_only_with_truth);
  }
}

TEST_CASE("read_pr1_counting: format gate") {
  const std::string label = "<|object_ref_start|>a\nb<|object_ref_end|>",
                    box = "<|box_start|>(1,2),(3,4)<|box_end|>";
  for (const std::string& text :
       {label + box + "<|im_end|>", label + box + box + "<|im_end|> more < text",
        std::string("<|object_ref_start|><|object_ref_end|><|box_start|><|box_end|><|im_end|>")}) {
    CAPTURE(text);
    CHECK(counting(text).format == 1);
    CHECK((counting(text).faults & kFaultFormat) == 0);
  }
  for (const std::string& text :
       {std::string(), label + "<|im_end|>", label + box, " " + label + box + "<|im_end|>",
        label + box + " <|im_end|>", label + box + "<|endoftext|><|im_end|>",
        "<|object_ref_start|>a<b<|object_ref_end|>" + box + "<|im_end|>",
        label + "<|box_start|><<|box_end|><|im_end|>"}) {
    CAPTURE(text);
    CHECK(counting(text).format == 0);
    CHECK((counting(text).faults & kFaultFormat) != 0);
  }
}

TEST_CASE("read_pr1_counting: boxes") {
  const auto read = [](const std::string& inside) {
    return describe(counting("<|box_start|>" + inside + "<|box_end|>"));
  };
  for (const char* inside :
       {"(1,2),(3,4)", "((1,2),(3,4))", "[[1,2],[3,4]]", "[1,2],(3,4)", "(1,2,),(3,4,),",
        " \t( 1 , 2 )\t, ( 3 , 4 ) ", "[(1,2),(3,4),]", "((1),2),(3,((4)))", "(--1,+2),(- -3,4)",
        "(1.,02.0),(.3e1,40E-1)", "\r\f(1,\r2),(3,4)\f\r", "(1,2),(3,4) # here", "((((1,2),(3,4))))"}) {
    CAPTURE(inside);
    CHECK(read(inside) == "box 1 2 3 4");
  }
  for (const char* inside : {"",
                             " ",
                             "(1,2)(3,4)",
                             "(1,2)",
                             "(1,2),(3,4),(5,6)",
                             "(1,2,3),(4,5)",
                             "1,2,3,4",
                             "[1,2,3,4]",
                             "(01,2),(3,4)",
                             "(1,,2),(3,4)",
                             "(,1,2),(3,4)",
                             "(1,2),(3,4),,",
                             "(1 2),(3,4)",
                             "(1,2],(3,4)",
                             "((1,2),(3,4)",
                             "(1,2),(3,4))",
                             "(1e,2),(3,4)",
                             "(.,2),(3,4)",
                             "(1_0,2),(3,4)",
                             "(0x1,2),(3,4)",
                             "(1j,2),(3,4)",
                             "-(1,2),(3,4)",
                             "('1','2'),('3','4')",
                             "(1+1,2),(3,4)",
                             "abs(1,2),(3,4)",
                             "{1,2},{3,4}",
                             "([1],2),(3,4)",
                             "((1,),2),(3,4)",
                             "\r (1,2),(3,4)",
                             "(1,2),\r(3,4)",
                             "(1,2),(3,4)\r ",
                             "\xC2\xA0(1,2),(3,4)",
                             "__import__('os').system('false')",
                             "<|box_start|>(1,2),(3,4)"}) {
    CAPTURE(inside);
    CHECK(read(inside) == "rejected !malformed");
  }
  CHECK(read("(0,00),(0.0,-0)") == "box 0 0 0 -0");
  CHECK(read("(3,2),(1,4)") == "box 3 2 1 4 !inverted");
  CHECK(read("(1e999,2),(3,4)") == "rejected !infinite");
  CHECK(read(std::string(150, '(') + "(1,2),(3,4)" + std::string(150, ')')) == "box 1 2 3 4");
  CHECK(read(std::string(500, '(') + "(1,2),(3,4)" + std::string(500, ')')) == "rejected !malformed");

  const std::string box = "<|box_start|>(1,2),(3,4)<|box_end|>";
  CHECK(describe(counting("<|box_start|>\n" + box)) == "box 1 2 3 4");
  CHECK(describe(counting("<|box_start|>(1,2),\n(3,4)<|box_end|>" + box)) == "box 1 2 3 4");
  CHECK(describe(counting("<|box_start|>" + box + box)) == "rejected !malformed; box 1 2 3 4");
  CHECK(describe(counting("<|box_st<|endoftext|>art|>(1,2),(3,4)<|box_end|><|box_start|>(1")) ==
        "box 1 2 3 4");
  CHECK(int{counting("five").faults} == (kFaultFormat | kFaultNoObjects));
}

TEST_CASE("read_text") {
  struct {
    const char* text;
    const char* expected;
  } const cases[] = {
      {"", ""},
      {"  a <b> \n", "  a <b> \n"},
      {"<|im_e|> a <think", "<|im_e|> a <think"},
      {"<think>x</think>\n a b \n", "a b"},
      {"a<think>x</think>b", "ab"},
      {"x</think> a", "a"},
      {"a <think>x", "a"},
      {"<think>x</think>y<answer> a\nb </answer> z", "a\nb"},
      {"<answer>a", "a"},
      {" a<|im_end|>\n", "a"},
      {"<|im_start|>a<|endoftext|>b<|im_end|>", "ab"},
      {"<answer>a<|im_end|></answer>", "a"},
      {"<answer>", ""},
  };
  std::string scratch;
  for (const auto& c : cases) {
    CAPTURE(c.text);
    CHECK(read_text(c.text, scratch) == c.expected);
  }
  const std::string plain = "kept as it is ";
  CHECK(read_text(plain, scratch).data() == plain.data());
}

namespace {

void check_invariants(std::string_view text, const ParsedCompletion& parsed) {
  REQUIRE(parsed.objects.size() <= kMaxObjects);
  uint8_t faults = 0;
  size_t usable = 0;
  for (const ParsedObject& object : parsed.objects) {
    faults |= object.faults;
    usable += object.kind != ObjectKind::kRejected;
    REQUIRE(object.text_begin < object.text_end);
    REQUIRE(object.text_end <= text.size());
    REQUIRE(size_t{object.label_begin} + object.label_size <= parsed.labels.size());
    if (!object.has_label) REQUIRE(object.label_size == 0);
    for (double coordinate : object.coordinates) REQUIRE(std::isfinite(coordinate));
    const double* box = object.coordinates;
    if (object.kind == ObjectKind::kRejected) REQUIRE(object.faults != 0);
    if (object.kind == ObjectKind::kPoint) REQUIRE(object.faults == 0);
    if ((object.faults & kFaultInverted) != 0) REQUIRE((box[2] < box[0] || box[3] < box[1]));
  }
  REQUIRE((parsed.faults & faults) == faults);
  REQUIRE(((parsed.faults & kFaultNoObjects) != 0) == (usable == 0));
  REQUIRE(parsed.labels.size() <= 4 * text.size());
  REQUIRE(parsed.format >= 0);
  REQUIRE(parsed.format <= 1);
  REQUIRE_FALSE((parsed.failed && parsed.failed_only_with_truth));
}

void check_readers(std::string_view text, ParsedCompletion& parsed) {
  read_any(text, parsed);
  check_invariants(text, parsed);
  for (size_t i = 1; i < parsed.objects.size(); ++i) {
    REQUIRE(parsed.objects[i - 1].text_begin <= parsed.objects[i].text_begin);
  }
  read_pr1_grounding(text, parsed);
  check_invariants(text, parsed);
  read_pr1_detection(text, vocabulary(), parsed);
  check_invariants(text, parsed);
  read_pr1_counting(text, parsed);
  check_invariants(text, parsed);
  std::string scratch;
  REQUIRE(read_text(text, scratch).size() <= text.size());
}

const std::vector<std::string>& seeds() {
  static const std::vector<std::string> texts = {
      R"(```json
[{"bbox_2d": [1, 2, 3.5, 4e0], "label": "cat"}, {"bbox_2d": [5, 6, 7, 8], "label": "person"}]
```)",
      R"([{'bbox_2d': [1,2,3,4], 'label': 'teddy bear's'}, {'point_2d': [5,-6], 'label': 'a'},])",
      R"({"objects": [{"bbox_2d": [1,2,3,4], "parts": [{"bbox_2d": [5,6,7,8]}]}, {"a": null}]})",
      "<|object_ref_start|>dog<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|><|box_start|>"
      "(5,6)<|box_end|><|im_end|><|endoftext|>",
      "<think>a {b} [1,2]</think><answer>[1,2,3,4] (5,6),(7,8) ((9,10), (11,12))</answer>",
      "The set {a, b} isn't [\"c\"]; it's at (1, 2) and [0.5, .25, 1., NaN].",
      R"([{"bbox_2d": [true, -1, 1e400, 99999999999999999999], "label": "\u0063\ud83d\ude00"}])",
  };
  return texts;
}

}  // namespace

TEST_CASE("any mutation of any syntax keeps the invariants") {
  const std::vector<std::string> words = {"<|box_start|>",
                                          "<|box_end|>",
                                          "<|object_ref_start|>",
                                          "<|object_ref_end|>",
                                          "<think>",
                                          "</think>",
                                          "<answer>",
                                          "</answer>",
                                          "\"bbox_2d\":",
                                          "```json",
                                          "[1,2,3,4]",
                                          "(1,2)",
                                          ",",
                                          "{",
                                          "}",
                                          "\"",
                                          "'",
                                          "\\",
                                          "\n",
                                          "<|endoftext|>"};
  std::mt19937 random(20250501);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  ParsedCompletion parsed;
  for (int round = 0; round < 20000; ++round) {
    std::string text = seeds()[below(seeds().size())];
    for (size_t changes = below(6); changes > 0 && !text.empty(); --changes) {
      const size_t at = below(text.size());
      switch (below(6)) {
        case 0:
          text.resize(at);
          break;
        case 1:
          text[at] = static_cast<char>(random());
          break;
        case 2:
          text.insert(at, words[below(words.size())]);
          break;
        case 3:
          text.erase(at, 1 + below(20));
          break;
        case 4:
          text.insert(at, text.substr(below(text.size()), below(40)));
          break;
        default: {
          const std::string& other = seeds()[below(seeds().size())];
          text = text.substr(0, at) + other.substr(below(other.size()));
        }
      }
    }
    CAPTURE(text);
    check_readers(text, parsed);
  }
}

TEST_CASE("long hostile texts") {
  ParsedCompletion parsed;
  for (const char* word : {"[",
                           "(",
                           "{",
                           "'",
                           "\"",
                           "\\",
                           "<",
                           " ",
                           "1",
                           "-",
                           "}",
                           "{}",
                           "((",
                           "[1,",
                           "(1,2),",
                           "[ ",
                           "{ ",
                           "{'",
                           "{\"",
                           "{'a",
                           "{'a'",
                           "{'a':",
                           "' ",
                           "{' ",
                           "{\"bbox_2d\":",
                           "{\"bbox_2d\":[1,2,3,4],\"c\":",
                           "[{\"bbox_2d\":[",
                           "{\"label\":\"",
                           "\\u",
                           "<think>",
                           "<think></think>",
                           "</think>",
                           "<answer>",
                           "<|",
                           "<|box_start|>",
                           "<|box_start|>(1,2",
                           "<|box_start|>\n",
                           "<|box_end|>",
                           "<|object_ref_start|>",
                           "<|object_ref_start|>a<|object_ref_end|>",
                           "<|endoftext|>",
                           "```json",
                           "```",
                           "``",
                           "<|im_end|>",
                           "\xE2\x80",
                           "[1eeee",
                           "[1----",
                           "<|box_start|>((((",
                           "#\r"}) {
    CAPTURE(word);
    const std::string body = repeat(word, 100000);
    for (const char* tail : {"", ",", "',", "':", "\":", " <|box_end|>", "</answer>", "]"}) {
      CAPTURE(tail);
      check_readers(body + tail, parsed);
      check_readers("<|box_start|>" + body + tail + "<|box_end|>", parsed);
      check_readers("[{\"a\": " + body + tail, parsed);
    }
  }
}
