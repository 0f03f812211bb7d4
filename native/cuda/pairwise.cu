#include "cuda/operations.h"

namespace perception::cuda {

void add_pairwise(Plugin& plugin) {}

}  // namespace perception::cuda
