#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/json/json_reader.h"
#include "doctest.h"
#include "text_source.h"

using namespace perception;

namespace {

// Everything that a reader makes of a value, as text of one form.
bool retell(JsonReader& reader, std::string& out) {
  switch (reader.kind()) {
    case JsonKind::kObject: {
      if (!reader.begin_object()) return false;
      out += '{';
      for (std::string_view name; reader.next_member(name);) {
        out.append("<").append(name).append(">");
        if (!retell(reader, out)) return false;
      }
      out += '}';
      return reader.status().ok();
    }
    case JsonKind::kArray:
      if (!reader.begin_array()) return false;
      out += '[';
      while (reader.next_element())
        if (!retell(reader, out)) return false;
      out += ']';
      return reader.status().ok();
    case JsonKind::kString: {
      std::string_view text;
      if (!reader.string(text)) return false;
      out.append("<").append(text).append(">");
      return true;
    }
    case JsonKind::kNumber: {
      double number;
      if (!reader.number(number)) return false;
      out += std::to_string(number) + ";";
      return true;
    }
    case JsonKind::kBoolean: {
      bool value;
      if (!reader.boolean(value)) return false;
      out += value ? "T" : "F";
      return true;
    }
    case JsonKind::kNull:
      out += "0";
      return reader.skip();
    case JsonKind::kNone:
      break;
  }
  return false;
}

// What the text says, or the error.
std::string told(std::string_view text, size_t buffer = kJsonBufferBytes) {
  TextSource source(text);
  JsonReader reader(source, buffer);
  std::string out;
  if (retell(reader, out) && reader.end()) return out;
  REQUIRE(reader.status().code() == Code::kInvalidInput);
  return reader.status().message();
}

std::string skipped(std::string_view text, size_t buffer = kJsonBufferBytes) {
  TextSource source(text);
  JsonReader reader(source, buffer);
  if (reader.skip() && reader.end()) return "ok";
  return reader.status().message();
}

bool accepts(std::string_view text) { return skipped(text) == "ok"; }

double number(const std::string& text, size_t buffer = kJsonBufferBytes) {
  TextSource source(text);
  JsonReader reader(source, buffer);
  double value = 0;
  CHECK_MESSAGE(reader.number(value), text);
  CHECK_MESSAGE(reader.end(), text);
  return value;
}

const char kDocument[] =
    "\xEF\xBB\xBF { \"\": [ ] , \"a\\u00e9\\n\\\"\\\\\\/\\b\\f\\r\\t\\ud83d\\ude00 z\" : "
    "{\"b\":{},\"c\":[[],[[-0]]]},\r\n"
    "\t\"gr\xC3\xBC\xC3\x9F\":[1,-2.5, 0.125 ,3e2,4E-1,5.5e+1, 1234567890.12345,321.02, 321.0, 314.25,0,-7\n,"
    "12345678, 123456789,[0.5],8.25,true,false,null,\"s\",NaN,Infinity,-Infinity,1.5],\n"
    "\"long\": \"0123456789 0123456789 0123456789 \xE2\x82\xAC 0123456789 \\u20ac 0123456789\"} \n";

}  // namespace

TEST_CASE("JSON: a document with everything, by value") {
  CHECK(told(kDocument) ==
        "{<>[]<a\xC3\xA9\n\"\\/\b\f\r\t\xF0\x9F\x98\x80 z>{<b>{}<c>[[][[-0.000000;]]]}<gr\xC3\xBC\xC3\x9F>["
        "1.000000;-2.500000;0.125000;300.000000;0.400000;55.000000;1234567890.123450;321.020000;321.000000;"
        "314.250000;0.000000;-7.000000;12345678.000000;123456789.000000;[0.500000;]8.250000;TF0<s>nan;inf;-"
        "inf;"
        "1.500000;]<long><0123456789 0123456789 0123456789 \xE2\x82\xAC 0123456789 \xE2\x82\xAC "
        "0123456789>}");
  CHECK(skipped(kDocument) == "ok");
}

