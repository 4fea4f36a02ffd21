// The processor's inner loops in WebAssembly, four numbers at a time: sums of bases, splats, and what lies under the head.
// They do what sumBases() of blend.js and cpu.js do, which are for where there is no WebAssembly.

import { assemble } from "./assembler.js";

const words = (...list) => list.flatMap((word) => [0, 1, 2, 3].map((byte) => 4 * word + byte)).join(" ");
const summed = (sum, end) => `(= ${sum} (f32x4.add ${sum} (f32x4.mul $factor (f32x4.convert_i32x4_s (i32x4.extend_${end}_i16x8_s $wide)))))`;
const blended = (at, color) => `(v128.store ${at} $p (f32x4.add (v128.load ${at} $p) (f32x4.mul $weight ${color})))`;
const within = (low, high, value) => `(i32.trunc_sat_f32_s (f32.max ${low} (f32.min ${high} ${value})))`;
const mapped = (row) => `(f32x4.add (f32x4.mul $u (v128.load32_splat ${12 * row} $card)) (f32x4.splat (f32.add (f32.mul (f32.load ${12 * row + 4} $card) $y) (f32.load ${12 * row + 8} $card))))`;
const clamped = (value, low, high) => `(i32x4.trunc_sat_f32x4_s (f32x4.max ${low} (f32x4.min (v128.load32_splat ${high} $card) (f32x4.sub ${value} (f32x4 127.5)))))`;
const fraction = (value) => `(f32x4.mul (f32x4 .00390625) (f32x4.convert_i32x4_s (v128.and ${value} (i32x4.splat (i32 255)))))`;
const texel = (past, at) => `(f32x4.convert_i32x4_s (i32x4.extend_low_i16x8_u (i16x8.extend_low_i8x16_u (v128.load32_zero ${past} ${at}))))`;
// The neighbours of a texel at the edge count nothing, whatever they are.
const bilinear = (into, at) => `
  (= ${into} ${texel(0, at)}) (= ${into} (f32x4.add ${into} (f32x4.mul $u (f32x4.sub ${texel(4, at)} ${into}))))
  (= $at (i32.add ${at} $down))
  (= $b ${texel(0, "$at")}) (= $b (f32x4.add $b (f32x4.mul $u (f32x4.sub ${texel(4, "$at")} $b))))
  (= ${into} (f32x4.add ${into} (f32x4.mul $v (f32x4.sub $b ${into}))))`;
const colored = (at) => `(v128.store ${at} $four (f32x4.add (v128.load ${at} $four) (f32x4.mul (v128.load 0 $color) (v128.load32_splat ${at + 12} $four))))`;

