// The chat: one conversation with one agent, its questions, its answers as they come, and what they stand on.

import "./page";

import { type Schemas, Refused, api, every, newKey } from "./lib/api";
import { answerElements, type Citation } from "./lib/answers";
import { announce, h, icon, may, maybe, notice, the } from "./lib/dom";
import { duration, money, share, when } from "./lib/format";
import { inWords } from "./lib/problems";
import { dropDraft, draftFor, keepDraft } from "./lib/drafts";
import { refreshQuotas } from "./lib/quotas";
import { openCitation } from "./lib/sources";
import { type ShownPassage, type TurnEvent, turnEvents } from "./lib/stream";
import { count, quantity, t } from "./lib/texts";

type Message = Schemas["StoredMessageBody"];
type Conversation = Schemas["ConversationBody"];
type Turn = Schemas["TurnBody"];

const NEAR_END = 80;
const RECENT = 30;
const NOT_FOUND = 404;
const root = the("chat");
const messages = the<HTMLOListElement>("messages");
const thread = the("thread");
const composer = maybe<HTMLFormElement>("composer");
const question = maybe<HTMLTextAreaElement>("question");
const agent = root.dataset["agent"] ?? "";
const bases = (root.dataset["bases"] ?? "").split(" ").filter(Boolean);
const replies = may("conversations:reply") && composer !== null;
let conversation = root.dataset["conversation"] ?? "";
let running: AnswerView | null = null;
let stopWanted = false;
/** What was sent and never answered for: sent again as the same question, should it have arrived after all. */
let unanswered: { content: string; key: string } | null = null;

// ------------------------------------------------------------------------------------------------------------ the thread

/** Whether the end is kept in view: until the reader scrolls up, and again once they are back at the end. */
let following = true;
let lastTop = 0;

function toEnd(): void {
  following = true;
  thread.scrollTop = thread.scrollHeight;
}

thread.addEventListener("scroll", () => {
  const atEnd = thread.scrollHeight - thread.scrollTop - thread.clientHeight < NEAR_END;
  if (atEnd) following = true;
  else if (thread.scrollTop < lastTop) following = false; // what grows below moves nobody up
  lastTop = thread.scrollTop;
});
// Whatever changes a height: a word more, the tools below an answer, the composer, a phone's keyboard.
const heights = new ResizeObserver(() => {
  if (following) toEnd();
});
heights.observe(thread);
heights.observe(messages);

function tool(name: string, label: string, press: (button: HTMLButtonElement) => void): HTMLButtonElement {
  const button = h("button", { type: "button", class: "button", "data-kind": "bare" }, icon(name), label);
  button.addEventListener("click", () => press(button));
  return button;
}

const questions = new Map<Element, QuestionView>();

class QuestionView {
  readonly element: HTMLLIElement;
  private id: string | null;

  constructor(
    readonly content: string,
    id: string | null,
  ) {
    this.id = id;
    this.element = h("li", { class: "message", "data-role": "user" });
    questions.set(this.element, this);
    this.draw();
  }

  /** Tell the id under which the question is stored: from then on it can be edited. */
  stored(id: string): void {
    if (this.id !== null) return;
    this.id = id;
    this.draw();
  }

  private draw(): void {
    const tools = h("div", { class: "message-tools" });
    if (this.id && replies) tools.append(tool("edit", t("chat.edit"), () => this.edit()));
    this.element.replaceChildren(
      h("span", { class: "visually-hidden" }, t("chat.you")),
      h("div", { class: "bubble" }, this.content),
      tools, // its place is kept while it is empty: nothing moves when it can be edited
    );
  }

  private edit(): void {
    if (running) return;
    const text = h("textarea", { "aria-label": t("chat.question"), maxlength: 8000 });
    text.value = this.content;
    const form = h(
      "form",
      { class: "edit" },
      text,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button", "data-kind": "main" }, t("chat.ask_again")),
        h("button", { type: "button", class: "button", onclick: () => this.draw() }, t("dialog.cancel")),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const content = text.value.trim();
      if (content && this.id) void ask(content, { edited: this, id: this.id });
    });
    text.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.draw();
      else sendOnEnter(event, form);
    });
    this.element.replaceChildren(form);
    text.focus();
  }
}

