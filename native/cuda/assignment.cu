#include "cuda/operations.h"

namespace perception::cuda {

void add_assignment(Plugin& plugin) {}

}  // namespace perception::cuda
