// L1 and SSIM of one value and their derivatives: the element-wise mathematics of the image losses.
// SSIM: Wang et al. 2004, eq. 13; only x^2 + y^2 is needed of the two squares.
#pragma once

#include "hd.h"

namespace gaussavatar {

constexpr int kWindow = 11, kHalfWindow = 5;
// exp(-k^2 / (2 * 1.5^2)), k = 0..5, over the sum of all eleven.
constexpr float kTap[kHalfWindow + 1] = {0.26601172486179436f, 0.21300553771125369f, 0.10936068950970000f,
                                         0.03600077212843083f, 0.00759875813523919f, 0.00102838008447911f};
constexpr float kC1 = 0.01f * 0.01f, kC2 = 0.03f * 0.03f;

// What the window sees of two images: blurred x, y, x^2 + y^2 and x y.
template <class V>
struct WindowMeans {
  V x, y, squares, product;
};

// SSIM, and the terms that its derivatives need again: numerators a1, a2, reciprocals of the denominators and of both.
template <class V>
struct Similarity {
  V value, a1, a2, r1, r2, r;
};

template <class V>
GA_HD Similarity<V> similarity_of(const WindowMeans<V>& mean) {
  const V c1 = V(kC1), c2 = V(kC2), two = V(2.0f);
  const V mm = mean.x * mean.y, m2 = fma(mean.x, mean.x, mean.y * mean.y);
  Similarity<V> s;
  s.a1 = fma(two, mm, c1), s.a2 = fma(two, mean.product - mm, c2);
  const V b1 = m2 + c1, b2 = mean.squares - m2 + c2;
  s.r1 = reciprocal(b1), s.r2 = reciprocal(b2), s.r = s.r1 * s.r2;
  s.value = s.a1 * s.a2 * s.r;
  return s;
}

// Derivatives of a loss with respect to the blurred x, x^2 + y^2 and x y.
template <class V>
struct WindowGradient {
  V x, squares, product;
};

// g is minus the loss's derivative with respect to the similarity.
template <class V>
GA_HD WindowGradient<V> similarity_backward(const WindowMeans<V>& mean, const Similarity<V>& s, V g) {
  const V v = V(-2.0f) * g;  // the 2 is common to all three
  return {v * fma(mean.y, (s.a2 - s.a1) * s.r, mean.x * s.value * (s.r2 - s.r1)), V(-0.5f) * v * s.value * s.r2,
          v * s.a1 * s.r};
}

// The derivative with respect to x itself, from the blurred WindowGradient.
template <class V>
GA_HD V blurred_backward(V x, V y, const WindowGradient<V>& d) {
  return fma(V(2.0f) * x, d.squares, fma(y, d.product, d.x));
}

// The derivative of weight * |difference|, zero at zero.
template <class V>
GA_HD V l1_backward(V difference, V weight) {
  const V zero = V(0.0f);
  return select(greater(difference, zero), weight, select(greater(zero, difference), zero - weight, zero));
}

}  // namespace gaussavatar