TEST_CASE("JSON: every buffer size reads and skips the same, errors and their places included") {
  const std::string whole = told(kDocument);
  for (size_t buffer = 1; buffer <= 64; ++buffer) {
    CHECK_MESSAGE(told(kDocument, buffer) == whole, buffer);
    CHECK_MESSAGE(skipped(kDocument, buffer) == "ok", buffer);
  }
  // Cut anywhere, and with a byte that does not belong there.
  const std::string_view document(kDocument, sizeof kDocument - 1);
  for (size_t cut = 3; cut < document.size(); ++cut) {
    for (const char* wrong : {"", "\x01", "}", "]", "\"", "x", ","}) {
      const std::string text = std::string(document.substr(0, cut)) + wrong;
      const std::string read = told(text), passed = skipped(text);
      if (*wrong == '\0' && cut < document.size() - 2) {
        CHECK_MESSAGE(read.find("complete") + read.find("white space") != 2 * std::string::npos, text);
        CHECK_MESSAGE(passed == read, text);
      }
      for (const size_t buffer : {1, 2, 3, 5, 8, 13, 31, 64}) {
        CHECK_MESSAGE(told(text, buffer) == read, text);
        CHECK_MESSAGE(skipped(text, buffer) == passed, text);
      }
    }
  }
}

TEST_CASE("JSON: what is accepted, and what is not") {
  for (const char* text : {"0",
                           "-0",
                           "1",
                           "-1",
                           "10",
                           "0.5",
                           "1.0",
                           "1e5",
                           "1E5",
                           "1e+5",
                           "1e-5",
                           "-1.5e-05",
                           "NaN",
                           "Infinity",
                           "-Infinity",
                           "true",
                           "false",
                           "null",
                           "\"\"",
                           "\"a\"",
                           "\"\\u0000\"",
                           "\"\\ud800\"",
                           "\"\x7F\"",
                           "[]",
                           "{}",
                           "[[]]",
                           "[{}]",
                           "{\"a\":1}",
                           "{\"a\":1,\"a\":2}",
                           "[1,2]",
                           " [ 1 , 2 ] ",
                           "\t\r\n1\n",
                           "[1,\n    2.5,\n    [3]]",
                           "\xEF\xBB\xBF{}",
                           "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18]",
                           "[0,0,0.0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]",
                           "[1.25,{\"a\":[1,2]},\"b\",2.5,3.5,4.5,5.5,6.5]"})
    CHECK_MESSAGE(accepts(text), text);
  for (const char* text : {"",
                           " ",
                           "-",
                           "+1",
                           "01",
                           "-01",
                           "00",
                           ".5",
                           "1.",
                           "1.e5",
                           "1e",
                           "1e+",
                           "1.5.5",
                           "--1",
                           "0x10",
                           "1_0",
                           "nan",
                           "inf",
                           "infinity",
                           "-NaN",
                           "+Infinity",
                           "Inf",
                           "Na",
                           "tru",
                           "True",
                           "truex",
                           "nul",
                           "none",
                           "'a'",
                           "\"",
                           "\"a",
                           "\"\\\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12g4\"",
                           "\"\x01\"",
                           "\"\n\"",
                           "\"\\",
                           "[",
                           "]",
                           "[1",
                           "[1,",
                           "[1,]",
                           "[,1]",
                           "[1 2]",
                           "[1}",
                           "[1:2]",
                           "{",
                           "}",
                           "{\"a\"",
                           "{\"a\":",
                           "{\"a\":1",
                           "{\"a\":1,",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{1:1}",
                           "{\"a\" 1}",
                           "{\"a\",1}",
                           "{\"a\":1 \"b\":2}",
                           "{\"a\":1]",
                           "{,}",
                           "1 2",
                           "[] []",
                           "{}x",
                           "[1]]",
                           "\xEF\xBB{}",
                           "\xFE\xFF",
                           "{} \xEF\xBB\xBF",
                           "/* */ 1",
                           "[1 // \n]",
                           "[01,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]",
                           "[1.,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]",
                           "[-,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]",
                           "[1,,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]",
                           "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,]",
                           "[1.5 2.5,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]"}) {
    CHECK_MESSAGE(!accepts(text), text);
    CHECK_MESSAGE(told(text) == skipped(text), text);
  }
  CHECK(!accepts(std::string_view("[1\0]", 4)));
  CHECK(!accepts(std::string_view("\"a\0\"", 4)));
  CHECK(!accepts(std::string_view("\"\\\0\"", 4)));
}

