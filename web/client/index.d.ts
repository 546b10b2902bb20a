import type { Client } from "openapi-fetch";
import type { components, paths } from "./contract.js";

export type { paths };
export type Schemas = components["schemas"];

export class Failure extends Error {
  constructor(message: string, status: number, code?: string, where?: string);
  /** Of HTTP; 0: the server could not be reached. */
  readonly status: number;
  readonly code: string;
  /** The field, empty where it is none. */
  readonly where: string;
}

export interface Options {
  /** Of the server, without a final slash; empty: of the page. */
  baseUrl?: string;
  /** The key to send, if any. */
  key?: () => string | null;
  /** Called where the server wants a key; whether there is one now. */
  askForKey?: () => Promise<boolean>;
}

/** Every path of the document by its method, as `openapi-fetch` has them; an answer other than success is a `Failure`. */
export interface Connection extends Client<paths> {
  /** The result of an answer that may be a job, which has it when it is done; a signal that is aborted cancels it. */
  follow<T extends object>(
    answer: T,
    progress?: (p: Schemas["Progress"]) => void,
    signal?: AbortSignal,
  ): Promise<Exclude<T, Schemas["Begun"]>>;
  /** A path that the server gave. */
  request(path: string, init?: RequestInit): Promise<Response>;
}

export function connect(options?: Options): Connection;

export function events(answer: Response): AsyncGenerator<{ event: string; data: unknown }>;
