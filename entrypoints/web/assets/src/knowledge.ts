// The knowledge: what a base holds, how far each source is, and files on their way in.

import "./page";

import { type Problem, type Schemas, Refused, Unreachable, api, csrfToken, every, refresh } from "./lib/api";
import { announce, bar, h, icon, may, maybe, notice, the } from "./lib/dom";
import { size, when } from "./lib/format";
import { inWords } from "./lib/problems";
import { refreshQuotas } from "./lib/quotas";
import { count, known, language, quantity, t } from "./lib/texts";

type Base = Schemas["KnowledgeBaseBody"];
type Agent = Schemas["AgentBody"];
type Source = Schemas["KnowledgeSourceBody"];

const LOOK_MILLISECONDS = 1000;
const MEGABYTE = 1e6;
const UNAUTHENTICATED = 401;
const UPLOAD_LIMIT = "upload_mb";
const PAGE = 50;
const manages = may("knowledge:manage");
const first = new URLSearchParams(location.search).has("first");
let base: Base | null = null;
let sources: Source[] = [];
let cursor: string | null = null;
let agents: Agent[] = [];
let uploadLimit: number | null = null;
let looking = 0;

// ------------------------------------------------------------------------------------------------------------ the table

function badge(source: Source): HTMLElement {
  const [kind, drawing] = (
    { ready: ["good", "check"], failed: ["bad", "alert"], processing: ["warn", "again"], pending: ["quiet", "info"] } as const
  )[source.status] ?? ["quiet", "info"];
  return h("span", { class: "badge", "data-kind": kind }, icon(drawing), known(`source.${source.status}`, source.status));
}

function state(source: Source): HTMLElement {
  const place = h("div", { class: "source-state" }, badge(source));
  if (source.status === "failed" || source.error) {
    place.append(h("span", { class: "help" }, known(`error.${source.error_code ?? ""}`, source.error ?? "")));
  } else if (source.status === "ready") {
    place.append(h("span", { class: "help" }, count("source.passages", source.passages)));
  } else {
    const step = known(`step.${source.step ?? "stored"}`, source.step ?? "");
    place.append(bar(source.progress / 100, 0, t("source.progress", { name: source.name, progress: source.progress })));
    place.append(h("span", { class: "help" }, `${step} · ${quantity(source.progress / 100, { style: "percent" })}`));
  }
  return place;
}

function row(source: Source): HTMLElement {
  const remove = h(
    "button",
    { type: "button", class: "button", "data-kind": "bare", "aria-label": t("knowledge.delete.named", { name: source.name }), title: t("knowledge.delete.button") },
    icon("trash"),
  );
  remove.addEventListener("click", () => confirmDeletion(source));
  return h(
    "tr",
    { "data-source": source.id },
    h("td", {}, h("div", { class: "source-name" }, h("b", {}, source.name), h("span", { class: "help" }, known(`source.type.${source.type}`, source.type)))),
    h("td", {}, state(source)),
    h("td", { class: "number wide-only" }, size(source.size_bytes)),
    h("td", { class: "wide-only" }, when(source.created_at)),
    h("td", { class: "number" }, manages ? remove : null),
  );
}

function draw(): void {
  const focused = document.activeElement?.closest("tr")?.dataset["source"];
  const rows = sources.map(row);
  the("rows").replaceChildren(...(rows.length ? rows : [h("tr", {}, h("td", { colspan: 5, class: "empty" }, t("knowledge.empty")))]));
  if (focused) document.querySelector<HTMLElement>(`tr[data-source="${focused}"] button`)?.focus();
  the("more").hidden = cursor === null;
}

const atWork = (source: Source): boolean => source.status === "pending" || source.status === "processing";

