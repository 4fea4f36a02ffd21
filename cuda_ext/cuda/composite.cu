// The C interface of layers over each other on a CUDA device: one kernel either way. See device_images.h.
#include "device_images.h"
#include "launch.h"
#include "layers_math.h"

int ga_cuda_composite(const float* face, const float* face_alpha, const float* mouth, const float* mouth_alpha,
                      const float* under, int64_t pixels, float* image, int32_t device, void* stream) {
  using namespace gaussavatar;
  if (pixels < 0) return GA_BAD_ARGUMENT;
  Queue queue(device, stream);
  queue.run(LayersOver{{face, face_alpha, mouth, mouth_alpha, under, pixels}, image});
  return queue.status();
}

int ga_cuda_composite_backward(const float* v_image, const float* face_alpha, const float* mouth,
                               const float* mouth_alpha, const float* under, int64_t pixels, float* v_face_alpha,
                               float* v_mouth, float* v_mouth_alpha, float* v_under, int32_t device, void* stream) {
  using namespace gaussavatar;
  if (pixels < 0) return GA_BAD_ARGUMENT;
  Queue queue(device, stream);
  queue.run(LayersBackward{
      {nullptr, face_alpha, mouth, mouth_alpha, under, pixels}, v_image, v_face_alpha, v_mouth, v_mouth_alpha, v_under});
  return queue.status();
}
