#include "cuda/operations.h"

namespace perception::cuda {

void add_advantages(Plugin& plugin) {}

}  // namespace perception::cuda