class AnswerView {
  readonly element: HTMLLIElement;
  turn: string;
  private text = "";
  private citations: readonly Citation[] = [];
  private passages: readonly ShownPassage[] = [];
  private readonly body = h("div", { class: "answer" });
  private readonly note = h("div", {});
  private readonly tools = h("div", { class: "message-tools" });
  private readonly steps = h("details", { class: "steps", hidden: true });
  private readonly waiting = h("p", { class: "waiting" });
  private frame = 0;

  constructor(turn: string) {
    this.turn = turn;
    this.element = h("li", { class: "message", "data-role": "assistant" });
    this.element.append(h("span", { class: "visually-hidden" }, t("chat.agent")), this.body, this.waiting, this.note, this.tools, this.steps);
    this.steps.addEventListener("toggle", () => {
      if (this.steps.open) void this.showSteps();
    });
    this.waiting.hidden = true;
  }

  wait(text: string): void {
    this.waiting.textContent = text;
    this.waiting.hidden = !text;
  }

  retrieved(passages: readonly ShownPassage[]): void {
    this.passages = passages;
    this.wait(passages.length ? count("chat.found", passages.length) : t("chat.writing"));
  }

  delta(text: string): void {
    this.wait("");
    this.text += text;
    this.body.dataset["busy"] = "";
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  /** Show the whole answer with its citations. */
  whole(message: { content: string; citations: readonly Citation[]; complete: boolean }): void {
    this.text = message.content;
    this.citations = message.citations;
    this.ended();
    if (!message.complete) this.note.replaceChildren(h("p", { class: "quiet" }, t("chat.incomplete")));
  }

  /** The answer gets no longer: it can be copied, asked for anew and looked into. */
  ended(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.wait("");
    delete this.body.dataset["busy"];
    this.draw();
    this.tools.replaceChildren();
    // browsers have a clipboard on https and on this machine alone
    if (this.text && "clipboard" in navigator) this.tools.append(tool("copy", t("chat.copy"), (button) => void this.copy(button)));
    if (replies) {
      const again = tool("again", t("chat.regenerate"), () => void regenerate(this));
      again.dataset["again"] = "";
      this.tools.append(again);
    }
    this.steps.hidden = false;
    this.steps.replaceChildren(h("summary", {}, t("chat.steps"), icon("down")), h("div", { class: "steps-body" }));
    if (this.steps.open) void this.showSteps();
  }

  private async copy(button: HTMLButtonElement): Promise<void> {
    await navigator.clipboard.writeText(this.text);
    button.replaceChildren(icon("check"), t("chat.copied"));
  }

  failed(problem: HTMLElement): void {
    this.ended();
    if (problem.querySelector("button")) this.tools.querySelector("[data-again]")?.remove(); // the problem offers it already
    this.note.replaceChildren(problem);
  }

  private draw(): void {
    this.body.replaceChildren(
      ...answerElements(this.text, this.citations, (citation, mark) => void openCitation(citation, mark, bases)),
    );
  }

  private async showSteps(): Promise<void> {
    const place = this.steps.querySelector(".steps-body");
    if (!place || place.childElementCount) return;
    place.replaceChildren(h("span", { class: "skeleton", "data-lines": 3 }));
    try {
      const turn = await api<Turn>(`/turns/${this.turn}`);
      place.replaceChildren(...this.stepElements(turn));
    } catch (error) {
      const words = inWords(error);
      place.replaceChildren(h("p", {}, words.title, " ", words.text));
    }
  }

  private stepElements(turn: Turn): HTMLElement[] {
    const facts = h("dl", {});
    const fact = (name: string, value: string): void => facts.append(h("dt", {}, name), h("dd", {}, value));
    for (const [step, name] of [["retrieve", t("steps.retrieve")], ["compose", t("steps.compose")], ["generate", t("steps.generate")]] as const) {
      const milliseconds = turn.steps[step];
      if (milliseconds !== undefined) fact(name, duration(milliseconds));
    }
    if (turn.usage) {
      const tokens = { in: quantity(turn.usage.tokens_in), out: quantity(turn.usage.tokens_out) };
      fact(t("steps.tokens"), turn.usage.estimated ? t("steps.tokens.estimated", tokens) : t("steps.tokens.counted", tokens));
      fact(t("steps.cost"), money(turn.usage.cost.amount, turn.usage.cost.currency));
    }
    if (turn.model) fact(t("steps.model"), turn.model);
    const shown: readonly { number: number; title: string; score: number }[] = this.passages.length
      ? this.passages
      : (turn.message?.citations ?? []);
    const list = h("ul", { "aria-label": t("steps.passages") });
    for (const one of shown) list.append(h("li", {}, h("span", {}, `${one.number}. ${one.title}`), h("span", { class: "quiet" }, share(one.score))));
    return shown.length ? [facts, h("div", {}, h("p", { class: "quiet" }, t("steps.passages")), list)] : [facts];
  }
}

// --------------------------------------------------------------------------------------------------------------- a turn

function busy(view: AnswerView | null): void {
  running = view;
  const stop = maybe("stop");
  const send = maybe("send");
  if (stop) stop.hidden = view === null;
  if (send) send.hidden = view !== null;
}

function stop(view: AnswerView): void {
  api(`/turns/${view.turn}/stop`, { method: "POST" }).catch((error: unknown) => tell(problemNotice(error)));
}

function tell(...children: (Node | string)[]): void {
  maybe("composer-notice")?.replaceChildren(...children);
}

/** What went wrong, with what was kept and what to do. */
function problemNotice(error: unknown, again?: () => void): HTMLElement {
  const words = inWords(error);
  const button = again ? h("p", { class: "actions" }, h("button", { type: "button", class: "button", onclick: again }, t("chat.retry"))) : null;
  return notice(error instanceof Refused && error.problem.status === 402 ? "warn" : "bad", h("b", {}, words.title), ". ", words.text, button);
}

/** Show a turn's events in `view`. Throws what kept it from beginning; what went wrong later is said in the answer. */
async function follow(view: AnswerView, events: AsyncGenerator<TurnEvent>, retry: () => void, started?: () => void): Promise<void> {
  let begun = false;
  busy(view);
  stopWanted = false;
  view.wait(t("chat.searching"));
  try {
    for await (const event of events) {
      begun = true;
      if (event.name === "turn.started") {
        view.turn = event.data.turn_id;
        started?.();
        if (stopWanted) stop(view);
        void refreshQuotas(); // what the turn holds in reserve
        void showRecent();
      } else if (event.name === "retrieval.completed") view.retrieved(event.data.passages);
      else if (event.name === "answer.delta") view.delta(event.data.text);
      else if (event.name === "answer.completed") {
        view.whole(event.data.message);
        announce(event.data.message.content);
      } else if (event.name === "turn.stopped") {
        if (event.data.message) view.whole(event.data.message);
        else view.failed(notice("info", t("chat.stopped")));
        announce(t("chat.stopped"));
      } else if (event.name === "turn.failed") {
        if (event.data.message) view.whole(event.data.message);
        const refused = new Refused(event.data.problem);
        view.failed(problemNotice(refused, event.data.problem.retryable ? retry : undefined));
      }
    }
  } catch (error) {
    if (!begun) throw error;
    view.failed(problemNotice(error, () => location.reload()));
  } finally {
    busy(null);
    tell();
    void refreshQuotas();
    void showRecent();
  }
}

function onBreak(broken: boolean): void {
  if (broken) tell(notice("warn", t("chat.reconnecting")));
  else tell();
}

interface Edit {
  edited: QuestionView;
  id: string;
}

const emptyKey = `luneo-empty:${agent}`;

/**
 * The conversation for a first question. One in which nothing came to be asked, since the question was refused, serves the next try,
 * also after the page was loaded anew: no empty ones pile up.
 */
async function conversationToBegin(): Promise<string> {
  const left = sessionStorage.getItem(emptyKey);
  if (left !== null) {
    const found = await api<Conversation>(`/conversations/${left}`).catch((error: unknown) => {
      if (error instanceof Refused && error.problem.status === NOT_FOUND) return null;
      throw error;
    });
    if (found?.last_message_at === null && found.agent_id === agent) return found.id;
  }
  const made = await api<Conversation>("/conversations", { method: "POST", body: { agent_id: agent } });
  sessionStorage.setItem(emptyKey, made.id);
  return made.id;
}

/** The question was taken: its draft is done with, and the conversation has its address. */
function begun(id: string): void {
  dropDraft();
  if (sessionStorage.getItem(emptyKey) === id) sessionStorage.removeItem(emptyKey);
  history.replaceState(null, "", `/conversations/${id}`);
}

/** Ask `content`, in a new conversation when there is none yet, or in the place of an earlier question. */
async function ask(content: string, edit?: Edit): Promise<void> {
  if (running) return;
  const asked = new QuestionView(content, null);
  const view = new AnswerView("");
  const left: Element[] = [];
  if (edit) {
    for (let next: Element | null = edit.edited.element; next; next = next.nextElementSibling) left.push(next);
    for (const element of left) element.remove();
  }
  const greeting = maybe("greeting");
  if (greeting) greeting.hidden = true;
  messages.append(asked.element, view.element);
  tell();
  toEnd();
  busy(view);
  view.wait(t("chat.sending"));
  try {
    conversation ||= await conversationToBegin();
    const key = unanswered?.content === content && !edit ? unanswered.key : newKey();
    unanswered = { content, key };
    const body = { content, client_message_id: key, ...(edit ? { edit_of: edit.id } : {}) };
    const events = turnEvents({ path: `/conversations/${conversation}/messages`, body, onBreak });
    await follow(view, events, () => void regenerate(view), edit ? undefined : () => begun(conversation));
    unanswered = null;
    void nameQuestions();
  } catch (error) {
    // nothing was asked: the question goes back to where it was written
    asked.element.remove();
    view.element.remove();
    messages.append(...left);
    if (greeting && !messages.childElementCount) greeting.hidden = false;
    if (question && !edit) {
      question.value = content;
      keepDraft(content);
      grow();
    }
    busy(null);
    tell(problemNotice(error));
    question?.focus();
    void refreshQuotas();
  }
}

/** Answer the question of `view` anew, in its place. */
async function regenerate(view: AnswerView): Promise<void> {
  if (running || !view.turn) return;
  const anew = new AnswerView("");
  const after: Element[] = [];
  for (let next = view.element.nextElementSibling; next; next = next.nextElementSibling) after.push(next);
  view.element.replaceWith(anew.element);
  for (const element of after) element.remove();
  try {
    await follow(anew, turnEvents({ path: `/turns/${view.turn}/regenerate`, onBreak }), () => void regenerate(anew));
  } catch (error) {
    anew.element.replaceWith(view.element);
    messages.append(...after);
    tell(problemNotice(error));
  }
}

/** Learn the ids under which the questions that were just asked are stored. One that can't be told is edited after the page is loaded anew. */
async function nameQuestions(): Promise<void> {
  const stored = await every<Message>(`/conversations/${conversation}/messages`).catch(() => []);
  const asked = stored.filter((message) => message.role === "user");
  const shown = [...messages.querySelectorAll('[data-role="user"]')];
  if (asked.length !== shown.length) return;
  shown.forEach((element, at) => questions.get(element)?.stored(asked[at]?.id ?? ""));
}

// ------------------------------------------------------------------------------------------------- what was said before

async function showConversation(): Promise<void> {
  let stored: Message[];
  try {
    stored = await every<Message>(`/conversations/${conversation}/messages`);
  } catch (error) {
    messages.replaceChildren(h("li", {}, problemNotice(error, () => location.reload())));
    return;
  }
  messages.replaceChildren();
  const answered = new Set<string>();
  for (const message of stored) {
    if (message.role === "user") {
      messages.append(new QuestionView(message.content, message.id).element);
    } else {
      const view = new AnswerView(message.turn_id);
      view.whole(message);
      answered.add(message.turn_id);
      messages.append(view.element);
    }
  }
  toEnd();
  const last = stored.at(-1);
  if (last?.role === "user" && !answered.has(last.turn_id)) await pickUp(last.turn_id);
}

/** The last question has no answer: its turn still runs, or did not come to one. Follow it to its end. */
async function pickUp(turn: string): Promise<void> {
  const view = new AnswerView(turn);
  messages.append(view.element);
  toEnd();
  try {
    await follow(view, turnEvents({ turn, onBreak }), () => void regenerate(view));
  } catch (error) {
    view.failed(problemNotice(error, () => location.reload()));
  }
}

let recent: Conversation[] = [];
let recentCursor: string | null = null;

function recentPage(cursor: string | null): Promise<Schemas["ConversationList"]> {
  const query = new URLSearchParams({ limit: String(RECENT), order: "last_used" });
  if (agent) query.set("agent_id", agent);
  if (cursor !== null) query.set("cursor", cursor);
  return api(`/conversations?${query}`);
}

/** Show the conversations last used; those that were shown further down stay. */
async function showRecent(): Promise<void> {
  if (!may("conversations:view")) return;
  try {
    const page = await recentPage(null);
    const fresh = new Set(page.items.map((one) => one.id));
    const further = recent.slice(RECENT).filter((one) => !fresh.has(one.id));
    recent = [...page.items, ...further];
    if (!further.length) recentCursor = page.next_cursor;
  } catch {
    // what is shown stays true enough
  }
  drawRecent();
}

async function showMoreRecent(button: HTMLButtonElement): Promise<void> {
  button.disabled = true;
  try {
    const page = await recentPage(recentCursor);
    const shown = new Set(recent.map((one) => one.id));
    const list = button.closest("ol");
    const at = recent.length;
    recent = [...recent, ...page.items.filter((one) => !shown.has(one.id))];
    recentCursor = page.next_cursor;
    drawRecent();
    list?.querySelectorAll<HTMLElement>("a")[at]?.focus();
  } catch {
    button.disabled = false;
  }
}

function drawRecent(): void {
  for (const id of ["conversations", "conversations-sheet"]) {
    const more = h("button", { type: "button", class: "button", "data-kind": "bare" }, t("list.more"));
    more.addEventListener("click", () => void showMoreRecent(more));
    const items = recent.length ? recent.map(recentItem) : [h("li", { class: "empty" }, t("chat.none"))];
    maybe(id)?.replaceChildren(...items, ...(recentCursor === null ? [] : [h("li", {}, more)]));
  }
}

function recentItem(one: Conversation): HTMLElement {
  const current = one.id === conversation;
  return h(
    "li",
    {},
    h(
      "a",
      { href: `/conversations/${one.id}`, "aria-current": current ? "page" : null },
      h("span", { class: "title" }, one.title ?? ""),
      h("span", { class: "when" }, when(one.last_message_at ?? one.created_at)),
    ),
  );
}

async function showWhetherItKnows(): Promise<void> {
  const hint = maybe("no-knowledge");
  if (!hint || !may("knowledge:view")) return;
  const known = await Promise.all(bases.map((base) => api<Schemas["KnowledgeBaseBody"]>(`/knowledge-bases/${base}`)));
  hint.hidden = known.some((base) => base.sources > 0);
}

// ---------------------------------------------------------------------------------------------------------- the composer

function grow(): void {
  if (!question) return;
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight}px`;
}

function sendOnEnter(event: KeyboardEvent, form: HTMLFormElement): void {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
}

composer?.addEventListener("submit", (event) => {
  event.preventDefault();
  const content = question?.value.trim() ?? "";
  if (!content || running || !question) return;
  question.value = "";
  grow();
  void ask(content);
});
question?.addEventListener("input", () => {
  keepDraft(question.value);
  grow();
});
question?.addEventListener("keydown", (event) => {
  if (composer) sendOnEnter(event, composer);
});
maybe("stop")?.addEventListener("click", () => {
  stopWanted = true; // a turn that has no name yet is stopped as soon as it has one
  if (running?.turn) stop(running);
  question?.focus();
});
for (const suggestion of document.querySelectorAll<HTMLButtonElement>(".suggestion")) {
  suggestion.addEventListener("click", () => void ask(suggestion.textContent ?? ""));
}
maybe<HTMLSelectElement>("agents")?.addEventListener("change", (event) => {
  location.assign(`/?agent=${(event.target as HTMLSelectElement).value}`);
});
if (question) {
  question.value ||= draftFor();
  grow();
}
if (conversation) void showConversation();
else void showWhetherItKnows().catch(() => undefined);
void showRecent();
