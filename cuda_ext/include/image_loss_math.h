// L1 and SSIM of images: what each thread of the kernels does, as functors of its index. The window is blurred along the
// rows, then down the columns; neighbouring threads take neighbouring numbers of a row. Threads share nothing.
#pragma once

#include "device_images.h"
#include "ssim_math.h"

namespace gaussavatar {

constexpr int kLossRows = GA_LOSS_ROWS;

// Images of interleaved channels.
struct ImageSize {
  int32_t batch, height, width;

  GA_HD_MEMBER int32_t floats() const { return 3 * width; }  // of a row
  GA_HD_MEMBER int64_t elements() const { return static_cast<int64_t>(batch) * height * floats(); }
  GA_HD_MEMBER int32_t groups() const { return (height + kLossRows - 1) / kLossRows; }  // of kLossRows rows
  GA_HD_MEMBER int64_t parts() const { return static_cast<int64_t>(batch) * groups() * floats(); }
};

struct LossImages {
  const float *pred, *target, *weight;
  ImageSize size;
};

// What the window sees along a row, as one access of 16 bytes.
struct alignas(16) RowMeans {
  float x, y, squares, product;
};

// Reads what no thread of this kernel writes, or gives zero.
GA_HD float read(const float* from, bool inside = true) {
#if defined(__CUDA_ARCH__)
  return inside ? __ldg(from) : 0.0f;
#else
  return inside ? *from : 0.0f;
#endif
}

GA_HD RowMeans read(const RowMeans* from, bool inside) {
  if (!inside) return RowMeans{0.0f, 0.0f, 0.0f, 0.0f};
#if defined(__CUDA_ARCH__)
  const float4 v = __ldg(reinterpret_cast<const float4*>(from));
  return RowMeans{v.x, v.y, v.z, v.w};
#else
  return *from;
#endif
}

// The window's weight at a distance; a constant in an unrolled loop, as kTap itself has no address on a device.
GA_HD float tap(int distance) {
  constexpr float t0 = kTap[0], t1 = kTap[1], t2 = kTap[2], t3 = kTap[3], t4 = kTap[4], t5 = kTap[5];
  const int d = distance < 0 ? -distance : distance;
  return d == 0 ? t0 : d == 1 ? t1 : d == 2 ? t2 : d == 3 ? t3 : d == 4 ? t4 : d == 5 ? t5 : 0.0f;
}

// Blurs kValues images along a row: read_values(offset, inside, values) gives them `offset` floats further on.
template <int kValues, class Read>
GA_HD void blur_along(int32_t column, int32_t floats, const Read& read_values, float* sums) {
  GA_UNROLL
  for (int c = 0; c < kValues; ++c) sums[c] = 0.0f;
  GA_UNROLL
  for (int k = -kHalfWindow; k <= kHalfWindow; ++k) {
    const int32_t to = column + 3 * k;
    float values[kValues];
    read_values(3 * k, to >= 0 && to < floats, values);
    GA_UNROLL
    for (int c = 0; c < kValues; ++c) sums[c] = fma(tap(k), values[c], sums[c]);
  }
}

// Blurs kValues images down a column, for kLossRows rows from `row` on: read_values(offset, inside, values) gives them
// `offset` rows further down.
template <int kValues, class Read>
GA_HD void blur_down(int32_t row, int32_t height, const Read& read_values, float (*sums)[kValues]) {
  GA_UNROLL
  for (int k = -kHalfWindow; k < kLossRows + kHalfWindow; ++k) {
    float values[kValues];
    read_values(k, row + k >= 0 && row + k < height, values);
    GA_UNROLL
    for (int o = 0; o < kLossRows; ++o) {
      if (k - o < -kHalfWindow || k - o > kHalfWindow) continue;
      GA_UNROLL
      for (int c = 0; c < kValues; ++c) sums[o][c] = fma(tap(k - o), values[c], sums[o][c]);
    }
  }
}

// Where a thread of a vertical pass begins.
struct ColumnPlace {
  int32_t row, at, pixel;  // at: the number's index in an image of floats

  GA_HD_MEMBER ColumnPlace(const ImageSize& size, int64_t thread) {
    const int32_t floats = size.floats(), groups = size.groups();
    const int32_t group = static_cast<int32_t>(thread) / floats;
    const int32_t column = static_cast<int32_t>(thread) - group * floats;
    row = group % groups * kLossRows;
    const int32_t line = group / groups * size.height + row;
    at = line * floats + column;
    pixel = line * size.width + column / 3;
  }
};

GA_HD void window_means_down(const RowMeans* means, const ImageSize& size, const ColumnPlace& place,
                             float (*sums)[4]) {
  blur_down<4>(
      place.row, size.height,
      [&](int32_t rows, bool inside, float* values) {
        const RowMeans m = read(means + place.at + rows * size.floats(), inside);
        values[0] = m.x, values[1] = m.y, values[2] = m.squares, values[3] = m.product;
      },
      sums);
}

// Thread (number of the image): what the window sees along its row.
struct LossRowMeans {
  const float *pred, *target;
  ImageSize size;
  RowMeans* means;

  GA_HD_MEMBER int64_t threads() const { return size.elements(); }

  GA_HD_MEMBER void operator()(int64_t thread) const {
    const int32_t at = static_cast<int32_t>(thread);
    float sums[4];
    blur_along<4>(
        at % size.floats(), size.floats(),
        [&](int32_t offset, bool inside, float* values) {
          const float x = read(pred + at + offset, inside), y = read(target + at + offset, inside);
          values[0] = x, values[1] = y, values[2] = fma(x, x, y * y), values[3] = x * y;
        },
        sums);
    means[at] = RowMeans{sums[0], sums[1], sums[2], sums[3]};
  }
};

// Thread (column, kLossRows rows): the SSIM itself.
struct SimilarityMap {
  const RowMeans* means;
  ImageSize size;
  float* map;

