// The C interface of the image losses on a CUDA device: three kernels forward and two backward. See device_images.h.
#include "image_loss_math.h"
#include "launch.h"

namespace gaussavatar {
namespace {

// Sizes that a thread's arithmetic of 32 bits holds, a column's last group of rows included.
bool is_sound(const ImageSize& size) {
  if (size.batch < 0 || size.height < 0 || size.width < 0) return false;
  if (size.batch == 0 || size.height == 0 || size.width == 0) return true;
  const int64_t most = INT32_MAX - 2 * kWindow;
  const int64_t lines = static_cast<int64_t>(size.batch) * (static_cast<int64_t>(size.height) + kWindow);
  return size.width <= most / 3 && lines <= most / (3 * static_cast<int64_t>(size.width));
}

}  // namespace
}  // namespace gaussavatar

int ga_cuda_photometric(const float* pred, const float* target, const float* weight, int32_t batch, int32_t height,
                        int32_t width, float dssim_weight, float* means, float* derivatives, float* partials,
                        int32_t device, void* stream) {
  using namespace gaussavatar;
  const ImageSize size{batch, height, width};
  if (!is_sound(size)) return GA_BAD_ARGUMENT;
  Queue queue(device, stream);
  auto* rows = reinterpret_cast<RowMeans*>(means);
  if (rows != nullptr) queue.run(LossRowMeans{pred, target, size, rows});
  queue.run(LossTerms{{pred, target, weight, size}, dssim_weight, rows, derivatives, partials});
  return queue.status();
}

int ga_cuda_photometric_loss(const float* sums, float* loss, int32_t device, void* stream) {
  gaussavatar::Queue queue(device, stream);
  queue.run(gaussavatar::LossValue{sums, loss});
  return queue.status();
}

int ga_cuda_photometric_backward(const float* pred, const float* target, const float* weight, int32_t batch,
                                 int32_t height, int32_t width, const float* derivatives, const float* sums,
                                 const float* v_loss, float* scratch, float* gradient, int32_t device, void* stream) {
  using namespace gaussavatar;
  const ImageSize size{batch, height, width};
  if (!is_sound(size) || (derivatives == nullptr) != (scratch == nullptr)) return GA_BAD_ARGUMENT;
  Queue queue(device, stream);
  if (derivatives != nullptr) queue.run(DerivativesAlong{derivatives, size, scratch});
  queue.run(LossGradient{{pred, target, weight, size}, scratch, sums, v_loss, gradient});
  return queue.status();
}

int ga_cuda_ssim(const float* pred, const float* target, int32_t batch, int32_t height, int32_t width, float* means,
                 float* map, int32_t device, void* stream) {
  using namespace gaussavatar;
  const ImageSize size{batch, height, width};
  if (!is_sound(size)) return GA_BAD_ARGUMENT;
  Queue queue(device, stream);
  auto* rows = reinterpret_cast<RowMeans*>(means);
  queue.run(LossRowMeans{pred, target, size, rows});
  queue.run(SimilarityMap{rows, size, map});
  return queue.status();
}
