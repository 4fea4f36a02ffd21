// Photometric alignment of a rigid surface over many frames, plain C interface.
//
// Conventions: OpenCV camera space (x right, y down, z forward, metres), pixel centres at +0.5, row-major arrays.
#pragma once

#include <cstdint>

#include "native_api.h"

namespace gaussavatar {

constexpr float kGrazing = 0.2f, kFull = 0.6f;  // cosines between normal and view: unseen below, wholly seen above
constexpr float kLeastArea = 0.05f;             // share of a facing tangent square's area in the image

}  // namespace gaussavatar

extern "C" {

// Frames and what they show: grey images [frames][height][width], head-to-camera poses [frames][12] (rotation
// row-major, then translation), cameras [frames][3] (focal length, principal point of that image), and the surface
// [points][12] in head space: point, unit normal, two unit tangents.
typedef struct {
  const uint8_t* images;
  const float *poses, *cameras, *surface;
  int32_t frames, height, width, points;
} GaSkinScene;

// Adds to sums [points][6], for every point, over all frames: visibility, robust weight, robust weight x grey value,
// visibility x derivative along the two tangents, visibility x squared residual (clipped at 9 sigma^2). Residuals and
// robust weights (1 / (1 + (r / 2 sigma)^2)) are those from `known` [points]; a null `known` makes them 0 and 1.
// values and visible [frames][points] receive each sample unless they are null.
GA_EXPORT int ga_skin_template(const GaSkinScene* scene, const float* known, float sigma, double* sums, float* values,
                               float* visible);

// Normal equations of every frame's pose: H [frames][36] and g [frames][6] of the Gauss-Newton step (H x = g) for a turn
// about the camera's axes through the head's origin and a shift. appearance [points][4]: grey value, its derivatives
// along the tangents, weight.
GA_EXPORT int ga_skin_normal(const GaSkinScene* scene, const float* appearance, float sigma, double* H, double* g);
}
