// One Gaussian from 3D to 2D and back: the element-wise mathematics of the rasterizer.
// Semantics: gaussavatar/render/semantics.py. EWA splatting: Zwicker et al. 2001.
#pragma once

#include "hd.h"

namespace gaussavatar {

constexpr float kBlur = 0.3f;
constexpr float kNear = 0.01f;
constexpr float kFar = 1e10f;
constexpr float kMinAlpha = 1.0f / 255.0f;
constexpr float kMaxAlpha = 0.999f;
constexpr float kMinTransmittance = 1e-4f;
constexpr float kJacobianMargin = 0.15f;
constexpr float kLog2MinAlpha = -7.9943534368588578f;
constexpr float kLog2e = 1.4426950408889634f;

struct Camera {
  float R[9];  // R_camera_world, row-major
  float t[3];
  float fx, fy, cx, cy;
  float slope_min_x, slope_max_x, slope_min_y, slope_max_y;
};

GA_HD Camera make_camera(const float* T_camera_world, const float* K, int width, int height) {
  Camera camera;
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) camera.R[3 * i + j] = T_camera_world[4 * i + j];
    camera.t[i] = T_camera_world[4 * i + 3];
  }
  camera.fx = K[0], camera.fy = K[4], camera.cx = K[2], camera.cy = K[5];
  const float margin_x = kJacobianMargin * width / camera.fx, margin_y = kJacobianMargin * height / camera.fy;
  camera.slope_min_x = -camera.cx / camera.fx - margin_x;
  camera.slope_max_x = (width - camera.cx) / camera.fx + margin_x;
  camera.slope_min_y = -camera.cy / camera.fy - margin_y;
  camera.slope_max_y = (height - camera.cy) / camera.fy + margin_y;
  return camera;
}

template <class V>
struct Gaussian3 {
  V mean[3], quat[4], scale[3], opacity;
};

// Everything that projection computes and its backward pass needs again.
template <class V>
struct Projection {
  V x, y;           // mean in pixels
  V xx, yy;         // diagonal of the blurred 2D covariance
  V a, b, c;        // its inverse
  V depth;
  V q[4], inverse_norm;  // normalised quaternion
  V rotation[9];    // of the quaternion
  V A[9];           // rotation * diag(scale)
  V M[9];           // R_camera_world * A
  V U0[3], U1[3];   // rows of J * M
  V inverse_z, ratio_x, ratio_y, slope_x, slope_y, p[3];
};

template <class V>
GA_HD void rotation_of(const V* q, V* r) {
  const V w = q[0], x = q[1], y = q[2], z = q[3];
  const V two = V(2.0f), one = V(1.0f);
  r[0] = one - two * (y * y + z * z), r[1] = two * (x * y - w * z), r[2] = two * (x * z + w * y);
  r[3] = two * (x * y + w * z), r[4] = one - two * (x * x + z * z), r[5] = two * (y * z - w * x);
  r[6] = two * (x * z - w * y), r[7] = two * (y * z + w * x), r[8] = one - two * (x * x + y * y);
}

