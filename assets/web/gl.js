// Drawing with WebGL2: what lies under the head, then the splats as blended quads, into one target of floats, which is
// copied to the canvas at the end. In 8 bits a thousand faint layers would each be rounded.

import { SPLAT } from "./project.js";

const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

const HEAD = "#version 300 es\nprecision highp float;\nprecision highp int;\n";
const FULL = `${HEAD}void main() { gl_Position = vec4(4 * (gl_VertexID & 1) - 1, 2 * (gl_VertexID & 2) - 1, 0, 1); }`;
const UNDER = `${HEAD}
uniform vec2 size;
uniform sampler2D torso, plate;
uniform mat3 torsoMap, plateMap;
uniform vec4 color;
uniform bool hasTorso, hasPlate, hasMatte;
out vec4 result;
vec2 texel(mat3 map, vec2 extent, vec2 edge) {
  vec3 p = map * vec3(gl_FragCoord.x, size.y - gl_FragCoord.y, 1);
  return clamp(p.xy / p.z, edge, extent - edge);
}
void main() {
  result = color;
  if (hasPlate) {
    vec2 extent = vec2(textureSize(plate, 0));
    result = vec4(texture(plate, texel(plateMap, extent, vec2(.5)) / extent).rgb, 1);
  }
  if (!hasTorso) return;
  vec2 whole = vec2(textureSize(torso, 0)), extent = whole * vec2(1, .5);
  vec2 at = texel(torsoMap, extent, vec2(.5, 1.5));
  float matte = hasMatte ? texture(torso, (at + vec2(0, extent.y)) / whole).r : 1.;
  result = vec4(texture(torso, at / whole).rgb * matte, matte) + (1. - matte) * result;
}`;
const SPLATS = `${HEAD}
uniform vec2 size;
layout(location = 0) in vec4 place;
layout(location = 1) in vec3 shape;
layout(location = 2) in vec3 paint;
out vec2 within;
flat out vec3 rgb;
flat out vec2 light;
void main() {
  within = vec2(2 * (gl_VertexID & 1) - 1, (gl_VertexID & 2) - 1);
  rgb = paint;
  light = shape.yz;
  vec2 p = place.xy + vec2(place.z * within.x, place.w * within.x + shape.x * within.y);
  gl_Position = vec4(2. * p.x / size.x - 1., 1. - 2. * p.y / size.y, 0, 1);
}`;
const PAINT = `${HEAD}
in vec2 within;
flat in vec3 rgb;
flat in vec2 light;
out vec4 result;
void main() {
  float d = dot(within, within);
  if (d > 1.) discard;
  float alpha = min(.999, light.x * exp(-light.y * d));
  result = vec4(rgb * alpha, alpha);
}`;
const COPY = `${HEAD}
uniform sampler2D drawn;
out vec4 result;
void main() {
  vec4 color = texelFetch(drawn, ivec2(gl_FragCoord.xy), 0);
  result = vec4(clamp(color.rgb, 0., color.a), color.a);
}`;

