/** What the server offers, typed; every failure is a `Failure` with one line to show. */

import { readFrames, type Clip } from "./frames";

export interface Segment {
  n: number;
  caption: string;
  name: string;
  activity: string;
  start: number;
  seconds: number;
  rounds: number;
  note: string;
  kind: string;
  focus: boolean;
  seed?: number;
  tempo?: number;
  mirrored?: boolean;
  /** A motion with fingers and face that the segment was appended from. */
  clip?: string | null;
  sound?: string | null;
  /** Where it has several: their words, and where each begins, 0 to 1 of its length. */
  actions?: { caption: string; at: number }[];
  /** It is being made. */
  draft?: boolean;
}

/** A segment that is being made, as far as it has come. */
export interface Draft {
  take: number;
  n: number;
  start: number;
  seconds: number;
  caption: string;
  activity: string;
  frames: string;
}

export interface Turn {
  user: string;
  reply: string;
  acts: string[];
  ok?: boolean;
}

export interface Session {
  id: string;
  version: number;
  seconds: number;
  fps: number;
  frames: number;
  /** Formats that the server writes, with their paths. */
  motion: Record<string, string>;
  question: string | null;
  can_undo: boolean;
  can_redo: boolean;
  segments: Segment[];
  takes: { n: number; caption: string; seconds: number }[];
  /** Number of the segment that the takes are versions of. */
  chosen?: number;
  turns?: Turn[];
}

export interface Reply {
  text: string;
  ok: boolean;
  acts: string[];
  question?: string | null;
  files?: { name: string; href: string }[];
}

export interface MotionInfo {
  id: string;
  prompt: string;
  kind: string;
  seconds: number;
  notes: string[];
  sound?: string | null;
  channels: { body: boolean; hands: boolean; face: boolean };
}

export interface Upload {
  id: string;
  kind: "motion" | "sound" | "film" | "avatar" | "picture";
  name: string;
  motion?: MotionInfo;
  /** Whether the file can wear motions. */
  character?: boolean;
}

/** An action that the model knows, and the caption that makes it. */
export interface Move {
  name: string;
  caption: string;
  seconds: number | null;
  own: boolean;
}

interface Job {
  id: string;
  status: "queued" | "running" | "done" | "failed" | "cancelled";
  progress: Progress;
  motions: MotionInfo[];
  error?: { message: string } | string | null;
}

export interface Progress {
  done: number;
  total: number;
  stage?: string;
}

export class Failure extends Error {
  /** `status` 0: the server could not be reached. */
  constructor(
    message: string,
    readonly status: number,
    readonly code = "",
  ) {
    super(message);
  }
}

const KEY = "avatargpt-key";
let askForKey: (() => Promise<string | null>) | null = null;

/** What to do where the server wants a key. */
export function onMissingKey(ask: () => Promise<string | null>): void {
  askForKey = ask;
}

function headers(extra: Record<string, string> = {}): Record<string, string> {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...extra, Authorization: `Bearer ${key}` } : extra;
}

/** The path below which a proxy has the page, without a final slash; the server's paths begin there. */
const BELOW = location.pathname.replace(/\/[^/]*$/, "");

export async function request(path: string, init: RequestInit & { headers?: Record<string, string> } = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(BELOW + path, { ...init, headers: headers(init.headers) });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Failure("The server does not answer.", 0);
  }
  if (response.status === 401 && askForKey) {
    const key = await askForKey();
    if (key) {
      sessionStorage.setItem(KEY, key);
      return request(path, init);
    }
  }
  if (!response.ok) {
    const body: unknown = await response.json().catch(() => null);
    const error = (body as { error?: { message?: string; code?: string } } | null)?.error;
    throw new Failure(error?.message ?? `The server answered ${response.status}.`, response.status, error?.code ?? "");
  }
  return response;
}

