// Registers the operations in the TensorFlow that is loaded in this process, with a kernel for every device
// that can compute them.
#pragma once

#include <string>

namespace perception::tensorflow {

struct Registration {
  bool registered = false;
  std::string reason;      // why not; empty where registered
  std::string library;     // TensorFlow's file
  std::string gpu_reason;  // why there are no GPU kernels; empty where there are
};

// From any thread. The first call that finds TensorFlow decides for the process, since TensorFlow forgets no
// operation and accepts none twice; a call that finds none decides nothing.
Registration register_operations();

}  // namespace perception::tensorflow
