#include "core/base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace perception {
namespace {

// Set while this thread runs chunks: a parallel_for from inside a body runs inline.
thread_local bool inside_body = false;

int initial_thread_count() {
  if (const char* text = std::getenv("PERCEPTION_R1_THREADS")) {
    const char* const end = text + std::strlen(text);
    int threads = 0;
    const auto [stop, error] = std::from_chars(text, end, threads);
    if (error == std::errc() && stop == end && threads > 0) return threads;
  }
  return hardware_threads();
}

std::atomic<int>& thread_setting() {
  static std::atomic<int> setting{initial_thread_count()};
  return setting;
}

// One parallel_for. It lives on its caller's stack: the caller leaves when no worker is inside.
struct Job {
  const int64_t count, grain, chunks;
  const std::function<void(int64_t, int64_t)>& body;
  std::atomic<int64_t> next_chunk{0};

  // Guarded by the pool's mutex.
  int64_t workers_wanted;
  int64_t workers_inside = 0;
  std::condition_variable last_worker_left;
  std::exception_ptr error;

  Job(int64_t count, int64_t grain, int64_t chunks, int64_t workers,
      const std::function<void(int64_t, int64_t)>& body)
      : count(count), grain(grain), chunks(chunks), body(body), workers_wanted(workers) {}

  void run_chunk(int64_t chunk) const {
    const int64_t begin = chunk * grain;
    body(begin, count - begin > grain ? begin + grain : count);
  }
};

class ThreadPool {
 public:
  // Never destroyed: workers may outlive static destructors.
  static ThreadPool& instance() {
    static ThreadPool* const pool = new ThreadPool;
    return *pool;
  }

  // Runs the job on this thread and on up to workers_wanted others.
  void run(Job& job) {
    const int64_t wanted = job.workers_wanted;
    {
      const std::lock_guard lock(mutex_);
      open_jobs_.push_back(&job);
      start_workers(wanted);
    }
    for (int64_t i = 0; i < wanted; ++i) wake_.notify_one();

    inside_body = true;
    run_chunks(job);
    inside_body = false;

    std::unique_lock lock(mutex_);
    std::erase(open_jobs_, &job);
    job.last_worker_left.wait(lock, [&] { return job.workers_inside == 0; });
    if (job.error) {
      lock.unlock();
      std::rethrow_exception(std::move(job.error));
    }
  }

 private:
  void start_workers(int64_t wanted) {
    try {
      for (; workers_ < wanted; ++workers_) std::thread([this] { work(); }).detach();
    } catch (const std::exception&) {
      // No more threads or memory to be had: those there are do the job, its caller at least.
    }
  }

  void work() {
    inside_body = true;
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return !open_jobs_.empty(); });
      // Callers that are there at the same time take turns in getting a worker.
      Job& job = *open_jobs_.front();
      if (--job.workers_wanted == 0)
        open_jobs_.erase(open_jobs_.begin());
      else
        std::rotate(open_jobs_.begin(), open_jobs_.begin() + 1, open_jobs_.end());
      ++job.workers_inside;
      lock.unlock();
      run_chunks(job);
      lock.lock();
      // Under the lock, since the job may be gone as soon as its caller gets the mutex.
      if (--job.workers_inside == 0) job.last_worker_left.notify_one();
    }
  }

  void run_chunks(Job& job) {
    try {
      for (;;) {
        const int64_t chunk = job.next_chunk.fetch_add(1, std::memory_order_relaxed);
        if (chunk >= job.chunks) return;
        job.run_chunk(chunk);
      }
    } catch (...) {
      job.next_chunk.store(job.chunks, std::memory_order_relaxed);
      const std::lock_guard lock(mutex_);
      if (!job.error) job.error = std::current_exception();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Job*> open_jobs_;  // those that still want a worker
  int64_t workers_ = 0;
};

}  // namespace

int hardware_threads() {
#ifdef __linux__
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
    return std::max(1, static_cast<int>(CPU_COUNT(&allowed)));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int thread_count() { return thread_setting().load(std::memory_order_relaxed); }

void set_thread_count(int threads) {
  thread_setting().store(std::max(1, threads), std::memory_order_relaxed);
}

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  const int64_t chunks = (count - 1) / grain + 1;
  const int64_t threads = inside_body ? 1 : std::min<int64_t>(thread_count(), chunks);
  Job job(count, grain, chunks, threads - 1, body);
  if (threads > 1) return ThreadPool::instance().run(job);

  // Restored also when the body throws.
  struct Inside {
    const bool before = inside_body;
    Inside() { inside_body = true; }
    ~Inside() { inside_body = before; }
  } inside;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) job.run_chunk(chunk);
}

}  // namespace perception
