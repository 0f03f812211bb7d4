// One pool of threads for the process, shared by every caller (also by several worker_threads at once).
#pragma once

#include <cstdint>
#include <functional>

namespace perception {

// Logical processors this process may run on, at least 1.
int hardware_threads();

// Threads that parallel_for uses, the calling one included. Starts as PERCEPTION_R1_THREADS if that is a
// positive integer, else hardware_threads().
int thread_count();

// Sets thread_count(); values below 1 mean 1. Safe while other threads are inside parallel_for.
void set_thread_count(int threads);

// Calls body(begin, end) for the chunks [0, grain), [grain, 2 * grain), ... of [0, count), each exactly once,
// on the calling thread and the pool's. Chunk boundaries depend on `grain` alone, never on the number of
// threads, so a body that writes per item (or per chunk) gives the same result for every thread count. A call
// from inside a body runs inline. The first exception a body throws is rethrown here after all chunks have
// finished or been abandoned.
void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

}  // namespace perception