const TEXT = `
;; A row of a motion, sixteen numbers at a time: sums of factor times basis. From $used to $last lie pairs of where a
;; basis begins and its factor.
(func sum (param i32 $to $end $used $last) (local i32 $k $at) (local v128 $a $b $c $d $bytes $wide $factor)
  (loop $next
    (= $a (f32x4 0)) (= $b (f32x4 0)) (= $c (f32x4 0)) (= $d (f32x4 0)) (= $k $used)
    (loop $more (if (i32.lt_u $k $last)
      (= $bytes (v128.load 0 (i32.add $at (i32.load 0 $k)))) (= $factor (v128.load32_splat 4 $k))
      (= $wide (i16x8.extend_low_i8x16_s $bytes)) ${summed("$a", "low")} ${summed("$b", "high")}
      (= $wide (i16x8.extend_high_i8x16_s $bytes)) ${summed("$c", "low")} ${summed("$d", "high")}
      (= $k (i32.add $k (i32 8))) (br $more)))
    (v128.store 0 $to $a) (v128.store 16 $to $b) (v128.store 32 $to $c) (v128.store 48 $to $d)
    (= $at (i32.add $at (i32 16))) (= $to (i32.add $to (i32 64)))
    (if (i32.lt_u $to $end) (br $next))))

;; Nothing drawn yet.
(func clear (param i32 $p $end)
  (loop $next
    (v128.store 0 $p (f32x4 1)) (v128.store 16 $p (f32x4 0)) (v128.store 32 $p (f32x4 0)) (v128.store 48 $p (f32x4 0))
    (= $p (i32.add $p (i32 64)))
    (if (i32.lt_u $p $end) (br $next))))

;; Splats of project.js, front to back, into groups of four pixels: what goes through, red, green, blue. A pixel that has
;; stopped keeps what went through before, negative. $right and $bottom are the last column and row; $spans is room for
;; eight bytes per row and a few more.
(func draw (param i32 $s $end $picture $stride $spans) (param f32 $right $bottom)
  (local i32 $row $last $from $to $p $span) (local f32 $x $y $ia $ib $ic $a $bend $wide $lean $tall $dy)
  (local v128 $one $shift $c0 $c1 $c2 $c3 $c4 $most $least $sign $k $red $green $blue $u $v $du $dv $q $through $mask $f $n $weight $keep)
  ;; Constants are made once.
  (= $one (f32x4 1)) (= $shift (f32x4 7.994353436858858)) (= $most (f32x4 .999)) (= $least (f32x4 1e-4)) (= $sign (f32x4 -0))
  (= $c0 (f32x4 .99999926)) (= $c1 (f32x4 .69312181)) (= $c2 (f32x4 .24024745)) (= $c3 (f32x4 .05591786)) (= $c4 (f32x4 .0095701))
  (loop $splat (if (i32.lt_u $s $end)
    (= $x (f32.load 0 $s)) (= $y (f32.load 4 $s))
    ;; |L^-1 d|^2 = (ia dx)^2 + (ib dx + ic dy)^2.
    (= $ia (f32.div (f32 1) (f32.load 8 $s))) (= $ic (f32.div (f32 1) (f32.load 16 $s)))
    (= $bend (f32.mul $ia $ic)) (= $ib (f32.neg (f32.mul (f32.load 12 $s) $bend)))
    (= $a (f32.add (f32.mul $ia $ia) (f32.mul $ib $ib))) (= $wide (f32.div (f32 1) $a)) (= $lean (f32.mul (f32.mul $ib $ic) $wide))
    (= $tall (f32.sqrt (f32.add (f32.mul (f32.load 12 $s) (f32.load 12 $s)) (f32.mul (f32.load 16 $s) (f32.load 16 $s)))))
    (= $row ${within("(f32 0)", "$bottom", "(f32.ceil (f32.sub (f32.sub $y $tall) (f32 .5)))")})
    (= $last ${within("(f32 -1)", "$bottom", "(f32.floor (f32.sub (f32.add $y $tall) (f32 .5)))")})
    ;; First and last columns of four rows at a time.
    (= $to $row) (= $span $spans)
    (loop $measure
      (= $v (f32x4.sub (f32x4.add (f32x4.splat (f32.convert_i32_s $to)) (f32x4 .5 1.5 2.5 3.5)) (f32x4.splat $y)))
      (= $u (f32x4.mul $v (f32x4.splat $bend)))
      (= $u (f32x4.sub (f32x4.splat $a) (f32x4.mul $u $u)))
      (= $mask (f32x4.gt $u (f32x4 0)))
      (= $u (f32x4.mul (f32x4.splat $wide) (f32x4.sqrt $u)))
      (= $v (f32x4.sub (f32x4.splat (f32.sub $x (f32 .5))) (f32x4.mul $v (f32x4.splat $lean))))
      (v128.store 0 $span (i32x4.trunc_sat_f32x4_s (f32x4.max (f32x4 0) (f32x4.ceil (f32x4.sub $v $u)))))
      (v128.store 16 $span (v128.or (v128.not $mask)
        (i32x4.trunc_sat_f32x4_s (f32x4.min (f32x4.splat $right) (f32x4.floor (f32x4.add $v $u))))))
      (= $to (i32.add $to (i32 4))) (= $span (i32.add $span (i32 32)))
      (if (i32.le_s $to $last) (br $measure)))
    (= $k (f32x4.splat (f32.mul (f32.load 24 $s) (f32 1.4426950408889634))))
    (= $red (v128.load32_splat 28 $s)) (= $green (v128.load32_splat 32 $s)) (= $blue (v128.load32_splat 36 $s))
    (= $du (f32x4.splat (f32.mul $ia (f32 4)))) (= $dv (f32x4.splat (f32.mul $ib (f32 4)))) (= $span $spans)
    (loop $down (if (i32.le_s $row $last)
      (= $from (i32.load 0 $span)) (= $to (i32.load 16 $span))
      (if (i32.le_s $from $to)
        (= $from (i32.shr_s $from (i32 2)))
        (= $dy (f32.sub (f32.add (f32.convert_i32_s $row) (f32 .5)) $y))
        (= $u (f32x4.add (f32x4 .5 1.5 2.5 3.5) (f32x4.splat (f32.sub (f32.convert_i32_s (i32.shl $from (i32 2))) $x))))
        (= $v (f32x4.add (f32x4.mul $u (f32x4.splat $ib)) (f32x4.splat (f32.mul $ic $dy))))
        (= $u (f32x4.mul $u (f32x4.splat $ia)))
        (= $p (i32.add $picture (i32.mul $row $stride)))
        (= $to (i32.add $p (i32.shl (i32.shr_s $to (i32 2)) (i32 6)))) (= $p (i32.add $p (i32.shl $from (i32 6))))
        (loop $along
          (= $q (f32x4.add (f32x4.mul $u $u) (f32x4.mul $v $v))) (= $through (v128.load 0 $p))
          (= $mask (v128.and (f32x4.le $q $one) (f32x4.gt $through (f32x4 0))))
          (if (v128.any_true $mask)
            ;; alpha = 2^n 2^f, the second one by a polynomial that is right to 3e-6; the shift is the logarithm of 255.
            (= $f (f32x4.sub (f32x4.mul $k (f32x4.sub $one (f32x4.pmin $q $one))) $shift))
            (= $n (f32x4.nearest $f)) (= $f (f32x4.sub $f $n))
            (= $f (f32x4.add $c0 (f32x4.mul $f (f32x4.add $c1 (f32x4.mul $f (f32x4.add $c2
              (f32x4.mul $f (f32x4.add $c3 (f32x4.mul $f $c4)))))))))
            (= $f (i32x4.add $f (i32x4.shl (i32x4.trunc_sat_f32x4_s $n) (i32 23))))
            (= $weight (f32x4.mul $through (f32x4.pmin $f $most)))
            (= $keep (f32x4.gt (f32x4.sub $through $weight) $least))
            (= $weight (v128.and $weight (v128.and $mask $keep)))
            (v128.store 0 $p (v128.or (f32x4.sub $through $weight) (v128.and $sign (v128.andnot $mask $keep))))
            ${blended(16, "$red")} ${blended(32, "$green")} ${blended(48, "$blue")})
          (= $u (f32x4.add $u $du)) (= $v (f32x4.add $v $dv)) (= $p (i32.add $p (i32 64)))
          (if (i32.le_s $p $to) (br $along))))
      (= $row (i32.add $row (i32 1))) (= $span (i32.add $span (i32 4)))
      (if (i32.and $span (i32 16)) (= $span (i32.add $span (i32 16))))
      (br $down)))
    (= $s (i32.add $s (i32 40))) (br $splat))))

;; Four pixels at $p (red, green, blue, what goes through) over a card, bilinear to the 256th of a texel; the card's edges
;; go on. Three vectors behind the pixels are room.
(func lay (param i32 $p $card) (param f32 $x $y)
  (local i32 $end $at $under $down) (local f32 $weight) (local v128 $w $u $v $a $b)
  (= $u (f32x4.add (f32x4.splat $x) (f32x4 .5 1.5 2.5 3.5)))
  (= $w (f32x4.div (f32x4 256) ${mapped(2)})) (= $v (f32x4.mul ${mapped(1)} $w)) (= $u (f32x4.mul ${mapped(0)} $w))
  (= $u ${clamped("$u", "(f32x4 0)", 36)}) (= $v ${clamped("$v", "(v128.load32_splat 40 $card)", 44)})
  (v128.store 80 $p ${fraction("$u")}) (v128.store 96 $p ${fraction("$v")})
  (= $down (i32.load 48 $card)) (= $under (i32.load 56 $card)) (= $end (i32.add $p (i32 64)))
  (v128.store 64 $p (i32x4.add (v128.load32_splat 52 $card)
    (i32x4.add (i32x4.shl (i32x4.shr_s $u (i32 8)) (i32 2)) (i32x4.mul (i32x4.shr_s $v (i32 8)) (i32x4.splat $down)))))
  (= $card $end)
  (loop $next
    (= $weight (f32.load 12 $p))
    (if (f32.gt $weight (f32 0))
      (= $at (i32.load 0 $card)) (= $u (v128.load32_splat 16 $card)) (= $v (v128.load32_splat 32 $card))
      (if $under
        ${bilinear("$a", "(i32.add $at $under)")}
        (= $weight (f32.mul $weight (f32.mul (f32x4.extract_lane 0 $a) (f32 .00392156862745098)))))
      (if (f32.gt $weight (f32 0))
        (= $at (i32.load 0 $card)) ${bilinear("$a", "$at")}
        (= $a (f32x4.mul $a (f32x4 .00392156862745098)))
        (v128.store 0 $p (f32x4.add (v128.load 0 $p) (f32x4.mul (f32x4.splat $weight) (f32x4.replace_lane 3 $a (f32 -1)))))))
    (= $p (i32.add $p (i32 16))) (= $card (i32.add $card (i32 4)))
    (if (i32.lt_u $p $end) (br $next))))

;; A pixel as straight red, green, blue, alpha in 0..255.
(func straight (param v128 $p) (result v128) (local f32 $alpha)
  (= $alpha (f32.sub (f32 1) (f32x4.extract_lane 3 $p)))
  (= $p (f32x4.mul $p (f32x4.splat (select (f32.div (f32 255) $alpha) (f32 0) (f32.gt $alpha (f32 .00196))))))
  (i32x4.trunc_sat_f32x4_s (f32x4.add (f32x4 .5) (f32x4.replace_lane 3 $p (f32.mul (f32 255) $alpha)))))

;; The picture over what lies under it: four pixels at a time, to rows of $bytes bytes.
(func compose (param i32 $p $stride $out $bytes $height $four $torso $plate $color)
  (local i32 $row $end $to) (local f32 $x $y) (local v128 $t $r $g $b $low $high)
  (loop $down
    (= $end (i32.add $p $stride)) (= $y (f32.add (f32.convert_i32_s $row) (f32 .5))) (= $x (f32 0)) (= $to $out)
    (loop $along
      (= $t (f32x4.abs (v128.load 0 $p))) (= $r (v128.load 16 $p)) (= $g (v128.load 32 $p)) (= $b (v128.load 48 $p))
      (= $low (i8x16.shuffle ${words(0, 4, 1, 5)} $r $g)) (= $high (i8x16.shuffle ${words(0, 4, 1, 5)} $b $t))
      (v128.store 0 $four (i8x16.shuffle ${words(0, 1, 4, 5)} $low $high)) (v128.store 16 $four (i8x16.shuffle ${words(2, 3, 6, 7)} $low $high))
      (= $low (i8x16.shuffle ${words(2, 6, 3, 7)} $r $g)) (= $high (i8x16.shuffle ${words(2, 6, 3, 7)} $b $t))
      (v128.store 32 $four (i8x16.shuffle ${words(0, 1, 4, 5)} $low $high)) (v128.store 48 $four (i8x16.shuffle ${words(2, 3, 6, 7)} $low $high))
      (if $torso (call lay $four $torso $x $y))
      (if $plate (call lay $four $plate $x $y))
      (if $color ${[0, 16, 32, 48].map(colored).join("\n")})
      (v128.store 0 $to (i8x16.narrow_i16x8_u
        (i16x8.narrow_i32x4_s (call straight (v128.load 0 $four)) (call straight (v128.load 16 $four)))
        (i16x8.narrow_i32x4_s (call straight (v128.load 32 $four)) (call straight (v128.load 48 $four)))))
      (= $to (i32.add $to (i32 16))) (= $x (f32.add $x (f32 4))) (= $p (i32.add $p (i32 64)))
      (if (i32.lt_u $p $end) (br $along)))
    (= $out (i32.add $out $bytes)) (= $row (i32.add $row (i32 1)))
    (if (i32.lt_s $row $height) (br $down))))
`;
/** Kernels read and write up to so many bytes past what they are given. */
export const ROOM = 64;
const PAGE = 65536;
let compiled;

