#include "cuda/operations.h"

namespace perception::cuda {

void add_edit_distance(Plugin& plugin) {}

}  // namespace perception::cuda