// Projects one Gaussian. The caller decides by `depth` and finiteness whether it is drawn;
// for depths that are not drawn the result is finite for finite input but meaningless.
template <class V>
GA_HD void project_forward(const Gaussian3<V>& g, const Camera& camera, Projection<V>& o) {
  for (int i = 0; i < 3; ++i)
    o.p[i] = fma(V(camera.R[3 * i]), g.mean[0],
                 fma(V(camera.R[3 * i + 1]), g.mean[1], fma(V(camera.R[3 * i + 2]), g.mean[2], V(camera.t[i]))));
  o.depth = o.p[2];
  o.inverse_z = V(1.0f) / select(greater_equal(o.depth, V(kNear)), o.depth, V(1.0f));
  V squared = V(0.0f);
  for (int i = 0; i < 4; ++i) squared = fma(g.quat[i], g.quat[i], squared);
  o.inverse_norm = V(1.0f) / square_root(select(greater_equal(squared, V(1e-30f)), squared, V(1.0f)));
  for (int i = 0; i < 4; ++i) o.q[i] = g.quat[i] * o.inverse_norm;
  rotation_of(o.q, o.rotation);
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) o.A[3 * i + j] = o.rotation[3 * i + j] * g.scale[j];
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j)
      o.M[3 * i + j] = fma(V(camera.R[3 * i]), o.A[j],
                           fma(V(camera.R[3 * i + 1]), o.A[3 + j], V(camera.R[3 * i + 2]) * o.A[6 + j]));
  o.ratio_x = o.p[0] * o.inverse_z, o.ratio_y = o.p[1] * o.inverse_z;
  o.slope_x = min(max(o.ratio_x, V(camera.slope_min_x)), V(camera.slope_max_x));
  o.slope_y = min(max(o.ratio_y, V(camera.slope_min_y)), V(camera.slope_max_y));
  o.x = fma(V(camera.fx), o.ratio_x, V(camera.cx));
  o.y = fma(V(camera.fy), o.ratio_y, V(camera.cy));
  const V sx = V(camera.fx) * o.inverse_z, sy = V(camera.fy) * o.inverse_z;
  V xy = V(0.0f);
  o.xx = V(kBlur), o.yy = V(kBlur);
  for (int j = 0; j < 3; ++j) {
    o.U0[j] = sx * (o.M[j] - o.slope_x * o.M[6 + j]);
    o.U1[j] = sy * (o.M[3 + j] - o.slope_y * o.M[6 + j]);
    o.xx = fma(o.U0[j], o.U0[j], o.xx), xy = fma(o.U0[j], o.U1[j], xy), o.yy = fma(o.U1[j], o.U1[j], o.yy);
  }
  // The blur keeps the determinant positive: det = 0.09 + 0.3 trace + det(U U^T), the last by Cauchy-Binet as a
  // sum of squares, which does not cancel the way xx * yy - xy * xy does for long thin Gaussians.
  const V m01 = o.U0[0] * o.U1[1] - o.U0[1] * o.U1[0];
  const V m02 = o.U0[0] * o.U1[2] - o.U0[2] * o.U1[0];
  const V m12 = o.U0[1] * o.U1[2] - o.U0[2] * o.U1[1];
  const V determinant = fma(m01, m01, fma(m02, m02, m12 * m12)) + V(kBlur) * (o.xx + o.yy - V(kBlur));
  const V inverse = V(1.0f) / determinant;
  o.a = o.yy * inverse, o.b = V(0.0f) - xy * inverse, o.c = o.xx * inverse;
}

template <class V>
struct Splat2Gradient {
  V x, y, a, b, c;
};

template <class V>
struct Gaussian3Gradient {
  V mean[3], quat[4], scale[3];
  V R[9], t[3];  // with respect to the camera pose
};

