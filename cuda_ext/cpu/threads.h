// A small persistent thread pool. Work is split into numbered items; which thread runs an item never changes results.
#pragma once

#include <cstdint>

namespace gaussavatar {

int thread_count();
void set_thread_count(int threads);

// Runs body(context, item) for item in [0, items) on at most thread_count() threads, the caller among them. Runs
// inline when nested or when another thread is using the pool. Where no thread can be started, those that there are
// do the work.
//
// An exception in a body is std::bad_alloc here, once every thread has left the job; what remained of it is not run.
// Bodies throw nothing else.
void run_parallel(int items, void (*body)(void*, int), void* context);

template <class Body>
void parallel_for(int items, Body body) {
  run_parallel(items, [](void* context, int item) { (*static_cast<Body*>(context))(item); }, &body);
}

// Runs body(begin, end) over [0, count) in pieces of `piece` items.
template <class Body>
void parallel_pieces(int64_t count, int64_t piece, Body body) {
  parallel_for(static_cast<int>((count + piece - 1) / piece), [&](int part) {
    const int64_t begin = part * piece;
    body(begin, begin + piece < count ? begin + piece : count);
  });
}

}  // namespace gaussavatar
