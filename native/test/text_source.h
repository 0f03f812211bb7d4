// A text as a ByteSource.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "core/json/byte_source.h"

class TextSource : public perception::ByteSource {
 public:
  explicit TextSource(std::string_view text) : text_(text) {}
  perception::Status read(std::span<char> to, size_t& count) override {
    count = text_.copy(to.data(), to.size());
    text_.remove_prefix(count);
    return {};
  }

 private:
  std::string_view text_;
};
