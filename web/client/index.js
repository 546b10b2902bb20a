/** Client of an AvatarGPT server: `openapi-fetch` over the types of its document, with jobs that are followed, and events. */

import createFetch from "openapi-fetch";

const BYTES = "application/octet-stream";
const POLL = 200; // ms between two looks at a job

/** An answer other than success, in one line. */
export class Failure extends Error {
  constructor(message, status, code = "", where = "") {
    super(message);
    Object.assign(this, { status, code, where });
  }
}

export function connect({ baseUrl = "", key = () => null, askForKey = null } = {}) {
  async function send(asked) {
    const again = askForKey && asked.headers.get("Content-Type") !== BYTES ? asked.clone() : null; // a film is no copy's worth
    const secret = key();
    if (secret) asked.headers.set("Authorization", `Bearer ${secret}`);
    const answer = await fetch(asked).catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Failure("The server does not answer.", 0);
    });
    if (answer.status === 401 && again && (await askForKey())) return send(again);
    if (answer.ok) return answer;
    const error = (await answer.json().catch(() => null))?.error;
    throw new Failure(error?.message ?? `The server answered ${answer.status}.`, answer.status, error?.code, error?.where);
  }

  const api = createFetch({ baseUrl, fetch: send });

  async function follow(answer, progress = () => undefined, signal) {
    if (!("job" in answer)) return answer;
    let { job } = answer;
    const params = { path: { id: job.id } };
    while (job.status === "queued" || job.status === "running") {
      progress(job.progress);
      await new Promise((done) => setTimeout(done, POLL));
      if (signal?.aborted) {
        await api.DELETE("/v1/jobs/{id}", { params });
        throw new DOMException("cancelled", "AbortError");
      }
      job = (await api.GET("/v1/jobs/{id}", { params })).data;
    }
    if (job.status === "done") return job;
    throw new Failure(job.error?.message ?? `The job was ${job.status}.`, 400, job.error?.code, job.error?.where);
  }

  return { ...api, follow, request: (path, init) => send(new Request(baseUrl + path, init)) };
}

/** Server-sent events of an answer, until it ends. */
export async function* events(answer) {
  let [rest, event] = ["", ""];
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const lines = (rest + piece.value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith("event: ")) event = line.slice(7);
      if (line.startsWith("data: ")) yield { event, data: JSON.parse(line.slice(6)) };
    }
  }
}
