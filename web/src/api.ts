/** What the server offers, by the types of its document; every failure is a `Failure` with one line to show. */

import { connect, events, type Schemas } from "avatargpt-client";
import { readFrames, type Clip } from "./frames";

export { Failure } from "avatargpt-client";
export type Segment = Schemas["Segment"] & {
  /** It is being made. */
  draft?: boolean;
};
export type Draft = Schemas["Draft"];
export type Turn = Schemas["Turn"];
export type Session = Schemas["Session"];
export type MotionInfo = Schemas["Motion"];
export type Upload = Schemas["Upload"];
export type Move = Schemas["KnownAction"];
export type Clause = Schemas["Clause"];
export type Keys = Schemas["Keys"];
export type Said = { text: string } | { acts: string[]; keys?: Keys };
export type Progress = Schemas["Progress"];
export type Done = { reply: Schemas["Reply"] | null; session: Session };

const KEY = "avatargpt-key";
let ask: () => Promise<string | null> = async () => null;

/** What to do where the server wants a key. */
export function onMissingKey(asking: () => Promise<string | null>): void {
  ask = asking;
}

const server = connect({
  // the path below which a proxy has the page; the server's paths begin there
  baseUrl: location.pathname.replace(/\/[^/]*$/, ""),
  key: () => sessionStorage.getItem(KEY),
  askForKey: async () => {
    const key = await ask();
    if (key) sessionStorage.setItem(KEY, key);
    return Boolean(key);
  },
});
export const request = server.request;

/** What an answer has; one without it is a failure, which is thrown. */
const data = async <T>(answer: Promise<{ data?: T }>): Promise<T> => (await answer).data as T;
const at = (id: string) => ({ path: { id } });

export const health = (): Promise<Schemas["Health"]> => data(server.GET("/healthz", { cache: "no-store" }));
export const newSession = (): Promise<Session> => data(server.POST("/v1/sessions", { body: {} }));
export const getSession = (id: string): Promise<Session> => data(server.GET("/v1/sessions/{id}", { params: at(id) }));
export const getPython = async (id: string): Promise<string> => (await request(`/v1/sessions/${id}/python`)).text();

export async function frames(path: string): Promise<Clip> {
  return readFrames(await (await request(path)).arrayBuffer());
}

const WAIT = 60; // seconds that one answer is waited for; longer work is asked for again and again
const patient = (id: string) => ({ ...at(id), query: { wait: WAIT } });

export async function takeTurn(id: string, body: Said, signal: AbortSignal): Promise<Done> {
  return server.follow(await data(server.POST("/v1/sessions/{id}/turns", { params: patient(id), body, signal })), undefined, signal);
}

export async function append(id: string, motion: string, caption: string): Promise<Done> {
  return server.follow(await data(server.POST("/v1/sessions/{id}/motions", { params: patient(id), body: { motion, caption } })));
}

export async function describe(motion: string): Promise<Schemas["Descriptions"]> {
  return server.follow(await data(server.POST("/v1/describe", { body: { motion } })));
}

/** Moves that the model knows: the nearest to the words first, without words in order of name. */
export async function moves(query: string, count: number, offset: number, signal: AbortSignal): Promise<Move[]> {
  return (await server.follow(await data(server.POST("/v1/actions", { body: { query, count, offset }, signal })))).actions;
}

/** What words ask for, as a typed request. */
export async function read(text: string): Promise<Schemas["Reading"]["request"]> {
  return (await server.follow(await data(server.POST("/v1/read", { body: { text, face: false } })))).request;
}

export async function upload(file: Blob, name: string): Promise<Upload> {
  const headers = { "Content-Type": "application/octet-stream" };
  return (await request(`/v1/uploads?name=${encodeURIComponent(name)}`, { method: "POST", body: file, headers })).json() as Promise<Upload>;
}

/** Bodies of the routes whose work is long. */
interface Work {
  "/v1/motions": Schemas["AdaptedGenerate"];
  "/v1/faces": Schemas["ActFaceRequest"];
  "/v1/speak": Schemas["SpeakRequest"];
  "/v1/capture": Schemas["CaptureRequest"];
}

/** Start long work and wait for what it makes; a signal that is aborted cancels it. */
export async function work<P extends keyof Work>(
  path: P,
  body: Work[P],
  progress: (p: Progress) => void,
  signal: AbortSignal,
): Promise<MotionInfo[]> {
  const begun = data(server.POST(path as "/v1/motions", { params: { query: { wait: 0 } }, body: body as Work["/v1/motions"], signal }));
  return (await server.follow(await begun, progress, signal)).motions;
}

/** Server-sent events of a running turn, until the signal is aborted. */
export async function watch(
  id: string,
  heard: { progress: (p: Progress) => void; draft: (d: Draft) => void },
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const { event, data } of events(await request(`/v1/sessions/${id}/events`, { signal }))) {
      if (event === "progress") heard.progress(data as Progress);
      else if (event === "draft") heard.draft(data as Draft);
    }
  } catch {
    // the turn itself says what went wrong; its progress is a courtesy
  }
}
