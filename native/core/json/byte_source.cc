#include "core/json/byte_source.h"

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace perception {
namespace {

Status system_failure(const char* what) {
  const int error = errno;
  return {Code::kInvalidInput, std::string(what) + " (" + std::generic_category().message(error) + ")"};
}

}  // namespace

Status FileSource::open(const std::string& path) {
  const std::filesystem::path native(std::u8string(path.begin(), path.end()));
  std::error_code ignored;
  if (std::filesystem::is_directory(native, ignored))
    return {Code::kInvalidInput, "expected a file, received a folder"};
  errno = 0;
#ifdef _WIN32
  file_.reset(_wfopen(native.c_str(), L"rb"));
#else
  file_.reset(std::fopen(native.c_str(), "rb"));
#endif
  if (!file_) return system_failure("expected a file that can be opened");
  std::setvbuf(file_.get(), nullptr, _IONBF, 0);  // the reader has a buffer of its own
  return {};
}

Status FileSource::read(std::span<char> to, size_t& count) {
  errno = 0;
  count = std::fread(to.data(), 1, to.size(), file_.get());
  if (std::ferror(file_.get()) != 0) return system_failure("the file cannot be read to its end");
  return {};
}

}  // namespace perception
