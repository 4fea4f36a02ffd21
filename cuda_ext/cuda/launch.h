// Runs a functor for every index: as a kernel under nvcc. A plain C++ compiler makes a loop over memory of the host
// instead, so that tests without a GPU run the same functors behind the same interface.
#pragma once

#include <stdint.h>

#include "native_api.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#endif

namespace gaussavatar {

#if defined(__CUDACC__)

constexpr int kBlockThreads = 128;

inline int status_of(cudaError_t error) {
  if (error == cudaSuccess) return GA_OK;
  return error == cudaErrorMemoryAllocation ? GA_OUT_OF_MEMORY : GA_DEVICE_ERROR;
}

template <class Each>
__global__ void __launch_bounds__(kBlockThreads) run_each(Each each, int64_t count) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kBlockThreads + threadIdx.x;
  if (index < count) each(index);
}

// A device and a stream of it; the thread's former device comes back at the end.
class Queue {
 public:
  Queue(int32_t device, void* stream) : stream_(static_cast<cudaStream_t>(stream)) {
    status_ = status_of(cudaGetDevice(&before_));
    if (status_ == GA_OK) status_ = status_of(cudaSetDevice(device));
  }
  ~Queue() {
    if (before_ >= 0) cudaSetDevice(before_);
  }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Nothing is launched after a failure.
  template <class Each>
  void run(const Each& each) {
    const int64_t count = each.threads();
    if (status_ != GA_OK || count == 0) return;
    const int64_t blocks = (count + kBlockThreads - 1) / kBlockThreads;
    if (blocks > INT32_MAX) {
      status_ = GA_BAD_ARGUMENT;
      return;
    }
    run_each<<<static_cast<unsigned>(blocks), kBlockThreads, 0, stream_>>>(each, count);
    status_ = status_of(cudaGetLastError());
  }
  // Whether this build has the functor's kernel for the device.
  template <class Each>
  void look_for() {
    cudaFuncAttributes attributes;
    if (status_ == GA_OK && cudaFuncGetAttributes(&attributes, run_each<Each>) != cudaSuccess) status_ = GA_NOT_AVAILABLE;
    cudaGetLastError();
  }
  int status() const { return status_; }

 private:
  cudaStream_t stream_;
  int before_ = -1, status_ = GA_OK;
};

#else

class Queue {
 public:
  Queue(int32_t, void*) {}
  template <class Each>
  void run(const Each& each) {
    for (int64_t index = 0; index < each.threads(); ++index) each(index);
  }
  template <class Each>
  void look_for() {}
  int status() const { return GA_OK; }
};

#endif

}  // namespace gaussavatar