async function json<T>(path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const init =
    body === undefined
      ? {}
      : { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  return (await request(path, signal ? { ...init, signal } : init)).json() as Promise<T>;
}

export const health = (): Promise<Response> => request("/healthz", { cache: "no-store" });
export const newSession = (): Promise<Session> => json("/v1/sessions", {});
export const getSession = (id: string): Promise<Session> => json(`/v1/sessions/${id}`);
export const getPython = async (id: string): Promise<string> => (await request(`/v1/sessions/${id}/python`)).text();

export async function frames(path: string): Promise<Clip> {
  return readFrames(await (await request(path)).arrayBuffer());
}

/** What a turn gives; what took too long to be waited for is answered by the last turn of the session. */
export interface Done {
  reply: Reply | null;
  session: Session;
}

async function finished(id: string, path: string, body: unknown, signal?: AbortSignal): Promise<Done> {
  const begun = await json<Done | { job: Job }>(`/v1/sessions/${id}/${path}?wait=${WAIT}`, body, signal);
  if (!("job" in begun)) return begun;
  await ended(begun.job, () => undefined, signal);
  const session = await getSession(id);
  const last = session.turns?.at(-1);
  return { reply: last ? { text: last.reply, ok: last.ok ?? true, acts: last.acts } : null, session };
}

const WAIT = 60; // seconds that one answer is waited for; longer work is asked for again and again

export const takeTurn = (id: string, turn: { text: string } | { acts: string[] }, signal: AbortSignal): Promise<Done> =>
  finished(id, "turns", turn, signal);

export const append = (id: string, motion: string, caption: string): Promise<Done> =>
  finished(id, "motions", { motion, caption });

export const describe = (motion: string): Promise<{ descriptions: string[] }> => json("/v1/describe", { motion });

/** Moves that the model knows: the nearest to the words first, without words in order of name. */
export async function moves(query: string, count: number, offset: number, signal: AbortSignal): Promise<Move[]> {
  const { actions } = await json<{ actions?: Move[] }>("/v1/actions", { query, count, offset }, signal);
  if (!actions) throw new Failure("The server is busy; try again.", 429);
  return actions;
}

export async function upload(file: Blob, name: string): Promise<Upload> {
  const response = await request(`/v1/uploads?name=${encodeURIComponent(name)}`, {
    method: "POST",
    body: file,
    headers: { "Content-Type": "application/octet-stream" },
  });
  return response.json() as Promise<Upload>;
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Start long work (`/v1/speak`, `/v1/motions`, ...) and wait for what it makes; a signal that is aborted cancels it. */
export async function work(
  path: string,
  body: unknown,
  progress: (p: Progress) => void,
  signal: AbortSignal,
): Promise<MotionInfo[]> {
  const begun = await json<{ motions?: MotionInfo[]; job?: Job }>(`${path}?wait=0`, body, signal);
  if (begun.motions) return begun.motions;
  return ended(begun.job as Job, progress, signal);
}

async function ended(job: Job, progress: (p: Progress) => void, signal?: AbortSignal): Promise<MotionInfo[]> {
  for (;;) {
    if (job.status === "done") return job.motions ?? [];
    if (job.status === "failed" || job.status === "cancelled") {
      const error = typeof job.error === "string" ? job.error : job.error?.message;
      throw new Failure(error ?? `The job was ${job.status}.`, 400);
    }
    progress(job.progress);
    await pause(200);
    if (signal?.aborted) {
      await request(`/v1/jobs/${job.id}`, { method: "DELETE" });
      throw new DOMException("cancelled", "AbortError");
    }
    job = await json<Job>(`/v1/jobs/${job.id}`);
  }
}

/** Server-sent events of a running turn, until the signal is aborted. */
export async function watch(
  id: string,
  heard: { progress: (p: Progress) => void; draft: (d: Draft) => void },
  signal: AbortSignal,
): Promise<void> {
  try {
    const response = await request(`/v1/sessions/${id}/events`, { signal });
    const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream() as never).getReader() as
      ReadableStreamDefaultReader<string>;
    let rest = "";
    let name = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line.startsWith("event:")) name = line.slice(6).trim();
        if (!line.startsWith("data:")) continue;
        const data = JSON.parse(line.slice(5)) as never;
        if (name === "progress") heard.progress(data);
        else if (name === "draft") heard.draft(data);
      }
    }
  } catch {
    // the turn itself says what went wrong; its progress is a courtesy
  }
}
