// A camera that goes round the head: angles, their soft limits, and what pointer, wheel and keys do to them.

const GIVE = 7, EASE = 0.09, STILL = 0.02;
const ZOOM = [0.5, 4], PER_WIDTH = 100, KEY = 4;
const KEYS = { ArrowLeft: [-KEY, 0], ArrowRight: [KEY, 0], ArrowUp: [0, KEY], ArrowDown: [0, -KEY] };

/** A value that may go a little beyond its limits, the less the further it is pulled. */
export function softened(value, [least, most], give = GIVE) {
  if (value > most) return most + give * (1 - Math.exp((most - value) / give));
  if (value < least) return least - give * (1 - Math.exp((value - least) / give));
  return value;
}

/**
 * How the world turns before a camera that goes round a point: rows of a motion of camera space, 12 numbers.
 * @param {number} yaw degrees; positive goes to the picture's right.
 * @param {number} pitch degrees; positive goes up.
 * @param {ArrayLike<number>} point that stays where it is, camera space, metres.
 */
export function orbitMotion(yaw, pitch, point) {
  const y = (yaw * Math.PI) / 180, p = (pitch * Math.PI) / 180;
  const cy = Math.cos(y), sy = Math.sin(y), cp = Math.cos(p), sp = Math.sin(p);
  const R = [cy, 0, sy, sp * sy, cp, -sp * cy, -cp * sy, sp, cp * cy];
  return [0, 1, 2].flatMap((i) => {
    const row = R.slice(3 * i, 3 * i + 3);
    return [...row, point[i] - row[0] * point[0] - row[1] * point[1] - row[2] * point[2]];
  });
}

/** The product of two rigid motions, 12 numbers each, row by row. */
export function times(A, B) {
  return [0, 4, 8].flatMap((i) =>
    [0, 1, 2, 3].map((j) => A[i] * B[j] + A[i + 1] * B[4 + j] + A[i + 2] * B[8 + j] + (j === 3 ? A[i + 3] : 0)));
}

/** Where the camera stands and where it goes, steered by hand. */
export class Orbit {
  /**
   * @param {HTMLElement} target what the pointer drags.
   * @param {() => void} onchange called whenever there is something to draw.
   */
  constructor(target, onchange) {
    this.target = target, this.onchange = onchange, this.enabled = false;
    this.limits = { yaw: [0, 0], pitch: [0, 0] };
    this.wanted = { yaw: 0, pitch: 0, zoom: 1 };
    this.shown = { ...this.wanted };
    this.pointers = new Map();
    const on = (name, handler, options) => target.addEventListener(name, (event) => this.enabled && handler(event), options);
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) on(name, (event) => this.#up(event));
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("dblclick", () => this.go(0, 0, 1));
    on("keydown", (event) => this.#key(event));
  }

  /** Go to a view: degrees, and how much larger the head is. */
  go(yaw, pitch, zoom = this.wanted.zoom) {
    Object.assign(this.wanted, { yaw, pitch, zoom: Math.min(Math.max(zoom, ZOOM[0]), ZOOM[1]) });
    this.onchange();
  }

  /**
   * Come nearer to the wanted view.
   * @param {number} seconds since the last step.
   * @returns {boolean} whether the view changed.
   */
  step(seconds) {
    const share = 1 - Math.exp(-seconds / EASE), { wanted, shown, limits } = this;
    const goal = { yaw: softened(wanted.yaw, limits.yaw), pitch: softened(wanted.pitch, limits.pitch), zoom: wanted.zoom };
    let changed = false;
    for (const name of Object.keys(goal)) {
      if (shown[name] === goal[name]) continue;
      changed = true;
      shown[name] += (goal[name] - shown[name]) * share;
      if (Math.abs(shown[name] - goal[name]) < (name === "zoom" ? 1e-3 : STILL)) shown[name] = goal[name];
    }
    return changed;
  }

  #down(event) {
    this.target.setPointerCapture?.(event.pointerId);
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
  }

  #move({ pointerId, clientX, clientY }) {
    const before = this.pointers.get(pointerId);
    if (!before) return;
    const spread = this.#spread(), { width } = this.target.getBoundingClientRect(), { yaw, pitch, zoom } = this.wanted;
    this.pointers.set(pointerId, [clientX, clientY]);
    if (this.pointers.size > 1) return this.go(yaw, pitch, spread ? (zoom * this.#spread()) / spread : zoom);
    // The head follows the pointer, and so the camera goes the other way.
    const scale = PER_WIDTH / Math.max(width, 1);
    this.go(yaw - (clientX - before[0]) * scale, pitch + (clientY - before[1]) * scale);
  }

  #up({ pointerId }) {
    this.pointers.delete(pointerId);
    const { yaw, pitch } = this.limits, within = (value, [least, most]) => Math.min(Math.max(value, least), most);
    this.go(within(this.wanted.yaw, yaw), within(this.wanted.pitch, pitch));
  }

  // The wheel alone scrolls the page; with Ctrl, as a pinch on a touchpad comes, it zooms.
  #wheel(event) {
    if (!event.ctrlKey) return;
    event.preventDefault();
    this.go(this.wanted.yaw, this.wanted.pitch, this.wanted.zoom * Math.exp(-event.deltaY / 200));
  }

  #key(event) {
    const { yaw, pitch, zoom } = this.wanted, turn = KEYS[event.key];
    if (turn) this.go(yaw + turn[0], pitch + turn[1]), this.#up({});
    else if (event.key === "+" || event.key === "-") this.go(yaw, pitch, zoom * (event.key === "+" ? 1.1 : 1 / 1.1));
    else if (event.key === "0" || event.key === "Home") this.go(0, 0, 1);
    else return;
    event.preventDefault();
  }

  #spread() {
    const [a, b] = [...this.pointers.values()];
    return a && b ? Math.hypot(a[0] - b[0], a[1] - b[1]) : 0;
  }
}
