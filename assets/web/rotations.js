// Head poses as rows of 3 x 4 matrices (12 numbers): between two, about a mean (gaussavatar/motion/poses.py).

/** Matrix (9 numbers, row by row) of a rotation vector in radians. */
export function matrixOf([x, y, z]) {
  const angle = Math.hypot(x, y, z), a = angle < 1e-8 ? 1 : Math.sin(angle) / angle;
  const b = angle < 1e-4 ? 0.5 : (1 - Math.cos(angle)) / angle ** 2, c = Math.cos(angle);
  return [
    c + b * x * x, b * x * y - a * z, b * x * z + a * y,
    b * x * y + a * z, c + b * y * y, b * y * z - a * x,
    b * x * z - a * y, b * y * z + a * x, c + b * z * z,
  ];
}

/** Rotation vector of a matrix; of heads, which do not turn by half a circle. */
export function vectorOf(m) {
  const [x, y, z] = [m[7] - m[5], m[2] - m[6], m[3] - m[1]], double = Math.hypot(x, y, z);
  const angle = Math.atan2(double, m[0] + m[4] + m[8] - 1), scale = double < 1e-8 ? 0.5 : angle / double;
  return [x * scale, y * scale, z * scale];
}

/** Product of matrices of 9 numbers. */
export function product(a, b) {
  return Array.from({ length: 9 }, (_, k) => {
    const row = 3 * Math.floor(k / 3), column = k % 3;
    return a[row] * b[column] + a[row + 1] * b[column + 3] + a[row + 2] * b[column + 6];
  });
}

const turned = (m) => [m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]];
const rotation = (pose) => [0, 1, 2, 4, 5, 6, 8, 9, 10].map((k) => pose[k]);

/** A pose of a matrix and a place in metres. */
export function poseOf(m, [x, y, z]) {
  return Float32Array.of(m[0], m[1], m[2], x, m[3], m[4], m[5], y, m[6], m[7], m[8], z);
}

/** The pose a share of the way from one to another: the shortest turn, the place along a line. */
export function betweenPoses(from, to, share) {
  if (share === 0) return from;
  const first = rotation(from), turn = vectorOf(product(turned(first), rotation(to))).map((value) => value * share);
  return poseOf(product(first, matrixOf(turn)), [3, 7, 11].map((k) => from[k] + share * (to[k] - from[k])));
}

/** The mean of poses: mean place, and the rotation from which the turns to all others cancel out. */
export function meanPose(poses) {
  const count = poses.length, place = [3, 7, 11].map((at) => poses.reduce((sum, pose) => sum + pose[at] / count, 0));
  let mean = rotation(poses[0]);
  for (let round = 0; round < 8; round++) {
    const sum = [0, 0, 0];
    for (const pose of poses) vectorOf(product(turned(mean), rotation(pose))).forEach((value, j) => (sum[j] += value / count));
    mean = product(mean, matrixOf(sum));
  }
  return poseOf(mean, place);
}

/** A pose turned in head space by a rotation vector in radians. */
export function turnedBy(pose, turn) {
  return poseOf(product(rotation(pose), matrixOf(turn)), [3, 7, 11].map((k) => pose[k]));
}

/** A pose of yaw (to the picture's right), pitch (up) and roll (clockwise) in degrees and a place (motion/sheet.py). */
export function poseOfNumbers([yaw, pitch, roll, x, y, z]) {
  const [a, b, c] = [-yaw, -pitch, roll].map((degrees) => (degrees * Math.PI) / 180);
  return poseOf(product(product(matrixOf([0, a, 0]), matrixOf([b, 0, 0])), matrixOf([0, 0, c])), [x, y, z]);
}