TEST_CASE("JSON: what errors say") {
  CHECK(told("") == "expected a JSON value, received nothing: it is empty");
  CHECK(told(" \n") == "expected a JSON value, received nothing but white space");
  CHECK(told("<html>") == "expected a JSON value, received '<' at byte 0");
  CHECK(told("[1, \x02]") == "expected a JSON value, received byte 0x02 at byte 4");
  CHECK(told("\x1F\x8B\x08") == "expected JSON, received data packed by gzip: unpack it first");
  CHECK(told("[1;2]") == "expected ',' or ']', received ';' at byte 2");
  CHECK(told("{\"a\":1;}") == "expected ',' or '}', received ';' at byte 6");
  CHECK(told("{\"a\";1}") == "expected ':', received ';' at byte 4");
  CHECK(told("{1}") == "expected a member's name or '}', received '1' at byte 1");
  CHECK(told("{\"a\":1,}") == "expected a member's name, received '}' at byte 7");
  CHECK(told("[1.5e]") == "expected a number, received 1.5e at byte 1");
  CHECK(told("[nulL]") == "expected null, received 'L' at byte 4");
  CHECK(told("[1] x") == "expected the end of the text, received 'x' at byte 4");
  CHECK(told("[\"a\\q\"]") == "expected a JSON escape such as \\n or \\u00e9, received 'q' at byte 4");
  CHECK(told("[\"a\nb\"]") == "expected a string without control characters, received byte 0x0a at byte 3");
  CHECK(told("[1, 2") == "it ends at byte 5, in the middle of a list: it is not complete");
  CHECK(told("[{\"a\":1") == "it ends at byte 7, in the middle of an object: it is not complete");
  CHECK(told("[\"abc") == "it ends at byte 5, in the middle of a string: it is not complete");
  CHECK(told("[-") == "it ends at byte 2, in the middle of a number: it is not complete");
  CHECK(told("[tr") == "it ends at byte 3, in the middle of a word: it is not complete");
  for (const char* text :
       {"[\"\xFF\"]", "[\"\xC3\"]", "[\"\xED\xA0\x80\"]", "[\"\xC0\xAF\"]", "[\"\xE2\x82\"]"}) {
    CHECK(told(text) == "expected a string in UTF-8, received other bytes in the one at byte 1");
    CHECK(skipped(text) == "ok");
  }
  CHECK(told("[\"\xEF\xBF\xBD\"]") == "[<\xEF\xBF\xBD>]");
  CHECK(told("[1.5, \"a\"]").find("<a>") != std::string::npos);
}

TEST_CASE("JSON: the wrong function for a value is an error that says so") {
  const auto wrong = [](const auto& call) {
    TextSource source("{\"a\": 1}");
    JsonReader reader(source);
    CHECK(!call(reader));
    return reader.status().message();
  };
  CHECK(wrong([](JsonReader& r) { return r.begin_array(); }) == "expected a list, received '{' at byte 0");
  double value;
  CHECK(wrong([&](JsonReader& r) { return r.number(value); }) == "expected a number, received '{' at byte 0");
  bool flag;
  CHECK(wrong([&](JsonReader& r) { return r.boolean(flag); }) ==
        "expected true or false, received '{' at byte 0");
  std::string_view text;
  CHECK(wrong([&](JsonReader& r) { return r.string(text); }) == "expected a string, received '{' at byte 0");
  // The first error stays, whatever is called after it.
  CHECK(wrong([&](JsonReader& r) {
          r.begin_array();
          r.kind();
          return r.begin_object() || r.next_member(text) || r.next_element() || r.number(value) || r.skip() ||
                 r.string(text) || r.boolean(flag) || r.end();
        }) == "expected a list, received '{' at byte 0");
}

