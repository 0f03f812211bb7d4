// Reads JSON (RFC 8259) piece by piece as it is asked for, in constant memory: nothing is built, and what
// nobody wants is passed over, though checked like the rest. As Python's json it also takes NaN, Infinity and
// -Infinity for numbers, and a byte order mark is passed over.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/json/byte_source.h"

namespace perception {

enum class JsonKind : uint8_t { kNone, kObject, kArray, kString, kNumber, kBoolean, kNull };

// "an object", "a list" ...
const char* json_kind_name(JsonKind kind);

constexpr size_t kJsonDepth = 1024;              // lists and objects inside of each other
constexpr size_t kJsonNumberCharacters = 1024;   // of one number
constexpr size_t kJsonStringBytes = 64 * 1024;   // of a name, or of a string that is asked for
constexpr size_t kJsonBufferBytes = 256 * 1024;  // stays in a core's cache

// Where a value is expected, one of kind() != kNone is taken by the function for its kind, or by skip(); a
// function for another kind is an error. All but kind() return false after an error, which status() tells;
// next_element() and next_member() also where the list or object ends. Strings are valid until the next call.
//
//   if (!reader.begin_array()) return reader.status();
//   while (reader.next_element()) reader.skip();
//   return reader.status();
class JsonReader {
 public:
  explicit JsonReader(ByteSource& source, size_t buffer_bytes = kJsonBufferBytes);

  // Of the value that comes next.
  JsonKind kind();

  bool begin_object();
  bool next_member(std::string_view& name) { return member(&name); }
  bool begin_array();
  bool next_element();

  bool string(std::string_view& value);
  // To the nearest double; infinite where it overflows.
  bool number(double& value);
  bool boolean(bool& value);
  bool skip();

  // To be called after the one value of the text: nothing but white space may follow.
  bool end();

  const Status& status() const { return status_; }
  // How many bytes were read.
  uint64_t position() const { return buffer_begin_ + static_cast<uint64_t>(p_ - buffer_.data()); }

 private:
  bool refill();
  int peek();
  int take();
  bool enter(char open, bool array);
  void leave();
  bool in_array() const { return (arrays_[(depth_ - 1) / 64] >> ((depth_ - 1) % 64) & 1) != 0; }
  bool member(std::string_view* name);
  bool word(const char* letters);
  bool number_across(double& value);
  bool escape(bool keep);
  bool string_token(std::string_view* value);
  void skip_plain_numbers();

  bool fail(std::string message);
  bool unexpected(const std::string& expected);
  bool truncated(const char* what);

  ByteSource& source_;
  std::vector<char> buffer_;
  // What is left of the buffer; a zero byte follows, which ends every scan.
  const char* p_;
  const char* end_;
  uint64_t buffer_begin_ = 0;  // where in the text the buffer begins
  bool exhausted_ = false;
  bool fresh_ = false;  // nothing was read yet of the list or object that was entered last
  size_t depth_ = 0;
  std::array<uint64_t, kJsonDepth / 64> arrays_{};  // bit d: the one at depth d + 1 is a list
  std::string scratch_, unescaped_;
  Status status_;
};

}  // namespace perception
