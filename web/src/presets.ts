/** Files for the programs that animators work in: format, frame rate, names of joints, units; what was changed is remembered. */

import { el, iconButton } from "./dom";
import type { Studio } from "./studio";

type Who = "skin" | "bones" | "worn";

interface Preset {
  id: string;
  name: string;
  /** Formats of the body with its skin, the best that the server writes first, and of the skeleton alone. */
  skin: string[];
  bones: string;
  /** What a file of the skeleton needs on its way in. */
  way: string;
  fps: number;
  layout: string;
  scale: number;
}

/** What is chosen of a preset. */
interface Choice {
  who: Who;
  fps: number;
  layout: string;
  scale: number;
  root: string;
}

const STUD = 0.28; // metres of Roblox's unit
const PRESETS: Preset[] = [
  { id: "blender", name: "Blender", skin: ["glb"], bones: "bvh", way: "", fps: 24, layout: "smpl", scale: 1 },
  { id: "unity", name: "Unity", skin: ["fbx", "glb"], bones: "bvh", way: "through Blender or a BVH importer", fps: 30, layout: "unity", scale: 1 },
  { id: "unreal", name: "Unreal", skin: ["fbx", "glb"], bones: "bvh", way: "through Blender or a BVH importer", fps: 30, layout: "mixamo", scale: 100 },
  { id: "godot", name: "Godot", skin: ["glb"], bones: "bvh", way: "through Blender or a BVH importer", fps: 30, layout: "unity", scale: 1 },
  { id: "roblox", name: "Roblox", skin: ["fbx", "glb"], bones: "bvh", way: "through Blender", fps: 30, layout: "mixamo", scale: Math.round(1000 / STUD) / 1000 },
  { id: "vrchat", name: "VRChat", skin: ["fbx", "glb"], bones: "vrma", way: "through UniVRM in Unity", fps: 60, layout: "unity", scale: 1 },
]; // prettier-ignore
const RATES = [20, 24, 25, 30, 60, 120];
const NAMES: [string, string][] = [["smpl", "SMPL: l_elbow"], ["mixamo", "Mixamo: LeftForeArm"], ["unity", "Unity: LeftLowerArm"]]; // prettier-ignore
const UNITS: [string, string][] = [["1", "metres"], ["100", "centimetres"], [String(PRESETS[4]?.scale), "studs"]]; // prettier-ignore
const ROOTS: [string, string][] = [["hips", "on the hips"], ["ground", "on the ground, for root motion"]]; // prettier-ignore
const LAST = "export last";

/** A file of the server: its format, and the options of its address. */
export interface Wanted {
  form: string;
  options: Record<string, string>;
}

/** Cards of the presets: a click exports, the other button opens what can be changed of it. */
export function presetCards(studio: Studio, disabled: boolean, run: (preset: string, wanted: Wanted) => void): HTMLElement {
  const cards = el("div", { class: "presets" });
  const settings = el("fieldset", { class: "settings" });
  let open = "";
  const draw = (): void => {
    const last = localStorage.getItem(LAST);
    cards.replaceChildren(
      ...PRESETS.flatMap((preset) => {
        const go = el("button", { type: "button", class: "go", disabled, "aria-current": last === preset.id, onclick: () => run(preset.id, wantedOf(studio, preset)) });
        go.append(el("b", {}, preset.name), el("small", {}, summary(studio, preset)));
        const more = iconButton("more", `Change what ${preset.name} gets`, () => show(preset), { "aria-expanded": String(open === preset.id), "data-preset": preset.id });
        const card = el("div", { class: "preset" }, go, more);
        return open === preset.id ? [card, settings] : [card];
      }),
    );
  };
  const show = (preset: Preset): void => {
    open = open === preset.id ? "" : preset.id;
    fill(preset);
    draw();
    (open ? settings.querySelector<HTMLElement>("select") : cards.querySelector<HTMLElement>(`[data-preset="${preset.id}"]`))?.focus();
  };
  const fill = (preset: Preset): void => {
    const choice = chosen(studio, preset);
    const { form } = wantedOf(studio, preset);
    const choose = (name: string, options: [string, string][], key: keyof Choice, hidden = false): HTMLElement | null => {
      if (hidden) return null;
      const node = el("select", { "data-key": key });
      for (const [value, label] of options) node.append(el("option", { value, selected: value === String(choice[key]) }, label));
      node.addEventListener("change", () => {
        const value = typeof choice[key] === "number" ? Number(node.value) : node.value;
        localStorage.setItem(`export ${preset.id}`, JSON.stringify({ ...choice, [key]: value }));
        fill(preset);
        draw();
        settings.querySelector<HTMLElement>(`[data-key="${key}"]`)?.focus();
      });
      return el("label", {}, el("span", {}, name), node);
    };
    const again = el("button", { type: "button", class: "plain" }, "As it was");
    again.addEventListener("click", () => (localStorage.removeItem(`export ${preset.id}`), fill(preset), draw(), settings.querySelector<HTMLElement>(".plain")?.focus()));
    const who: [string, string][] = [["skin", "body with its skin"], ["bones", "skeleton only"]];
    if (studio.worn) who.push(["worn", `on ${studio.worn.name}`]);
    settings.replaceChildren(
      el("legend", {}, preset.name),
      ...[
        choose("What", who, "who"),
        choose("Frames a second", RATES.map((r) => [String(r), r === 20 ? "20, as it was made" : String(r)]), "fps"),
        choose("Names of joints", NAMES, "layout", form !== "bvh" || choice.who === "worn"),
        choose("Units", UNITS, "scale", form !== "bvh" || choice.who === "worn"),
        choose("The way", ROOTS, "root", choice.who !== "worn"),
      ].filter((node) => node !== null),
      el("p", { class: "faint" }, facts(studio, preset)), again,
    ); // prettier-ignore
  };
  draw();
  return el("section", { "aria-label": "For a program" }, cards);
}

