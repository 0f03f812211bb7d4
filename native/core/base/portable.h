// Formulas that also run on a GPU are marked, so that the one home of each serves every backend.
#pragma once

#ifdef __CUDACC__
#define PERCEPTION_PORTABLE __host__ __device__
#else
#define PERCEPTION_PORTABLE
#endif
