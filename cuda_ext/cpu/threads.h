// A small persistent thread pool. Work is split into numbered items; which thread runs an item never changes results.
#pragma once

namespace gaussavatar {

int thread_count();
void set_thread_count(int threads);

// Runs body(context, item) for item in [0, items) on at most thread_count() threads, the caller among them. Runs
// inline when nested or when another thread is using the pool.
void run_parallel(int items, void (*body)(void*, int), void* context);

template <class Body>
void parallel_for(int items, Body body) {
  run_parallel(items, [](void* context, int item) { (*static_cast<Body*>(context))(item); }, &body);
}

}  // namespace gaussavatar
