/** The floor: a grid that fades out, and the soft contact shadow of whoever stands on it. */

import * as three from "three";

export const SPHERES = 16;

const VERTEX = `
varying vec3 at;
void main() {
  vec4 world = modelMatrix * vec4(position, 1.0);
  at = world.xyz;
  gl_Position = projectionMatrix * viewMatrix * world;
}`;

// The shadow is the sky that each sphere hides from the floor (Quilez, "Sphere ambient occlusion"), no second pass.
const FRAGMENT = `
uniform vec3 ground;
uniform vec3 line;
uniform vec3 shade;
uniform vec3 middle;
uniform float reach;
uniform float dark;
uniform vec4 spheres[${SPHERES}];
varying vec3 at;
float grid(vec2 p, float width) {
  vec2 f = fwidth(p);
  vec2 d = abs(fract(p - 0.5) - 0.5);
  vec2 l = smoothstep(f * (width + 1.0), f * width, d) * clamp(0.5 / (f + 1e-4) , 0.0, 1.0);
  return clamp(max(l.x, l.y), 0.0, 1.0);
}
void main() {
  float away = length(at.xz - middle.xz) / reach;
  float fade = 1.0 - smoothstep(0.25, 1.0, away);
  float open = 1.0;
  for (int i = 0; i < ${SPHERES}; i++) {
    vec3 d = spheres[i].xyz - at;
    float r = spheres[i].w;
    float s = max(dot(d, d), r * r);
    open *= 1.0 - clamp(1.7 * max(d.y, 0.0) * inversesqrt(s) * r * r / s, 0.0, 0.96);
  }
  float lines = grid(at.xz * 2.0, 0.3) * 0.34 + grid(at.xz * 0.5, 0.4) * 0.4;
  vec3 colour = mix(ground, line, lines * fade);
  float shadow = (1.0 - open) * dark;
  colour = mix(colour, shade, shadow);
  gl_FragColor = vec4(colour, max(fade * lines * 0.9, shadow));
  #include <colorspace_fragment>
}`;

// joints under which the floor is dark, and how thick the body is there, metres
const BODY: [string, number][] = [
  ["pelvis", 0.24], ["spine2", 0.22], ["spine3", 0.2], ["head", 0.15], ["l_hip", 0.15], ["r_hip", 0.15], ["l_knee", 0.12],
  ["r_knee", 0.12], ["l_ankle", 0.11], ["r_ankle", 0.11], ["l_foot", 0.085], ["r_foot", 0.085], ["l_elbow", 0.08],
  ["r_elbow", 0.08], ["l_wrist", 0.075], ["r_wrist", 0.075],
]; // prettier-ignore

export class Floor {
  readonly mesh: three.Mesh<three.PlaneGeometry, three.ShaderMaterial>;
  private readonly spheres = Array.from({ length: SPHERES }, () => new three.Vector4(0, -100, 0, 0.01));

  constructor() {
    const material = new three.ShaderMaterial({
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
      transparent: true,
      depthWrite: false,
      uniforms: {
        ground: { value: new three.Color() },
        line: { value: new three.Color() },
        shade: { value: new three.Color() },
        middle: { value: new three.Vector3() },
        reach: { value: 9 },
        dark: { value: 0.6 },
        spheres: { value: this.spheres },
      },
    });
    this.mesh = new three.Mesh(new three.PlaneGeometry(60, 60), material);
    this.mesh.rotation.x = -Math.PI / 2;
    this.mesh.renderOrder = -1;
  }

  colours(ground: string, line: string, shade: string, dark: number): void {
    const { uniforms } = this.mesh.material;
    (uniforms["ground"]!.value as three.Color).set(ground);
    (uniforms["line"]!.value as three.Color).set(line);
    (uniforms["shade"]!.value as three.Color).set(shade);
    uniforms["dark"]!.value = dark;
  }

  /** Joints' places by our names; those that are missing cast nothing. */
  under(joints: Record<string, [number, number, number]>, middle: three.Vector3): void {
    BODY.forEach(([name, radius], i) => {
      const at = joints[name];
      if (at) this.spheres[i]!.set(at[0], at[1], at[2], radius);
      else this.spheres[i]!.set(0, -100, 0, 0.01);
    });
    (this.mesh.material.uniforms["middle"]!.value as three.Vector3).copy(middle);
    this.mesh.position.set(middle.x, 0, middle.z);
  }
}
