// Activation of a batch of Gaussian sets in one pass over memory, split into blocks of Gaussians.
#include "activate.h"

#include "activate_math.h"
#include "status.h"
#include "threads.h"

namespace gaussavatar {
namespace {

constexpr int64_t kBlock = 1024;  // Gaussians

bool is_sound(const GaRaw& raw) {
  if (raw.batch < 0 || raw.count < 0 || raw.moving < 0 || raw.moving > raw.count || raw.width < 0) return false;
  return raw.moving == 0 || raw.batch == 0 || raw.motion != nullptr;
}

RawParts moved(const GaRaw& raw, const MotionLayout& layout, int b, int64_t i) {
  RawParts p = load_raw(raw, i);
  if (i < raw.moving) add_motion(p, layout, raw.motion + (static_cast<int64_t>(b) * raw.moving + i) * raw.width);
  return p;
}

void backward_one(const GaRaw& raw, const MotionLayout& layout, const GaActivated& values, const GaActivated& grad,
                  const GaActivated& raw_grad, float* motion_grad, int64_t i) {
  RawParts sum = {};
  for (int b = 0; b < raw.batch; ++b) {
    const int64_t at = static_cast<int64_t>(b) * raw.count + i;
    const float length = quat_length(moved(raw, layout, b, i).quat);
    const RawParts g = activated_backward(length, load_activated(values, at), load_activated(grad, at));
    add_parts(sum, g);
    if (i < raw.moving) put_motion(motion_grad + (static_cast<int64_t>(b) * raw.moving + i) * raw.width, layout, g);
  }
  store_raw_gradient(raw_grad, i, sum);
}

}  // namespace
}  // namespace gaussavatar

int ga_activate(const GaRaw* raw, const GaActivated* out) {
  using namespace gaussavatar;
  if (!is_sound(*raw)) return GA_BAD_ARGUMENT;
  const MotionLayout layout = layout_of(*raw);
  return guarded([&] {
    parallel_pieces(raw->count, kBlock, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        for (int b = 0; b < raw->batch; ++b)
          store_activated(*out, static_cast<int64_t>(b) * raw->count + i, activated(moved(*raw, layout, b, i)));
    });
  });
}

int ga_activate_backward(const GaRaw* raw, const GaActivated* values, const GaActivated* grad,
                         const GaActivated* raw_grad, float* motion_grad) {
  using namespace gaussavatar;
  if (!is_sound(*raw)) return GA_BAD_ARGUMENT;
  const MotionLayout layout = layout_of(*raw);
  return guarded([&] {
    parallel_pieces(raw->count, kBlock, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        backward_one(*raw, layout, *values, *grad, *raw_grad, motion_grad, i);
    });
  });
}
