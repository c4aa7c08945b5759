// A turn's events, over fetch: read as they come, picked up where they broke off.

import { type Problem, Refused, type Schemas, Unreachable, problemOf, send } from "./api";

export interface ShownPassage {
  number: number;
  source_id: string;
  title: string;
  score: number;
}

type Usage = NonNullable<Schemas["TurnAnswer"]["usage"]>;

export type TurnEvent =
  | { name: "turn.started"; data: { turn_id: string; conversation_id: string } }
  | { name: "retrieval.completed"; data: { passages: ShownPassage[] } }
  | { name: "answer.delta"; data: { text: string } }
  | { name: "answer.completed"; data: { message: Schemas["MessageBody"]; usage: Usage } }
  | { name: "turn.completed"; data: object }
  | { name: "turn.stopped"; data: { message?: Schemas["MessageBody"]; usage?: Usage } }
  | { name: "turn.failed"; data: { problem: Problem & { retryable?: boolean }; message?: Schemas["MessageBody"] } };

const ENDS: ReadonlySet<string> = new Set(["turn.completed", "turn.stopped", "turn.failed"]);
const WAITS = [300, 1000, 2000, 4000, 8000, 8000];

interface Raw {
  id: string;
  name: string;
  data: string;
}

/** The events in `body` (WHATWG HTML, section 9.2), as far as we send them: `id`, `event` and one line of `data`. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<Raw> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + decoder.decode(value, { stream: true })).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const event: Raw = { id: "", name: "", data: "" };
        for (const line of block.split("\n")) {
          if (line.startsWith("id: ")) event.id = line.slice(4);
          else if (line.startsWith("event: ")) event.name = line.slice(7);
          else if (line.startsWith("data: ")) event.data = line.slice(6);
        }
        if (event.name) yield event;
      }
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

export interface Asking {
  /** Where the turn is asked for, with what; without it an existing turn is followed. */
  path?: string;
  body?: unknown;
  turn?: string;
  /** Told when the connection broke and is tried again, and when it is there again. */
  onBreak: (broken: boolean) => void;
}

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Ask for a turn and yield its events until its last.
 *
 * A question whose sending broke is sent again: its `client_message_id` makes that the same turn. A stream that broke goes on after the last
 * event that came. Throws `Refused` when the API says no, `Unreachable` when nothing answers for half a minute.
 */
export async function* turnEvents(asking: Asking): AsyncGenerator<TurnEvent> {
  let turn = asking.turn ?? "";
  let last = "0";
  let broken = 0;
  for (;;) {
    try {
      const answer = turn
        ? await send(`/turns/${turn}/events`, { headers: { Accept: "text/event-stream", "Last-Event-ID": last } })
        : await send(asking.path ?? "", { method: "POST", body: asking.body ?? {}, headers: { Accept: "text/event-stream" } });
      if (!answer.ok || answer.body === null) throw new Refused(await problemOf(answer));
      turn = answer.headers.get("Luneo-Turn") ?? turn;
      if (broken) asking.onBreak(false);
      for await (const event of events(answer.body)) {
        broken = 0;
        last = event.id;
        yield { name: event.name, data: JSON.parse(event.data) } as TurnEvent;
        if (ENDS.has(event.name)) return;
      }
    } catch (error) {
      const passing = error instanceof Refused && (error.problem.status === 502 || error.problem.status === 504);
      if (error instanceof Refused && !passing) throw error;
    }
    const wait = WAITS[broken];
    if (wait === undefined) throw new Unreachable("the stream broke and did not come back");
    broken += 1;
    asking.onBreak(true);
    await pause(wait);
  }
}
