// Blending, pixel by pixel: splats of a depth-ordered list over each other, and whole layers over each other, with their
// gradients. Semantics: gaussavatar/render/semantics.py, points 5 to 7; Porter and Duff (1984) for layers.
#pragma once

#include "hd.h"
#include "splat_math.h"

namespace gaussavatar {

// log2 of a splat's alpha at an offset (dx, dy) from its middle, before the clamp.
template <class V, class S>
GA_HD V log_alpha(const S& splat, V dx, V dy) {
  return fma(dx, fma(V(splat.qa), dx, V(splat.qb) * dy), fma(V(splat.qc) * dy, dy, V(splat.log_opacity)));
}

// A pixel on its way through the list, front to back.
template <class V>
struct PixelBlend {
  V transmittance, red, green, blue;
};

// Puts one more splat behind what there is. `alive` loses the pixels that stop before this splat; returns those that
// it was added to.
template <class V, class M, class S>
GA_HD M blend_splat(const S& splat, V power, PixelBlend<V>& pixel, M& alive) {
  const M hit = both(alive, greater_equal(power, V(kLog2MinAlpha)));
  const V alpha = keep(hit, min(exp_2(power), V(kMaxAlpha)));
  const V next = negated_fma(alpha, pixel.transmittance, pixel.transmittance);
  const M going = greater(next, V(kMinTransmittance));
  const V weight = keep(going, alpha * pixel.transmittance);
  pixel.red = fma(weight, V(splat.red), pixel.red);
  pixel.green = fma(weight, V(splat.green), pixel.green);
  pixel.blue = fma(weight, V(splat.blue), pixel.blue);
  pixel.transmittance = select(going, next, pixel.transmittance);
  alive = both(alive, going);
  return both(hit, going);
}

// A pixel on its way back through the list, back to front.
template <class V>
struct PixelUnblend {
  V transmittance;  // behind the splats visited so far
  V behind;         // dL/d(colour and alpha) of everything behind, per unit of transmittance
};

// What one splat gets from one pixel: its weight in the colour, and alpha dL/dalpha.
template <class V>
struct SplatShare {
  V weight, g;
};

// Takes the last splat off: T before it is T after it over (1 - alpha), and with u = v . color,
// dL/dalpha = T (u - behind), after which behind = alpha u + (1 - alpha) behind.
template <class V, class M, class S>
GA_HD SplatShare<V> unblend_splat(const S& splat, V power, M hit, V v_red, V v_green, V v_blue, PixelUnblend<V>& pixel) {
  const V raw = keep(hit, exp_2(power));
  const V alpha = min(raw, V(kMaxAlpha));
  pixel.transmittance = pixel.transmittance * reciprocal(V(1.0f) - alpha);
  const V weight = alpha * pixel.transmittance;
  const V u = fma(v_red, V(splat.red), fma(v_green, V(splat.green), v_blue * V(splat.blue)));
  const V difference = u - pixel.behind;
  pixel.behind = fma(alpha, difference, pixel.behind);
  return {weight, keep(greater_equal(V(kMaxAlpha), raw), weight * difference)};
}

// One channel of face + (1 - face alpha) (mouth + (1 - mouth alpha) under); through_* are 1 - alpha.
template <class V>
GA_HD V over(V face, V through_face, V mouth, V through_mouth, V under) {
  const V behind = fma(through_mouth, under, mouth);
  return fma(through_face, behind, face);
}

// What one channel's gradient v gives: to the layers, and to minus the alphas (to be added up over the channels). The
// face's own is v.
template <class V>
struct LayerShares {
  V mouth, under, face_alpha, mouth_alpha;
};

template <class V>
GA_HD LayerShares<V> over_backward(V v, V through_face, V mouth, V through_mouth, V under) {
  const V to_mouth = v * through_face;
  return {to_mouth, to_mouth * through_mouth, v * fma(through_mouth, under, mouth), to_mouth * under};
}

}  // namespace gaussavatar