/** The preset that was used last, with what is chosen of it; undefined before the first. */
export function lastPreset(studio: Studio): Wanted | undefined {
  const preset = PRESETS.find(({ id }) => id === localStorage.getItem(LAST));
  return preset && wantedOf(studio, preset);
}

export const remember = (preset: string): void => localStorage.setItem(LAST, preset);

function chosen(studio: Studio, { id, fps, layout, scale }: Preset): Choice {
  const kept = JSON.parse(localStorage.getItem(`export ${id}`) ?? "{}") as Partial<Choice>;
  const choice: Choice = { who: studio.worn ? "worn" : "skin", fps, layout, scale, root: "hips", ...kept };
  return choice.who === "worn" && !studio.worn ? { ...choice, who: "skin" } : choice;
}

function wantedOf(studio: Studio, preset: Preset): Wanted {
  const { who, fps, layout, scale, root } = chosen(studio, preset);
  const offered = studio.session?.motion;
  const skin = preset.skin.find((form) => !offered || form in offered) ?? "glb";
  const options: Record<string, string> = { fps: String(fps) };
  if (who === "worn" && studio.worn) {
    const own = studio.worn.name.split(".").at(-1)?.toLowerCase() ?? "";
    Object.assign(options, { character: studio.worn.id }, root === "ground" ? { root } : {});
    return { form: own === "bvh" ? "bvh" : own === "vrm" && preset.id === "vrchat" ? "vrm" : skin, options };
  }
  const form = who === "bones" ? preset.bones : skin;
  if (form === "bvh") Object.assign(options, { layout, scale: String(scale) });
  return { form, options };
}

function summary(studio: Studio, preset: Preset): string {
  const { who, fps } = chosen(studio, preset);
  const what = { skin: "with skin", bones: "skeleton only", worn: studio.worn?.name ?? "" }[who];
  return `${wantedOf(studio, preset).form.toUpperCase()}, ${fps} fps, ${what}`;
}

/** In plain words what the file is. */
function facts(studio: Studio, preset: Preset): string {
  const { who, scale } = chosen(studio, preset);
  const { form } = wantedOf(studio, preset);
  const units = form === "bvh" && who !== "worn" ? (UNITS.find(([value]) => value === String(scale))?.[1] ?? `${scale} units a metre`) : "metres";
  const lines = [`Y is up, +Z ahead, in ${units}.`];
  if (who === "bones" && preset.way) lines.push(`${preset.name} takes it ${preset.way}.`);
  if (who !== "bones" && preset.skin[0] === "fbx" && form !== "fbx") lines.push("This server writes no FBX, which needs Blender beside it.");
  return lines.join(" ");
}
