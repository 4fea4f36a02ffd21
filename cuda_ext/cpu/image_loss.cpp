// The C interface of the image losses: one item of work per frame, or per band of rows when frames are few.
#include "image_loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "buffer.h"
#include "status.h"
#include "threads.h"

namespace gaussavatar {
namespace {

int bands_per_frame(int batch, int height) {
  const int threads = thread_count();
  int bands = batch >= threads ? 1 : (threads + batch - 1) / batch;
  // A band computes five rows more on either side, which must stay a small part of its work.
  const int most = height / 32 > 0 ? height / 32 : 1;
  return bands < most ? bands : most;
}

double run_bands(LossBand whole, int batch) {
  if (batch == 0) return 0.0;
  const int bands = bands_per_frame(batch, whole.height);
  const size_t pixels = static_cast<size_t>(whole.width) * whole.height;
  std::vector<double> sums(static_cast<size_t>(batch) * bands, 0.0);
  const LossKernels& kernels = current_loss_kernels();
  parallel_for(batch * bands, [&](int item) {
    static thread_local Buffer<float> scratch;
    scratch.reserve(loss_scratch(whole.width));
    LossBand band = whole;
    const int frame = item / bands, part = item % bands;
    band.y0 = whole.height * part / bands, band.y1 = whole.height * (part + 1) / bands;
    band.pred += frame * pixels * 3, band.target += frame * pixels * 3;
    if (band.weight != nullptr) band.weight += frame * pixels;
    if (band.gradient != nullptr) band.gradient += frame * pixels * 3;
    if (band.map != nullptr) band.map += frame * pixels * 3;
    sums[item] = kernels.photometric(band, scratch.data());
  });
  double loss = 0.0;
  for (const double sum : sums) loss += sum;
  return loss;
}

}  // namespace
}  // namespace gaussavatar

int ga_photometric(const float* pred, const float* target, const float* weight, int32_t batch, int32_t height,
                   int32_t width, double dssim_weight, double* loss, float* gradient) {
  if (batch < 0 || height < 0 || width < 0) return GA_BAD_ARGUMENT;
  const int64_t weights = static_cast<int64_t>(batch) * height * width;
  const double total = gaussavatar::current_loss_kernels().sum(weight, weights);
  if (!(total > 0.0)) {
    *loss = total == 0.0 ? 0.0 : std::nan("");
    if (gradient != nullptr) std::fill(gradient, gradient + 3 * weights, static_cast<float>(*loss));
    return GA_OK;
  }
  const double inverse_total = 1.0 / total;
  gaussavatar::LossBand band{};
  band.pred = pred, band.target = target, band.weight = weight, band.width = width, band.height = height;
  band.l1_scale = static_cast<float>(inverse_total / 3), band.gradient = gradient;
  band.ssim_scale = static_cast<float>(inverse_total * dssim_weight / 3);
  return gaussavatar::guarded([&] { *loss = gaussavatar::run_bands(band, batch); });
}

int ga_ssim(const float* pred, const float* target, int32_t batch, int32_t height, int32_t width, float* map) {
  if (batch < 0 || height < 0 || width < 0) return GA_BAD_ARGUMENT;
  gaussavatar::LossBand band{};
  band.pred = pred, band.target = target, band.width = width, band.height = height, band.map = map;
  return gaussavatar::guarded([&] { gaussavatar::run_bands(band, batch); });
}