/** Whether a context is drawn by the CPU, where our own rasterizer is faster. */
export function isSoftware(gl) {
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  return SOFTWARE.test(gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
}

/** Draws on a canvas of its own. */
export class GlCanvas {
  /**
   * @param {HTMLCanvasElement} canvas one that has no context yet.
   * @param {boolean} force also where the GL is software.
   * @throws {Error} no WebGL2, no blending of floats, or software that is not forced: says which.
   */
  constructor(canvas, force) {
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, depth: false, premultipliedAlpha: true });
    if (!gl) throw new Error("This browser has no WebGL2.");
    if (!gl.getExtension("EXT_color_buffer_float")) throw new Error("This browser's WebGL2 cannot draw into floats.");
    if (!force && isSoftware(gl)) throw new Error("This browser's WebGL2 is drawn by the processor.");
    this.gl = gl, this.canvas = canvas;
    this.programs = { under: program(gl, FULL, UNDER), splats: program(gl, SPLATS, PAINT), copy: program(gl, FULL, COPY) };
    this.textures = { torso: texture(gl, gl.LINEAR), plate: texture(gl, gl.LINEAR), target: texture(gl, gl.NEAREST) };
    this.frame = gl.createFramebuffer();
    this.#layout();
    gl.disable(gl.DITHER);
  }

  /**
   * Draw a frame.
   * @param {{splats: Float32Array, count: number}} found farthest first.
   * @param {number} width pixels
   * @param {number} height pixels
   * @param {{torso: object|null, plate: object|null, color: number[]|null}} under as of cpu.js, without the
   *   pixels, which upload() took; `matte` is 0 where it has none.
   */
  draw({ splats, count }, width, height, under) {
    const { gl, programs } = this;
    this.#resize(width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    gl.viewport(0, 0, width, height);
    gl.disable(gl.BLEND);
    this.#under(width, height, under);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.useProgram(programs.splats.program);
    gl.uniform2f(programs.splats.at("size"), width, height);
    gl.bindVertexArray(this.quads);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
    gl.bufferData(gl.ARRAY_BUFFER, splats.subarray(0, count * SPLAT), gl.STREAM_DRAW);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, count);
    gl.bindVertexArray(null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.disable(gl.BLEND);
    gl.useProgram(programs.copy.program);
    this.#bind(0, this.textures.target, programs.copy, "drawn");
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /** Take the picture of a card, `torso` or `plate`: a video, bitmap or canvas. */
  upload(name, source) {
    const { gl, textures } = this;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, textures[name].name);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, source);
    textures[name].filled = true;
  }

  /** Give back what the browser holds for it. */
  close() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  #under(width, height, { torso, plate, color }) {
    const { gl, textures, programs: { under } } = this;
    gl.useProgram(under.program);
    gl.uniform2f(under.at("size"), width, height);
    gl.uniform4fv(under.at("color"), color ? [...color, 1] : [0, 0, 0, 0]);
    [["torso", torso], ["plate", plate]].forEach(([name, card], unit) => {
      this.#bind(unit, textures[name], under, name);
      const shown = Boolean(card && textures[name].filled);
      gl.uniform1i(under.at(name === "torso" ? "hasTorso" : "hasPlate"), shown ? 1 : 0);
      if (shown) gl.uniformMatrix3fv(under.at(`${name}Map`), true, card.map);
    });
    gl.uniform1i(under.at("hasMatte"), torso?.matte ? 1 : 0);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  #bind(unit, { name }, { at }, uniform) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, name);
    gl.uniform1i(at(uniform), unit);
  }

  #layout() {
    const { gl } = this, floats = Float32Array.BYTES_PER_ELEMENT;
    this.quads = gl.createVertexArray(), this.buffer = gl.createBuffer();
    gl.bindVertexArray(this.quads);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
    [[4, 0], [3, 4], [3, 7]].forEach(([count, first], location) => {
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, count, gl.FLOAT, false, SPLAT * floats, first * floats);
      gl.vertexAttribDivisor(location, 1);
    });
    gl.bindVertexArray(null);
  }

  #resize(width, height) {
    const { gl, canvas, textures: { target } } = this;
    if (target.width === width && target.height === height) return;
    Object.assign(canvas, { width, height }), Object.assign(target, { width, height });
    gl.bindTexture(gl.TEXTURE_2D, target.name);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA16F, width, height, 0, gl.RGBA, gl.HALF_FLOAT, null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, target.name, 0);
    if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE) throw new Error("This browser's WebGL2 cannot draw into floats.");
  }
}

function texture(gl, filter) {
  const name = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, name);
  for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
  for (const scale of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, scale, filter);
  return { name, width: 0, height: 0, filled: false };
}

function program(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [type, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error("This browser's WebGL2 refuses the player's shaders.");
  const places = new Map();
  const at = (uniform) => (places.has(uniform) ? places : places.set(uniform, gl.getUniformLocation(made, uniform))).get(uniform);
  return { program: made, at };
}
