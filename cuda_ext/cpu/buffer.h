// Memory that grows and is reused, so that a training step touches no fresh pages.
#pragma once

#include <cstddef>
#include <new>

namespace gaussavatar {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { release(); }

  // Makes room for n elements, aligned to 64 bytes; the old content is lost when it grows, or fails to.
  void reserve(size_t n) {
    if (n <= capacity_) return;
    release();
    const size_t bytes = ((n + n / 8) * sizeof(T) + 127) / 64 * 64;
    data_ = static_cast<T*>(::operator new(bytes, kAlignment));
    capacity_ = bytes / sizeof(T);
  }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

 private:
  static constexpr std::align_val_t kAlignment{64};

  void release() {
    ::operator delete(data_, kAlignment);
    data_ = nullptr, capacity_ = 0;
  }

  T* data_ = nullptr;
  size_t capacity_ = 0;
};

}  // namespace gaussavatar
