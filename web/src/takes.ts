/** Takes of one segment, side by side on the stage, each with its button. */

import { byId, el } from "./dom";
import { emptyPose, sample, secondsOf } from "./frames";
import type { Studio } from "./studio";

const APART = 1.5; // metres between two of them
const LETTERS = "abcdefghi";

export class Takes {
  private shown = "";

  constructor(private readonly studio: Studio) {
    studio.on("session", () => void this.draw());
  }

  private async draw(): Promise<void> {
    const { session } = this.studio;
    const host = byId("takes");
    const takes = session?.takes ?? [];
    const key = takes.length > 1 ? `${session?.id} ${session?.version}` : "";
    if (key === this.shown) return;
    this.shown = key;
    const { player } = this.studio;
    if (!key) {
      host.hidden = true;
      player.range = null;
      if (this.studio.stand.length) {
        for (const one of this.studio.stand) one.wearer.dispose();
        this.studio.alone();
        this.studio.stage.look(false);
      }
      return;
    }
    const segment = session?.segments[(session.chosen ?? 1) - 1];
    const start = segment?.start ?? 0;
    const clips = await Promise.all(takes.map((t) => this.studio.clip(`/v1/sessions/${session?.id}/takes/${t.n}.frames?version=${session?.version}`)));
    if (key !== this.shown) return;
    const old = this.studio.stand;
    this.studio.stand = clips.map((clip, i) => {
      const wearer = this.studio.twin();
      const pose = emptyPose(clip);
      const at = (clips.length - 1) / 2 - i;
      const draw = (seconds: number): void => {
        sample(clip, Math.max(0, seconds - start) % Math.max(0.1, secondsOf(clip)), pose);
        const first = clip.rows;
        pose.root[0] = (pose.root[0] as number) - (first[0] as number) + at * APART;
        pose.root[2] = (pose.root[2] as number) - (first[2] as number);
        wearer.wear(clip, pose);
      };
      return { wearer, clip, pose, at, draw };
    });
    this.studio.stage.show(this.studio.stand.map((s) => s.wearer));
    for (const one of old) one.wearer.dispose();
    for (const one of this.studio.stand) one.draw(start);
    this.studio.stage.look(false, takes.length);
    const longest = Math.max(...takes.map((t) => t.seconds));
    player.range = [start, Math.min(player.seconds, start + longest)];
    player.play(start);
    this.studio.redraw();
    host.replaceChildren(
      ...takes.map((take) => {
        const letter = LETTERS[take.n - 1] as string;
        const keep = el("button", { type: "button", class: "primary", onclick: () => void this.studio.act(`keep ${letter}`) }, "Keep");
        keep.setAttribute("aria-label", `Keep take ${letter.toUpperCase()}`);
        return el("div", { class: "take" }, el("span", {}, el("b", {}, `Take ${letter.toUpperCase()}`), ` ${take.seconds.toFixed(1)} s`), keep);
      }),
      el("button", { type: "button", class: "plain", onclick: () => void this.studio.act(`again ${session?.chosen ?? 1}`) }, "One more"),
    );
    host.hidden = false;
  }
}
