// Finds the CUDA plug-in, once per process and on first use. The add-on works without it.
#pragma once

#include <string>

#include "cuda/plugin.h"
#include "cuda/plugin_status.h"

namespace perception::cuda {

struct Loaded {
  const Plugin* plugin = nullptr;  // null where GPUs cannot be used
  int32_t devices = 0;
  std::string path;    // the file, where one was loaded
  std::string reason;  // why plugin is null
};

// PERCEPTION_R1_CUDA = 0: none; a path: that file; else perception_r1_cuda.so (.dll) beside the add-on. The
// plug-in is never unloaded.
const Loaded& load_plugin();

}  // namespace perception::cuda