// Gradient of a loss through project_forward. The quadratic form is a dx^2 + 2 b dx dy + c dy^2, and v.b is the
// derivative with respect to that b.
template <class V>
GA_HD void project_backward(const Gaussian3<V>& g, const Camera& camera, const Projection<V>& o,
                            const Splat2Gradient<V>& v, Gaussian3Gradient<V>& d) {
  const V half_b = V(0.5f) * v.b, two = V(2.0f), zero = V(0.0f);
  // d inverse(S) = -inverse(S) dS inverse(S).
  const V x00 = v.a * o.a + half_b * o.b, x01 = v.a * o.b + half_b * o.c;
  const V x10 = half_b * o.a + v.c * o.b, x11 = half_b * o.b + v.c * o.c;
  const V s00 = zero - (o.a * x00 + o.b * x10), s01 = zero - (o.a * x01 + o.b * x11);
  const V s11 = zero - (o.b * x01 + o.c * x11);
  const V sx = V(camera.fx) * o.inverse_z, sy = V(camera.fy) * o.inverse_z;
  V v_M[9], v_sx = zero, v_sy = zero, v_slope_x = zero, v_slope_y = zero;
  for (int j = 0; j < 3; ++j) {
    const V u0 = two * (s00 * o.U0[j] + s01 * o.U1[j]), u1 = two * (s01 * o.U0[j] + s11 * o.U1[j]);
    const V e0 = sx * u0, e1 = sy * u1;
    v_M[j] = e0, v_M[3 + j] = e1;
    v_M[6 + j] = zero - (o.slope_x * e0 + o.slope_y * e1);
    v_sx = fma(u0, o.M[j] - o.slope_x * o.M[6 + j], v_sx);
    v_sy = fma(u1, o.M[3 + j] - o.slope_y * o.M[6 + j], v_sy);
    v_slope_x = v_slope_x - e0 * o.M[6 + j], v_slope_y = v_slope_y - e1 * o.M[6 + j];
  }
  const V free_x = select(both(greater_equal(o.ratio_x, V(camera.slope_min_x)),
                               greater_equal(V(camera.slope_max_x), o.ratio_x)),
                          v_slope_x, zero);
  const V free_y = select(both(greater_equal(o.ratio_y, V(camera.slope_min_y)),
                               greater_equal(V(camera.slope_max_y), o.ratio_y)),
                          v_slope_y, zero);
  const V v_ratio_x = fma(V(camera.fx), v.x, free_x), v_ratio_y = fma(V(camera.fy), v.y, free_y);
  V v_p[3];
  v_p[0] = v_ratio_x * o.inverse_z, v_p[1] = v_ratio_y * o.inverse_z;
  v_p[2] = zero - o.inverse_z * (v_ratio_x * o.ratio_x + v_ratio_y * o.ratio_y + v_sx * sx + v_sy * sy);
  V v_A[9];
  for (int j = 0; j < 3; ++j) {
    d.t[j] = v_p[j];
    d.mean[j] = fma(V(camera.R[j]), v_p[0], fma(V(camera.R[3 + j]), v_p[1], V(camera.R[6 + j]) * v_p[2]));
    for (int i = 0; i < 3; ++i) {
      d.R[3 * i + j] = fma(v_p[i], g.mean[j],
                           fma(v_M[3 * i], o.A[3 * j],
                               fma(v_M[3 * i + 1], o.A[3 * j + 1], v_M[3 * i + 2] * o.A[3 * j + 2])));
      v_A[3 * i + j] = fma(V(camera.R[i]), v_M[j], fma(V(camera.R[3 + i]), v_M[3 + j], V(camera.R[6 + i]) * v_M[6 + j]));
    }
  }
  V r[9];
  for (int j = 0; j < 3; ++j) {
    d.scale[j] = fma(v_A[j], o.rotation[j], fma(v_A[3 + j], o.rotation[3 + j], v_A[6 + j] * o.rotation[6 + j]));
    for (int i = 0; i < 3; ++i) r[3 * i + j] = v_A[3 * i + j] * g.scale[j];
  }
  const V w = o.q[0], x = o.q[1], y = o.q[2], z = o.q[3];
  V u[4];
  u[0] = two * (z * (r[3] - r[1]) + y * (r[2] - r[6]) + x * (r[7] - r[5]));
  u[1] = two * (y * (r[1] + r[3]) + z * (r[2] + r[6]) + w * (r[7] - r[5]) - two * x * (r[4] + r[8]));
  u[2] = two * (x * (r[1] + r[3]) + z * (r[5] + r[7]) + w * (r[2] - r[6]) - two * y * (r[0] + r[8]));
  u[3] = two * (x * (r[2] + r[6]) + y * (r[5] + r[7]) + w * (r[3] - r[1]) - two * z * (r[0] + r[4]));
  V radial = zero;
  for (int i = 0; i < 4; ++i) radial = fma(u[i], o.q[i], radial);
  for (int i = 0; i < 4; ++i) d.quat[i] = (u[i] - radial * o.q[i]) * o.inverse_norm;
}

}  // namespace gaussavatar
