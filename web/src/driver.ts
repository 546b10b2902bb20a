/** The face driver in the page: onnxruntime-web runs the graph of `avatargpt/face/audio_model/onnx_graph.py`. */

import * as ort from "onnxruntime-web/wasm";
import runtime from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import { FrameBlocks, SpeechFeatures, WIDTH } from "./features";

const paired = (...names: string[]): string[] => names.flatMap((n) => [`${n}Left`, `${n}Right`]);
const eye = (side: string): string[] => ["Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide"].map((n) => `eye${n}${side}`);
/** ARKit's 52, in Apple's order: the first curves of a frame; the head's yaw, pitch and roll follow. */
export const NAMES = [
  ...eye("Left"), ...eye("Right"), "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker",
  "mouthLeft", "mouthRight", ...paired("mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch"), "mouthRollLower", "mouthRollUpper",
  "mouthShrugLower", "mouthShrugUpper", ...paired("mouthPress", "mouthLowerDown", "mouthUpperUp", "browDown"), "browInnerUp",
  ...paired("browOuterUp"), "cheekPuff", ...paired("cheekSquint", "noseSneer"), "tongueOut",
]; // prettier-ignore

async function fetched(address: string): Promise<Response> {
  const answer = await fetch(address);
  if (answer.ok) return answer;
  const told = (await answer.json().catch(() => null)) as { error?: { message?: string } } | null;
  throw new Error(told?.error?.message ?? `${address}: ${answer.status} ${answer.statusText}`);
}

export class FaceDriver {
  /** Milliseconds of the newest frames: features, and the network. */
  readonly cost: { features: number; network: number }[] = [];

  private constructor(
    private readonly session: ort.InferenceSession,
    /** Numbers in the state. */
    readonly size: number,
    /** Seconds from a frame's beginning to the last sound that it needs. */
    readonly delay: number,
  ) {}

  static async load(model: string): Promise<FaceDriver> {
    ort.env.wasm.numThreads = 1; // several need headers that a folder of files does not get
    ort.env.logLevel = "error";
    const stored = await fetched(import.meta.env.DEV ? runtime : `${runtime}.gz`);
    const plain = import.meta.env.DEV ? stored.body : stored.body?.pipeThrough(new DecompressionStream("gzip"));
    const [binary, graph] = await Promise.all([new Response(plain).arrayBuffer(), fetched(model).then((a) => a.arrayBuffer())]);
    ort.env.wasm.wasmBinary = binary;
    // weights of eight bits become numbers of 32 once, not in every frame
    const extra = { session: { disable_quant_qdq: "1" } };
    const session = await ort.InferenceSession.create(new Uint8Array(graph), { executionProviders: ["wasm"], extra });
    const about = session.inputMetadata.find((input) => input.name === "state");
    const size = about?.isTensor ? Number(about.shape[1]) : NaN;
    if (!(size > 0)) throw new Error(`${model}: not a face driver; accepted: what \`avatargpt talk-page\` writes`);
    const first = await session.run(inputs(new Float32Array(WIDTH), new ort.Tensor("float32", new Float32Array(size), [1, size])));
    return new FaceDriver(session, size, (first["delay"] as ort.Tensor).data[0] as number);
  }

  stream(rate: number): FaceStream {
    return new FaceStream(this, rate);
  }

  /** The curves of a frame, and the state after it. */
  async step(features: Float32Array, state: ort.Tensor): Promise<{ curves: Float32Array; next: ort.Tensor }> {
    const out = await this.session.run(inputs(features, state), ["curves", "next"]);
    return { curves: (out["curves"] as ort.Tensor).data as Float32Array, next: out["next"] as ort.Tensor };
  }
}

const inputs = (features: Float32Array, state: ort.Tensor): Record<string, ort.Tensor> => ({
  features: new ort.Tensor("float32", features, [1, WIDTH]),
  state,
});

/** One speaker: samples in, frames of curves out, as `FaceStream` in Python with the rule head. */
export class FaceStream {
  private readonly blocks: FrameBlocks;
  private readonly features = new SpeechFeatures();
  private state: ort.Tensor;
  private ahead: number;
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly driver: FaceDriver,
    rate: number,
  ) {
    this.blocks = new FrameBlocks(rate);
    this.state = new ort.Tensor("float32", new Float32Array(driver.size), [1, driver.size]);
    this.ahead = Math.round(driver.delay * 30) - 1;
  }

  /** Frames that are ready with these samples; calls are answered in their order. */
  push(samples: Float32Array): Promise<Float32Array[]> {
    const frames = this.last.then(() => this.run(samples));
    this.last = frames.catch(() => undefined);
    return frames;
  }

  private async run(samples: Float32Array): Promise<Float32Array[]> {
    const { cost } = this.driver;
    const frames: Float32Array[] = [];
    for (const block of this.blocks.push(samples)) {
      const begun = performance.now();
      const features = this.features.next(block);
      const heard = performance.now();
      const { curves, next } = await this.driver.step(features, this.state);
      cost.push({ features: heard - begun, network: performance.now() - heard });
      if (cost.length > 300) cost.shift();
      this.state = next;
      if (this.ahead > 0) this.ahead--;
      else frames.push(curves);
    }
    return frames;
  }
}