async function load(): Promise<void> {
  if (!base) return;
  const page = await api<Schemas["KnowledgeSourceList"]>(`/knowledge-bases/${base.id}/sources?limit=${PAGE}`);
  const before = new Map(sources.map((source) => [source.id, source.status]));
  sources = [...page.items, ...sources.slice(PAGE)];
  if (sources.length <= PAGE) cursor = page.next_cursor;
  for (const source of page.items) {
    const was = before.get(source.id);
    if (was && was !== source.status && source.status === "ready") {
      announce(t("knowledge.now_ready", { name: source.name }));
      void refreshQuotas();
    }
  }
  draw();
  nextStep();
  clearTimeout(looking);
  if (sources.some(atWork)) looking = window.setTimeout(() => void load().catch(lookAgain), LOOK_MILLISECONDS);
}

function lookAgain(): void {
  looking = window.setTimeout(() => void load().catch(lookAgain), 4 * LOOK_MILLISECONDS);
}

// ------------------------------------------------------------------------------------------------------------ what to do

function say(...children: Node[]): void {
  the("knowledge-notice").replaceChildren(...children);
}

function sayProblem(error: unknown): void {
  const words = inWords(error);
  say(notice("bad", h("b", {}, words.title), ". ", words.text));
}

/** The next step, where there is one: make a base, let an agent answer from it, add something, ask. */
function nextStep(): void {
  if (!base) {
    const make = h("button", { type: "button", class: "button", "data-kind": "main", onclick: () => void makeBase() }, t("knowledge.make_base"));
    say(notice("info", t("knowledge.no_base"), manages ? h("p", { class: "actions" }, make) : null));
    return;
  }
  const id = base.id;
  const answering = agents.filter((agent) => agent.knowledge_base_ids.includes(id));
  const agent = agents[0];
  if (!answering.length && agent && may("agents:edit")) {
    const attach = h("button", { type: "button", class: "button", onclick: () => void attachTo(agent) }, t("knowledge.attach", { agent: agent.name }));
    say(notice("warn", t("knowledge.unattached"), h("p", { class: "actions" }, attach)));
    return;
  }
  const asked = answering.find((one) => one.status === "published");
  if (sources.some((source) => source.status === "ready") && asked) {
    if (first) say(notice("good", t("knowledge.answerable"), " ", h("a", { href: `/?agent=${asked.id}` }, t("knowledge.ask", { agent: asked.name }))));
    else say();
  } else if (first && !sources.length) say(notice("info", h("b", {}, t("start.step", { number: 2 })), " ", t("knowledge.first")));
  else say();
}

async function makeBase(): Promise<void> {
  try {
    await api<Base>("/knowledge-bases", { method: "POST", body: { name: known(`start.base_name.${language}`, t("knowledge.title")), language } });
    location.reload();
  } catch (error) {
    sayProblem(error);
  }
}

async function attachTo(agent: Agent): Promise<void> {
  if (!base) return;
  try {
    const knowledge_base_ids = [...agent.knowledge_base_ids, base.id];
    const changed = await api<Agent>(`/agents/${agent.id}/knowledge-bases`, { method: "PUT", body: { knowledge_base_ids } });
    agents = agents.map((one) => (one.id === changed.id ? changed : one));
    nextStep();
  } catch (error) {
    sayProblem(error);
  }
}

// -------------------------------------------------------------------------------------------------------------- uploads

/** A refusal that the page can tell before anything is sent: the server would only hang up on the rest of the file. */
function tooLarge(): Problem {
  return {
    type: "about:blank", title: "", status: 402, detail: "", code: "quota_exceeded", request_id: "", metric: UPLOAD_LIMIT, limit: uploadLimit ?? 0,
  };
}

