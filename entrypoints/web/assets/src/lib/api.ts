// The API, as this browser's session calls it.

import type { components } from "../../generated/api";

export type Schemas = components["schemas"];
/** An error as the API tells it; what does not apply is left out. */
export type Problem = Pick<Schemas["Problem"], "type" | "title" | "status" | "detail" | "code" | "request_id"> & Partial<Schemas["Problem"]>;

const BASE = "/api/v1";
const CSRF_COOKIE = "luneo_csrf";
const NO_CONTENT = 204;
const UNAUTHENTICATED = 401;

/** An answer that is no success: what the API says of it. */
export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

/** The network is gone, or the server is: nothing was answered. */
export class Unreachable extends Error {}

export function csrfToken(): string {
  const found = document.cookie.split("; ").find((cookie) => cookie.startsWith(`${CSRF_COOKIE}=`));
  return found === undefined ? "" : decodeURIComponent(found.slice(CSRF_COOKIE.length + 1));
}

/** What `answer` says went wrong, also when it is no problem of ours (a proxy's page). */
export async function problemOf(answer: Response): Promise<Problem> {
  try {
    return (await answer.json()) as Problem;
  } catch {
    return { type: "about:blank", title: answer.statusText, status: answer.status, detail: "", code: `http_${answer.status}`, request_id: "" };
  }
}

let refreshing: Promise<boolean> | null = null;

/** Exchange the session's refresh token, once for all who wait; tell whether there is a session again. */
export function refresh(): Promise<boolean> {
  refreshing ??= fetch(`${BASE}/auth/refresh`, { method: "POST" })
    .then((answer) => answer.ok)
    .catch(() => false)
    .finally(() => {
      refreshing = null;
    });
  return refreshing;
}

export function signIn(): void {
  location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
}

export interface Call {
  method?: string;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** Send a request below `/api/v1` and return its answer, whatever its status. A session that ran out is renewed once. */
export async function send(path: string, call: Call = {}): Promise<Response> {
  const once = async (): Promise<Response> => {
    const headers: Record<string, string> = { ...call.headers };
    if (call.method !== undefined && call.method !== "GET") headers["X-CSRF-Token"] = csrfToken();
    if (call.body !== undefined) headers["Content-Type"] = "application/json";
    try {
      return await fetch(BASE + path, {
        method: call.method ?? "GET",
        headers,
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        ...(call.signal === undefined ? {} : { signal: call.signal }),
      });
    } catch (error) {
      if (call.signal?.aborted) throw error;
      throw new Unreachable(String(error));
    }
  };
  const answer = await once();
  if (answer.status !== UNAUTHENTICATED) return answer;
  if (await refresh()) return once();
  signIn();
  return answer;
}

/** Send a request and return the answer's body. Throws `Refused` or `Unreachable`. */
export async function api<T>(path: string, call: Call = {}): Promise<T> {
  const answer = await send(path, call);
  if (!answer.ok) throw new Refused(await problemOf(answer));
  return (answer.status === NO_CONTENT ? undefined : await answer.json()) as T;
}

/** Every item of a list, page after page, at most `most`. */
export async function every<T>(path: string, most = 1000): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({ limit: "100", ...(cursor === null ? {} : { cursor }) });
    const page: { items: T[]; next_cursor: string | null } = await api(`${path}${path.includes("?") ? "&" : "?"}${query}`);
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== null && items.length < most);
  return items;
}

/** A name for a request of ours that may be sent again. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
