// The first steps: an agent from a template, with a knowledge base of its own, published; then on to what it shall know.

import "./page";

import { type Schemas, api, every } from "./lib/api";
import { h, maybe, notice, the } from "./lib/dom";
import { inWords } from "./lib/problems";
import { known, t } from "./lib/texts";

type Agent = Schemas["AgentBody"];
type Base = Schemas["KnowledgeBaseBody"];

const form = maybe<HTMLFormElement>("start");
let named = false;

/** Make what is not there yet: after a step that failed, trying again goes on from where it came to. */
async function make(progress: (text: string) => void): Promise<void> {
  const name = the<HTMLInputElement>("agent-name").value.trim();
  const main = the<HTMLSelectElement>("main-language").value;
  const template = form?.querySelector<HTMLInputElement>("input[name=template]:checked")?.value;
  progress(t("start.making_base"));
  const [bases, agents] = await Promise.all([every<Base>("/knowledge-bases"), every<Agent>("/agents")]);
  const base = bases[0] ?? (await api<Base>("/knowledge-bases", { method: "POST", body: { name: known(`start.base_name.${main}`, name), language: main } }));
  progress(t("start.making_agent"));
  const languages = [main, main === "fr" ? "en" : "fr"];
  const draft = agents.find((one) => one.status === "draft");
  const agent = draft
    ? await api<Agent>(`/agents/${draft.id}`, { method: "PATCH", body: { name, languages } })
    : await api<Agent>("/agents", { method: "POST", body: { name, template_slug: template, languages, knowledge_base_ids: [base.id] } });
  progress(t("start.publishing"));
  if (!agent.knowledge_base_ids.length) {
    await api<Agent>(`/agents/${agent.id}/knowledge-bases`, { method: "PUT", body: { knowledge_base_ids: [base.id] } });
  }
  await api<Agent>(`/agents/${agent.id}/publish`, { method: "POST" });
}

form?.addEventListener("change", (event) => {
  const chosen = event.target as HTMLInputElement;
  if (chosen.name === "template" && !named) the<HTMLInputElement>("agent-name").value = chosen.dataset["name"] ?? "";
});
maybe("agent-name")?.addEventListener("input", () => {
  named = true;
});
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  if (button) button.disabled = true;
  const status = the("start-progress");
  the("start-problem").replaceChildren();
  make((text) => (status.textContent = text)).then(
    () => location.assign("/knowledge?first=1"),
    (error: unknown) => {
      const words = inWords(error);
      the("start-problem").replaceChildren(notice("bad", h("b", {}, words.title), ". ", words.text));
      status.textContent = "";
      if (button) button.disabled = false;
    },
  );
});
