#include "threads.h"

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <thread>

#include "../include/native_api.h"

namespace gaussavatar {
namespace {

struct Job {
  void (*body)(void*, int);
  void* context;
  int items;
  int helpers;  // workers with an index below this take part
  std::atomic<int> next{0};
  std::atomic<bool> failed{false};

  void work() {
    for (int item = next.fetch_add(1); item < items && !failed.load(); item = next.fetch_add(1)) {
      try {
        body(context, item);
      } catch (...) {
        failed.store(true);
      }
    }
  }
};

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

struct Pool {
  const pid_t owner = getpid();
  std::mutex busy;  // held by the thread whose job is running
  std::mutex mutex;
  std::condition_variable wake, finished;
  std::atomic<unsigned> generation{0};
  Job* job = nullptr;
  int active = 0, workers = 0;

  void worker(int index) {
    unsigned seen = 0;
    for (;;) {
      // A frame is a chain of short parallel stages: spinning for some microseconds saves most sleeps between them.
      for (int spin = 0; spin < 1000 && generation.load(std::memory_order_relaxed) == seen; ++spin) relax();
      Job* mine = nullptr;
      {
        std::unique_lock<std::mutex> lock(mutex);
        wake.wait(lock, [&] { return generation.load() != seen; });
        seen = generation.load();
        if (job != nullptr && index < job->helpers) mine = job, ++active;
      }
      if (mine == nullptr) continue;
      mine->work();
      std::lock_guard<std::mutex> lock(mutex);
      if (--active == 0) finished.notify_all();
    }
  }

  // A thread that the system refuses is done without: the work is the same, in fewer hands.
  void start_workers(int count) {
    try {
      for (; workers < count; ++workers) std::thread(&Pool::worker, this, workers).detach();
    } catch (const std::exception&) {
    }
  }

  void run(Job& task) {
    {
      std::lock_guard<std::mutex> lock(mutex);
      start_workers(task.helpers);
      job = &task;
      generation.fetch_add(1);
    }
    wake.notify_all();
    task.work();
    std::unique_lock<std::mutex> lock(mutex);
    job = nullptr;
    finished.wait(lock, [&] { return active == 0; });
  }
};

// Never destroyed: its workers may outlive static destructors.
std::atomic<Pool*> pool{nullptr};
std::atomic<int> wanted{0};
thread_local bool inside = false;

// Null where there is no memory for one.
Pool* current_pool() {
  Pool* existing = pool.load();
  // After a fork only the calling thread lives on, so the child starts its own pool.
  if (existing == nullptr || existing->owner != getpid()) {
    Pool* fresh = new (std::nothrow) Pool;
    if (fresh == nullptr || pool.compare_exchange_strong(existing, fresh)) return fresh;
    delete fresh;
    return pool.load();
  }
  return existing;
}

}  // namespace

int thread_count() {
  const int set = wanted.load();
  if (set > 0) return set;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  return cores > 0 ? cores : 1;
}

void set_thread_count(int threads) { wanted.store(threads > 0 ? threads : 0); }

void run_parallel(int items, void (*body)(void*, int), void* context) {
  Job task;
  task.body = body, task.context = context, task.items = items;
  task.helpers = (items < thread_count() ? items : thread_count()) - 1;
  if (task.helpers > 0 && !inside) {
    Pool* shared = current_pool();
    std::unique_lock<std::mutex> mine;
    if (shared != nullptr) mine = std::unique_lock<std::mutex>(shared->busy, std::try_to_lock);
    if (mine.owns_lock()) {
      inside = true;
      shared->run(task);
      inside = false;
    } else {
      task.work();
    }
  } else {
    task.work();
  }
  if (task.failed.load()) throw std::bad_alloc();
}

}  // namespace gaussavatar

int ga_set_threads(int32_t threads) {
  if (threads < 0) return GA_BAD_ARGUMENT;
  gaussavatar::set_thread_count(threads);
  return GA_OK;
}

int ga_get_threads(int32_t* threads) {
  *threads = gaussavatar::thread_count();
  return GA_OK;
}