TEST_CASE("JSON: bounds") {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(accepts(nested(kJsonDepth)));
  CHECK(skipped(nested(kJsonDepth + 1)) ==
        "expected lists and objects at most 1024 deep, received deeper ones at byte 1024");
  std::string objects;
  for (size_t i = 0; i < kJsonDepth; ++i) objects += i % 3 == 0 ? "[" : "{\"a\":";
  objects += "1";
  for (size_t i = kJsonDepth; i-- > 0;) objects += i % 3 == 0 ? "]" : "}";
  CHECK(accepts(objects));
  CHECK(number("1" + std::string(kJsonNumberCharacters - 1, '0')) == std::numeric_limits<double>::infinity());
  // Inside of a text too: numbers are not cut.
  CHECK(!accepts("[" + std::string(kJsonNumberCharacters + 1, '1')));
  const std::string longest(kJsonStringBytes, 'a');
  CHECK(told("\"" + longest + "\"") == "<" + longest + ">");
  CHECK(told(" \"" + longest + "a\"") ==
        "expected a string of at most 65536 bytes, received a longer one at byte 1");
  CHECK(told(" \"" + longest + "a\"", 100) ==
        "expected a string of at most 65536 bytes, received a longer one at byte 1");
  CHECK(accepts("\"" + std::string(3 * kJsonBufferBytes, 'a') + "\""));
  // Names that are skipped may be of any length.
  CHECK(accepts("{\"" + longest + "a\": 1}"));
}

TEST_CASE("JSON: values can be taken or left in any mixture") {
  for (size_t buffer = 1; buffer <= 40; ++buffer) {
    TextSource source(
        R"({"skip": [[1.5, 2.5], {"a": "]"}], "take": [1, [2, 3, "x"], 4], "name" : "n\u0041", "z": 5})");
    JsonReader reader(source, buffer);
    REQUIRE(reader.begin_object());
    std::string names;
    double sum = 0, value;
    for (std::string_view name; reader.next_member(name);) {
      names.append(name).append(" ");
      if (name == "take") {
        REQUIRE(reader.begin_array());
        while (reader.next_element()) {
          if (reader.kind() != JsonKind::kNumber) {
            REQUIRE(reader.skip());
          } else {
            REQUIRE(reader.number(value));
            sum += value;
          }
        }
      } else if (name == "name") {
        std::string_view text;
        REQUIRE(reader.string(text));
        CHECK(text == "nA");
      } else {
        REQUIRE(reader.skip());
      }
    }
    CHECK(reader.end());
    CHECK(names == "skip take name z ");
    CHECK(sum == 5);
  }
}

TEST_CASE("JSON: numbers are the nearest doubles") {
  const auto same = [](const std::string& text) {
    const double expected = std::strtod(text.c_str(), nullptr), value = number(text);
    CHECK_MESSAGE(std::bit_cast<uint64_t>(value) == std::bit_cast<uint64_t>(expected), text);
  };
  for (const char* text : {"0",
                           "-0",
                           "0.0",
                           "-0.0",
                           "0e5",
                           "9007199254740991",
                           "9007199254740992",
                           "9007199254740993",
                           "9007199254740995",
                           "0.3",
                           "2.675",
                           "1e22",
                           "1e23",
                           "8.5e-5",
                           "1e-323",
                           "4.9e-324",
                           "2.4e-324",
                           "1e-400",
                           "1.7976931348623157e308",
                           "1.7976931348623159e308",
                           "-1e999",
                           "123456789012345678",
                           "1234567890123456789",
                           "12345678901234567890",
                           "99999999999999999999",
                           "18446744073709551617",
                           "1.8446744073709551617",
                           "0.1234567890123456789",
                           "0.12345678901234567890123",
                           "0.00000000000000000000001",
                           "9.5367431640625e-07",
                           "1.000000000000000055511151231257827021181583404541015625",
                           "1.00000000000000011102230246251565404236316680908203125"})
    same(text);
  std::mt19937_64 random(1);
  const auto below = [&](uint64_t n) { return random() % n; };
  for (int i = 0; i < 100000; ++i) {
    std::string text = below(2) ? "-" : "";
    const auto digits = [&](size_t count) {
      for (size_t k = 0; k < count; ++k) text += static_cast<char>('0' + below(10));
    };
    const size_t whole = below(4) == 0 ? below(22) : below(5);
    if (whole == 0) {
      text += '0';
    } else {
      text += static_cast<char>('1' + below(9));
      digits(whole - 1);
    }
    if (below(4) != 0) {
      text += '.';
      digits(1 + (below(3) == 0 ? below(25) : below(4)));
    }
    if (below(4) == 0)
      text += (below(2) ? "e" : "E") +
              std::string(below(2)   ? "-"
                          : below(2) ? "+"
                                     : "") +
              std::to_string(below(320));
    same(text);
  }
}