/** The kernels over memory of their own, or null where the browser has no such WebAssembly or the page forbids it. */
export function opened(bytes) {
  if (compiled === null) return null;
  try {
    compiled ??= new WebAssembly.Module(assemble(TEXT));
    const m = new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE) });
    return { ...new WebAssembly.Instance(compiled, { js: { m } }).exports, memory: m.buffer };
  } catch {
    compiled ??= null;
    return null;
  }
}

/**
 * Room for the sums of a branch's bases.
 * @param {{basis: Int8Array, moving: number}} branch
 * @param {number} width rows of a motion.
 * @returns {{motion: Float32Array, row: (row: number, from: ArrayLike<number>, factors: ArrayLike<number>, count: number) => void}|null}
 *   `row` fills a row of the motion with the sum of factors times bases, which begin at `from`; it spoils the next one.
 */
export function openSums({ basis, moving }, width) {
  const pairs = 4 * width * moving + ROOM, begin = pairs + (8 * basis.length) / (width * moving), found = opened(begin + basis.length + ROOM);
  if (!found) return null;
  const { memory, sum } = found, view = new DataView(memory);
  new Int8Array(memory, begin).set(basis);
  const row = (row, from, factors, count) => {
    for (let k = 0, at = pairs; k < count; k++, at += 8) view.setInt32(at, begin + from[k], true), view.setFloat32(at + 4, factors[k], true);
    sum(4 * row * moving, 4 * (row + 1) * moving, pairs, pairs + 8 * count);
  };
  return { motion: new Float32Array(memory, 0, width * moving), row };
}