function post(path: string, form: FormData, progress: (part: number) => void): Promise<Source> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/v1${path}`);
    request.setRequestHeader("X-CSRF-Token", csrfToken());
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => progress(event.lengthComputable ? event.loaded / event.total : 0));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(request.response as Source);
      else reject(new Refused(request.response as Problem));
    });
    request.addEventListener("error", () => reject(new Unreachable("the upload broke")));
    request.send(form);
  });
}

/** Files that were refused, by what was said of them: many for one reason are told about once. */
const refusals = new Map<string, { title: string; text: string; names: string[] }>();

function refuse(name: string, error: unknown): void {
  const { title, text } = inWords(error);
  const reason = `${title}. ${text}`;
  const told = refusals.get(reason) ?? { title, text, names: [] };
  told.names.push(name);
  refusals.set(reason, told);
  drawRefusals();
  announce(`${name}: ${reason}`);
}

function dismiss(...reasons: string[]): void {
  for (const reason of reasons) refusals.delete(reason);
  drawRefusals();
  document.querySelector<HTMLElement>("#drop [data-browse]")?.focus();
}

function drawRefusals(): void {
  const rows = [...refusals].map(([reason, { title, text, names }]) =>
    h(
      "li",
      { class: "upload", "data-kind": "bad" },
      h(
        "div",
        { class: "upload-line" },
        h("b", {}, title),
        h(
          "button",
          { type: "button", class: "button", "data-kind": "bare", "aria-label": t("upload.dismiss", { reason }), onclick: () => dismiss(reason) },
          icon("close"),
        ),
      ),
      h("p", {}, text),
      h("ul", { class: "upload-names" }, ...names.map((name) => h("li", {}, name))),
    ),
  );
  const all = h("button", { type: "button", class: "button", onclick: () => dismiss(...refusals.keys()) }, t("upload.dismiss_all"));
  the("refusals").replaceChildren(...rows, ...(rows.length > 1 ? [h("li", {}, all)] : []));
}

async function upload(file: File): Promise<void> {
  if (!base) return;
  const path = `/knowledge-bases/${base.id}/sources`;
  const part = h("span", { class: "quiet" }, t("upload.waiting"));
  const place = h("div", {});
  const item = h("li", { class: "upload" }, h("div", { class: "upload-line" }, h("b", {}, file.name), part), place);
  the("uploads").prepend(item);
  const progress = (done: number): void => {
    part.textContent = done >= 1 ? t("upload.storing") : quantity(done, { style: "percent", maximumFractionDigits: 0 });
    place.replaceChildren(bar(done, 0, t("source.progress", { name: file.name, progress: Math.round(done * 100) })));
  };
  const form = new FormData();
  form.append("file", file);
  try {
    if (uploadLimit !== null && file.size > uploadLimit * MEGABYTE) throw new Refused(tooLarge());
    progress(0);
    try {
      await post(path, form, progress);
    } catch (error) {
      if (!(error instanceof Refused) || error.problem.status !== UNAUTHENTICATED || !(await refresh())) throw error;
      await post(path, form, progress);
    }
    item.remove();
    announce(t("upload.done", { name: file.name }));
    await load();
  } catch (error) {
    item.remove();
    refuse(file.name, error);
  }
  void refreshQuotas();
}

/** Send files one after the other: each is told about by itself. */
async function uploadAll(files: Iterable<File>): Promise<void> {
  for (const file of files) await upload(file);
}

// ------------------------------------------------------------------------------------------------------------- dialogs

function confirmDeletion(source: Source): void {
  const dialog = the<HTMLDialogElement>("delete");
  const typed = the<HTMLInputElement>("delete-confirm");
  const button = dialog.querySelector<HTMLButtonElement>("button[type=submit]");
  the("delete-name").textContent = source.name;
  the("delete-problem").replaceChildren();
  typed.value = "";
  typed.maxLength = 200;
  if (button) button.disabled = true;
  typed.oninput = () => {
    if (button) button.disabled = typed.value.trim() !== source.name.trim();
  };
  the<HTMLFormElement>("delete-form").onsubmit = (event) => {
    event.preventDefault();
    void remove(source, dialog);
  };
  dialog.showModal();
}

async function remove(source: Source, dialog: HTMLDialogElement): Promise<void> {
  try {
    await api(`/knowledge-bases/${source.knowledge_base_id}/sources/${source.id}`, { method: "DELETE" });
    dialog.close();
    sources = sources.filter((one) => one.id !== source.id);
    announce(t("knowledge.deleted", { name: source.name }));
    await load();
    void refreshQuotas();
  } catch (error) {
    const words = inWords(error);
    the("delete-problem").replaceChildren(notice("bad", h("b", {}, words.title), ". ", words.text));
  }
}

async function addText(event: Event): Promise<void> {
  event.preventDefault();
  if (!base) return;
  const name = the<HTMLInputElement>("source-name");
  const content = the<HTMLTextAreaElement>("source-text");
  try {
    await api<Source>(`/knowledge-bases/${base.id}/sources`, { method: "POST", body: { type: "text", name: name.value, content: content.value } });
    the<HTMLDialogElement>("paste").close();
    name.value = content.value = "";
    the("paste-problem").replaceChildren();
    await load();
    void refreshQuotas();
  } catch (error) {
    const words = inWords(error);
    the("paste-problem").replaceChildren(notice("bad", h("b", {}, words.title), ". ", words.text));
  }
}

// --------------------------------------------------------------------------------------------------------------- begin

function listen(): void {
  const files = the<HTMLInputElement>("files");
  const drop = the("drop");
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-browse]")) button.addEventListener("click", () => files.click());
  for (const button of document.querySelectorAll("[data-paste]")) {
    button.addEventListener("click", () => the<HTMLDialogElement>("paste").showModal());
  }
  files.addEventListener("change", () => {
    const chosen = [...(files.files ?? [])];
    files.value = "";
    void uploadAll(chosen);
  });
  const over = (event: DragEvent, is: boolean): void => {
    event.preventDefault();
    drop.toggleAttribute("data-over", is);
  };
  document.addEventListener("dragover", (event) => over(event, true));
  document.addEventListener("dragleave", (event) => over(event, event.relatedTarget !== null));
  document.addEventListener("drop", (event) => {
    over(event, false);
    void uploadAll([...(event.dataTransfer?.files ?? [])]);
  });
  the<HTMLFormElement>("paste-form").addEventListener("submit", (event) => void addText(event));
}

async function limitOfUploads(): Promise<void> {
  if (!may("billing:view")) return;
  const subscription = await api<Schemas["SubscriptionBody"]>("/billing/subscription");
  uploadLimit = subscription.limits.find((limit) => limit.metric === UPLOAD_LIMIT)?.limit ?? null;
  const formats = maybe("formats");
  if (uploadLimit !== null && formats) formats.textContent = `${t("knowledge.formats")} ${t("knowledge.limit", { size: size(uploadLimit * MEGABYTE) })}`;
}

async function begin(): Promise<void> {
  const [bases, all] = await Promise.all([every<Base>("/knowledge-bases"), every<Agent>("/agents"), limitOfUploads()]);
  agents = all;
  const chosen = new URLSearchParams(location.search).get("base");
  base = bases.find((one) => one.id === chosen) ?? bases[0] ?? null;
  const select = the<HTMLSelectElement>("bases");
  for (const one of bases) select.append(h("option", { value: one.id, selected: one.id === base?.id }, one.name));
  select.addEventListener("change", () => location.assign(`/knowledge?base=${select.value}`));
  the("base-pick").hidden = bases.length < 2;
  if (base) {
    for (const button of document.querySelectorAll<HTMLButtonElement>("[data-browse], [data-paste]")) button.disabled = false;
    await load();
  } else {
    draw();
    nextStep();
  }
}

if (manages) listen();
the("more").addEventListener("click", () => {
  if (!base || cursor === null) return;
  void api<Schemas["KnowledgeSourceList"]>(`/knowledge-bases/${base.id}/sources?limit=${PAGE}&cursor=${encodeURIComponent(cursor)}`).then(
    (page) => {
      sources = [...sources, ...page.items];
      cursor = page.next_cursor;
      draw();
    },
    sayProblem,
  );
});
begin().catch((error: unknown) => {
  the("rows").replaceChildren();
  sayProblem(error);
});
