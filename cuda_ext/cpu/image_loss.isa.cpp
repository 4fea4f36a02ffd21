// L1 + SSIM with its gradient in one pass over the rows; compiled once per instruction set.
//
// Rows of interleaved channels stream through rings of kRing rows: inputs and their products -> blurred down the
// columns -> blurred along the rows -> SSIM and its derivatives -> blurred along the rows -> down the columns ->
// gradient.
#include "image_loss.h"

#include <cstring>

#include "simd.h"
#include "ssim_math.h"

namespace gaussavatar {
namespace GA_ISA {
namespace {

constexpr int kRows = 4;  // output rows of a vertical pass, which share its loads

struct Rows {
  float* base;
  int stride;
  __attribute__((always_inline)) float* operator[](int row) const { return base + static_cast<size_t>(row) * stride; }
};

struct Workspace {
  int length;  // floats of a row, a multiple of kLanes
  Rows x, y, squares, product;      // rings of inputs
  Rows d_mean, d_squares, d_product;  // rings of derivatives, already blurred along the rows
  Rows blurred;                     // [4 images][kRows], blurred down the columns
  Rows derivative;                  // [3]: one row each, not yet blurred
  float* weight;                    // one row, each weight three times
};

Workspace carve(float* scratch, int width) {
  Workspace w;
  w.length = (3 * width + 15) / 16 * 16;
  const int stride = w.length + 2 * kRowPadding;
  std::memset(scratch, 0, loss_scratch(width) * sizeof(float));
  float* next = scratch + kRowPadding;
  auto take = [&](int rows) {
    const Rows taken{next, stride};
    next += static_cast<size_t>(rows) * stride;
    return taken;
  };
  w.x = take(kRing), w.y = take(kRing), w.squares = take(kRing), w.product = take(kRing);
  w.d_mean = take(kRing), w.d_squares = take(kRing), w.d_product = take(kRing);
  w.blurred = take(4 * kRows);
  w.derivative = take(3);
  w.weight = take(1)[0];
  return w;
}

GA_INLINE int ring(int row) { return (row + 8 * kRing) % kRing; }

// Brings an input row (zeros outside the image) and its products into the rings.
void enter_row(const Workspace& w, const LossBand& band, int row) {
  const int r = ring(row), floats = 3 * band.width;
  float *x = w.x[r], *y = w.y[r], *squares = w.squares[r], *product = w.product[r];
  if (row < 0 || row >= band.height) {
    float* const images[4] = {x, y, squares, product};
    for (float* image : images) std::memset(image, 0, sizeof(float) * w.length);
    return;
  }
  std::memcpy(x, band.pred + static_cast<size_t>(row) * floats, sizeof(float) * floats);
  std::memcpy(y, band.target + static_cast<size_t>(row) * floats, sizeof(float) * floats);
  for (int i = 0; i < w.length; i += kLanes) {
    const Vec a = load(x + i), b = load(y + i);
    store(squares + i, fma(a, a, b * b));
    store(product + i, a * b);
  }
}

// out[o] = sum_k tap[|k|] rows[o + 5 + k] for kRows rows at once.
GA_INLINE void blur_down(const float* const* rows, int i, Vec* out) {
  Vec r[kRows + kWindow - 1];
  for (int k = 0; k < kRows + kWindow - 1; ++k) r[k] = load(rows[k] + i);
  for (int o = 0; o < kRows; ++o) {
    Vec sum = r[o + kHalfWindow] * Vec(kTap[0]);
    for (int k = 1; k <= kHalfWindow; ++k)
      sum = fma(r[o + kHalfWindow - k] + r[o + kHalfWindow + k], Vec(kTap[k]), sum);
    out[o] = sum;
  }
}

// The same along a row; neighbours of one channel are three floats apart.
GA_INLINE Vec blur_along(const float* row, int i) {
  Vec sum = load(row + i) * Vec(kTap[0]);
  for (int k = 1; k <= kHalfWindow; ++k)
    sum = fma(load(row + i - 3 * k) + load(row + i + 3 * k), Vec(kTap[k]), sum);
  return sum;
}

void blur_inputs_down(const Workspace& w, int first) {
  const Rows images[4] = {w.x, w.y, w.squares, w.product};
  for (int image = 0; image < 4; ++image) {
    const float* rows[kRows + kWindow - 1];
    for (int k = 0; k < kRows + kWindow - 1; ++k) rows[k] = images[image][ring(first - kHalfWindow + k)];
    for (int i = 0; i < w.length; i += kLanes) {
      Vec out[kRows];
      blur_down(rows, i, out);
      for (int o = 0; o < kRows; ++o) store(w.blurred[image * kRows + o] + i, out[o]);
    }
  }
}

void expand_weights(const Workspace& w, const LossBand& band, int row) {
  const float* weight = band.weight + static_cast<size_t>(row) * band.width;
  for (int i = 0; i < band.width; ++i)
    for (int c = 0; c < 3; ++c) w.weight[3 * i + c] = weight[i];
}

// SSIM of image row `row`, which is row o of the vertical pass. Writes the map, or the derivatives' ring rows.
double ssim_row(const Workspace& w, const LossBand& band, int row, int o) {
  if (band.map == nullptr) expand_weights(w, band, row);
  const Vec scale = Vec(band.ssim_scale), one = Vec(1.0f);
  Vec total = Vec(0.0f);
  float* line = w.weight;
  for (int i = 0; i < w.length; i += kLanes) {
    const WindowMeans<Vec> mean{blur_along(w.blurred[o], i), blur_along(w.blurred[kRows + o], i),
                                blur_along(w.blurred[2 * kRows + o], i), blur_along(w.blurred[3 * kRows + o], i)};
    const Similarity<Vec> similarity = similarity_of(mean);
    if (band.map != nullptr) {
      store(line + i, similarity.value);
      continue;
    }
    const Vec g = load(w.weight + i) * scale;
    total = fma(g, one - similarity.value, total);
    const WindowGradient<Vec> derivative = similarity_backward(mean, similarity, g);
    store(w.derivative[0] + i, derivative.x);
    store(w.derivative[1] + i, derivative.squares);
    store(w.derivative[2] + i, derivative.product);
  }
  if (band.map != nullptr) {
    std::memcpy(band.map + static_cast<size_t>(row) * 3 * band.width, line, sizeof(float) * 3 * band.width);
    return 0.0;
  }
  if (band.gradient != nullptr) {
    const Rows rings[3] = {w.d_mean, w.d_squares, w.d_product};
    for (int k = 0; k < 3; ++k)
      for (int i = 0; i < w.length; i += kLanes) store(rings[k][ring(row)] + i, blur_along(w.derivative[k], i));
  }
  return row >= band.y0 && row < band.y1 ? sum(total) : 0.0;
}

// Rows [first, first + kRows) of SSIM; rows outside the image leave zeros in the derivatives' rings.
double ssim_rows(const Workspace& w, const LossBand& band, int first) {
  double loss = 0.0;
  blur_inputs_down(w, first);
  for (int o = 0; o < kRows; ++o) {
    const int row = first + o;
    if (row >= 0 && row < band.height) {
      if (band.map == nullptr || (row >= band.y0 && row < band.y1)) loss += ssim_row(w, band, row, o);
    } else {
      const Rows rings[3] = {w.d_mean, w.d_squares, w.d_product};
      for (const Rows& image : rings)
        std::memset(image[ring(row)], 0, sizeof(float) * w.length);
    }
  }
  return loss;
}

GA_INLINE Vec load_some(const float* p, int count) {
  if (count >= kLanes) return load(p);
  float lanes[kLanes] = {};
  std::memcpy(lanes, p, sizeof(float) * count);
  return load(lanes);
}

GA_INLINE void store_some(float* p, Vec v, int count) {
  if (count >= kLanes) return store(p, v);
  float lanes[kLanes];
  store(lanes, v);
  std::memcpy(p, lanes, sizeof(float) * count);
}

// L1 of one row; adds its gradient to that of SSIM, of which d_* are the blurred derivatives (null without SSIM).
GA_INLINE double finish_row(const Workspace& w, const LossBand& band, int row, const float* d_mean,
                            const float* d_squares, const float* d_product) {
  const int floats = 3 * band.width;
  const size_t start = static_cast<size_t>(row) * floats;
  const Vec zero = Vec(0.0f), scale = Vec(band.l1_scale);
  Vec total = zero;
  expand_weights(w, band, row);
  for (int i = 0; i < floats; i += kLanes) {
    const int count = floats - i;
    const Vec x = load_some(band.pred + start + i, count), y = load_some(band.target + start + i, count);
    const Vec difference = x - y, weight = load(w.weight + i) * scale;
    total = fma(weight, absolute(difference), total);
    if (band.gradient == nullptr) continue;
    Vec g = l1_backward(difference, weight);
    if (d_mean != nullptr)
      g = g + blurred_backward(x, y, WindowGradient<Vec>{load(d_mean + i), load(d_squares + i), load(d_product + i)});
    store_some(band.gradient + start + i, g, count);
  }
  return sum(total);
}

double finish_rows(const Workspace& w, const LossBand& band, int first) {
  double loss = 0.0;
  const bool blur = band.gradient != nullptr && band.ssim_scale != 0.0f;
  if (blur) {
    const Rows rings[3] = {w.d_mean, w.d_squares, w.d_product};
    for (int image = 0; image < 3; ++image) {
      const float* rows[kRows + kWindow - 1];
      for (int k = 0; k < kRows + kWindow - 1; ++k) rows[k] = rings[image][ring(first - kHalfWindow + k)];
      for (int i = 0; i < w.length; i += kLanes) {
        Vec out[kRows];
        blur_down(rows, i, out);
        for (int o = 0; o < kRows; ++o) store(w.blurred[image * kRows + o] + i, out[o]);
      }
    }
  }
  for (int o = 0; o < kRows && first + o < band.y1; ++o)
    loss += finish_row(w, band, first + o, blur ? w.blurred[o] : nullptr, w.blurred[kRows + o],
                       w.blurred[2 * kRows + o]);
  return loss;
}

double photometric(const LossBand& band, float* scratch) {
  const Workspace w = carve(scratch, band.width);
  double loss = 0.0;
  if (band.map == nullptr && band.ssim_scale == 0.0f) {
    for (int row = band.y0; row < band.y1; row += kRows) loss += finish_rows(w, band, row);
    return loss;
  }
  int entered = band.y0 - 2 * kHalfWindow;  // input rows below this are in the rings
  int similar = band.y0 - kHalfWindow;      // SSIM rows below this are done
  for (int row = band.y0; row < band.y1; row += kRows) {
    // The gradient of kRows rows needs the derivatives of half a window more on either side, and the ring holds them.
    while (similar < row + kRows + kHalfWindow) {
      for (; entered < similar + kRows + kHalfWindow; ++entered) enter_row(w, band, entered);
      loss += ssim_rows(w, band, similar);
      similar += kRows;
    }
    if (band.map == nullptr) loss += finish_rows(w, band, row);
  }
  return loss;
}

double sum_of(const float* values, int64_t count) {
  double total = 0.0;
  int64_t i = 0;
  while (i + 4 * kLanes <= count) {
    // Single precision only over short stretches.
    const int64_t stop = count - i < 4096 ? count : i + 4096;
    Vec part[4] = {Vec(0.0f), Vec(0.0f), Vec(0.0f), Vec(0.0f)};
    for (; i + 4 * kLanes <= stop; i += 4 * kLanes)
      for (int k = 0; k < 4; ++k) part[k] = part[k] + load(values + i + k * kLanes);
    total += sum((part[0] + part[1]) + (part[2] + part[3]));
  }
  for (; i < count; ++i) total += values[i];
  return total;
}

}  // namespace

extern const LossKernels loss_kernels;
const LossKernels loss_kernels = {sum_of, photometric};

}  // namespace GA_ISA
}  // namespace gaussavatar
