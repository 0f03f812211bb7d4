// Where a reader's bytes come from.
#pragma once

#include <cstddef>
#include <cstdio>
#include <memory>
#include <span>
#include <string>

#include "core/base/status.h"

namespace perception {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills `to`, which is not empty; `count` is less than its size at the end alone.
  virtual Status read(std::span<char> to, size_t& count) = 0;
};

// A file, a pipe too.
class FileSource : public ByteSource {
 public:
  // `path` is UTF-8.
  Status open(const std::string& path);
  Status read(std::span<char> to, size_t& count) override;

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace perception
