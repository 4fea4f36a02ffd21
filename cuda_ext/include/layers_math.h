// Layers over each other: what each thread of the kernels does, as functors of its index. See blend_math.h.
#pragma once

#include "blend_math.h"
#include "native_api.h"

namespace gaussavatar {

// Images [pixels][3], alphas [pixels]; premultiplied.
struct DeviceLayers {
  const float *face, *face_alpha, *mouth, *mouth_alpha, *under;
  int64_t pixels;
};

// Thread (number of the image).
struct LayersOver {
  DeviceLayers layers;
  float* image;

  GA_HD_MEMBER int64_t threads() const { return 3 * layers.pixels; }

  GA_HD_MEMBER void operator()(int64_t i) const {
    const int64_t pixel = i / 3;
    image[i] = over(layers.face[i], 1.0f - layers.face_alpha[pixel], layers.mouth[i],
                    1.0f - layers.mouth_alpha[pixel], layers.under[i]);
  }
};

// Thread (pixel): all gradients but the face's, which is v_image.
struct LayersBackward {
  DeviceLayers layers;
  const float* v_image;
  float *v_face_alpha, *v_mouth, *v_mouth_alpha;
  float* v_under;  // or null

  GA_HD_MEMBER int64_t threads() const { return layers.pixels; }

  GA_HD_MEMBER void operator()(int64_t pixel) const {
    const float through_face = 1.0f - layers.face_alpha[pixel], through_mouth = 1.0f - layers.mouth_alpha[pixel];
    LayerShares<float> shares[3];
    GA_UNROLL
    for (int c = 0; c < 3; ++c) {
      const int64_t i = 3 * pixel + c;
      shares[c] = over_backward(v_image[i], through_face, layers.mouth[i], through_mouth, layers.under[i]);
    }
    v_face_alpha[pixel] = -(shares[0].face_alpha + shares[1].face_alpha + shares[2].face_alpha);
    v_mouth_alpha[pixel] = -(shares[0].mouth_alpha + shares[1].mouth_alpha + shares[2].mouth_alpha);
    GA_UNROLL
    for (int c = 0; c < 3; ++c) {
      v_mouth[3 * pixel + c] = shares[c].mouth;
      if (v_under != nullptr) v_under[3 * pixel + c] = shares[c].under;
    }
  }
};

}  // namespace gaussavatar