  GA_HD_MEMBER int64_t threads() const { return size.parts(); }

  GA_HD_MEMBER void operator()(int64_t thread) const {
    const ColumnPlace place(size, thread);
    float sums[kLossRows][4] = {};
    window_means_down(means, size, place, sums);
    GA_UNROLL
    for (int o = 0; o < kLossRows; ++o) {
      if (place.row + o >= size.height) continue;
      const WindowMeans<float> mean{sums[o][0], sums[o][1], sums[o][2], sums[o][3]};
      map[place.at + o * size.floats()] = similarity_of(mean).value;
    }
  }
};

// Thread (column, kLossRows rows): the weighted errors of its numbers and their weights, added up, and the derivatives
// of 1 - SSIM with respect to what the window sees, weighted.
struct LossTerms {
  LossImages images;
  float dssim_weight;
  const RowMeans* means;  // or null: L1 alone
  float *derivatives, *partials;

  GA_HD_MEMBER int64_t threads() const { return images.size.parts(); }

  GA_HD_MEMBER void operator()(int64_t thread) const {
    const ImageSize& size = images.size;
    const ColumnPlace place(size, thread);
    float sums[kLossRows][4] = {};
    if (means != nullptr) window_means_down(means, size, place, sums);
    float error = 0.0f, weights = 0.0f;
    GA_UNROLL
    for (int o = 0; o < kLossRows; ++o) {
      if (place.row + o >= size.height) continue;
      const int32_t at = place.at + o * size.floats();
      const float weight = read(images.weight + place.pixel + o * size.width);
      float off = absolute(read(images.pred + at) - read(images.target + at));
      if (means != nullptr) {
        const WindowMeans<float> mean{sums[o][0], sums[o][1], sums[o][2], sums[o][3]};
        const Similarity<float> similarity = similarity_of(mean);
        off = fma(dssim_weight, 1.0f - similarity.value, off);
        if (derivatives != nullptr) keep_derivative(at, similarity_backward(mean, similarity, weight * dssim_weight));
      }
      error = fma(weight, off, error);
      weights += weight;
    }
    partials[thread] = error;
    partials[threads() + thread] = weights;
  }

 private:
  GA_HD_MEMBER void keep_derivative(int32_t at, const WindowGradient<float>& d) const {
    const int64_t plane = images.size.elements();
    derivatives[at] = d.x, derivatives[plane + at] = d.squares, derivatives[2 * plane + at] = d.product;
  }
};

// What the errors' sum is divided by, both over the three channels; 1 per channel where there is no weight.
GA_HD float loss_divisor(const float* sums) { return sums[1] > 0.0f ? sums[1] : 3.0f; }

// One thread: the loss.
struct LossValue {
  const float* sums;
  float* loss;

  GA_HD_MEMBER int64_t threads() const { return 1; }
  GA_HD_MEMBER void operator()(int64_t) const { *loss = sums[0] / loss_divisor(sums); }
};

// Thread (number of the image): the three derivatives, blurred along its row.
struct DerivativesAlong {
  const float* derivatives;
  ImageSize size;
  float* blurred;

  GA_HD_MEMBER int64_t threads() const { return size.elements(); }

  GA_HD_MEMBER void operator()(int64_t thread) const {
    const int32_t at = static_cast<int32_t>(thread);
    const int64_t plane = size.elements();
    float sums[3];
    blur_along<3>(
        at % size.floats(), size.floats(),
        [&](int32_t offset, bool inside, float* values) {
          GA_UNROLL
          for (int c = 0; c < 3; ++c) values[c] = read(derivatives + c * plane + at + offset, inside);
        },
        sums);
    GA_UNROLL
    for (int c = 0; c < 3; ++c) blurred[c * plane + at] = sums[c];
  }
};

// Thread (column, kLossRows rows): the gradient of its numbers.
struct LossGradient {
  LossImages images;
  const float *blurred;  // or null: L1 alone
  const float *sums, *v_loss;
  float* gradient;

  GA_HD_MEMBER int64_t threads() const { return images.size.parts(); }

  GA_HD_MEMBER void operator()(int64_t thread) const {
    const ImageSize& size = images.size;
    const ColumnPlace place(size, thread);
    const int64_t plane = size.elements();
    const float scale = *v_loss / loss_divisor(sums);
    float d[kLossRows][3] = {};
    if (blurred != nullptr) {
      blur_down<3>(
          place.row, size.height,
          [&](int32_t rows, bool inside, float* values) {
            GA_UNROLL
            for (int c = 0; c < 3; ++c)
              values[c] = read(blurred + c * plane + place.at + rows * size.floats(), inside);
          },
          d);
    }
    GA_UNROLL
    for (int o = 0; o < kLossRows; ++o) {
      if (place.row + o >= size.height) continue;
      const int32_t at = place.at + o * size.floats();
      const float x = read(images.pred + at), y = read(images.target + at);
      const float weight = read(images.weight + place.pixel + o * size.width);
      const float similar = blurred_backward(x, y, WindowGradient<float>{d[o][0], d[o][1], d[o][2]});
      gradient[at] = scale * (l1_backward(x - y, weight) + similar);
    }
  }
};

}  // namespace gaussavatar
