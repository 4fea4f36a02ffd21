// The C interface of blendshapes on a CUDA device: one kernel forward, four backward. See blendshapes.h.
#include "blendshape_math.h"
#include "launch.h"

namespace gaussavatar {
namespace {

bool is_sound(const GaRaw& raw, const GaBlend& blend) {
  return raw.batch >= 0 && raw.count >= 0 && raw.moving >= 0 && raw.moving <= raw.count && raw.width >= 0 &&
         raw.width <= kMotionWidth && blend.shapes >= 0;
}

}  // namespace
}  // namespace gaussavatar

int ga_cuda_usable(int32_t device) {
  gaussavatar::Queue queue(device, nullptr);
  queue.look_for<gaussavatar::BlendForward>();
  return queue.status() == GA_OK ? GA_OK : GA_NOT_AVAILABLE;
}

int ga_cuda_blendshapes(const GaRaw* raw, const GaBlend* blend, const GaActivated* out, float* motion, int32_t device,
                        void* stream) {
  using namespace gaussavatar;
  if (!is_sound(*raw, *blend)) return GA_BAD_ARGUMENT;
  Queue queue(device, stream);
  queue.run(BlendForward{*raw, *blend, *out, motion, layout_of(*raw)});
  return queue.status();
}

int ga_cuda_blendshapes_backward(const GaRaw* raw, const GaBlend* blend, const GaActivated* values,
                                 const GaActivated* grad, const float* motion_grad_in, const GaActivated* raw_grad,
                                 float* motion_grad, float* basis_grad, float* weights_grad, float* partials,
                                 int32_t device, void* stream) {
  using namespace gaussavatar;
  if (!is_sound(*raw, *blend)) return GA_BAD_ARGUMENT;
  Queue queue(device, stream);
  queue.run(BlendActivateBackward{*raw, *values, *grad, motion_grad_in, *raw_grad, motion_grad, layout_of(*raw)});
  queue.run(BlendBasisBackward{*raw, *blend, motion_grad, basis_grad});
  queue.run(BlendWeightParts{*raw, *blend, motion_grad, partials});
  queue.run(BlendWeightBackward{*raw, *blend, partials, weights_grad});
  return queue.status();
}
