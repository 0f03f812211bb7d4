// Linked into gpu_tests: says so, once, where there is no GPU to run them on.
#include <doctest.h>

#include <cstdio>
#include <cstdlib>

#include "cuda/plugin.h"

extern "C" const perception::cuda::Plugin* perception_r1_cuda();

namespace {

struct NeedsGpu : doctest::IReporter {
  explicit NeedsGpu(const doctest::ContextOptions&) {}
  void test_run_start() override {
    int32_t devices = 0;
    const perception::cuda::Plugin& plugin = *perception_r1_cuda();
    const bool failed = plugin.device_count(&devices) != 0;
    if (!failed && devices > 0) return;
    std::fprintf(stderr, "gpu_tests: no GPU was found%s%s\n", failed ? ": " : "",
                 failed ? plugin.last_error() : "");
    std::exit(3);
  }
  void report_query(const doctest::QueryData&) override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};

REGISTER_LISTENER("needs-gpu", 1, NeedsGpu);

}  // namespace
