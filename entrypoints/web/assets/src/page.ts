// What every page has: its look, forms that htmx sends, the way back into a session, the account menu, the usage panel.

import "../styles/main.css";
import "htmx.org";

import { type Schemas, api, refresh } from "./lib/api";
import { h, maybe, notice } from "./lib/dom";
import { inWords } from "./lib/problems";
import { refreshQuotas, showUsage } from "./lib/quotas";
import { t } from "./lib/texts";

const RESUMED = "luneo-resumed-at";
const LOOP_MILLISECONDS = 10_000;

/** A session whose access token ran out is renewed, and the page asked for again; once, should the browser keep no cookies. */
async function resume(next: string): Promise<void> {
  const before = Number(sessionStorage.getItem(RESUMED) ?? 0);
  const looping = Date.now() - before < LOOP_MILLISECONDS;
  sessionStorage.setItem(RESUMED, String(Date.now()));
  const there = !looping && (await refresh());
  location.replace(there ? next : `/sign-in?next=${encodeURIComponent(next)}`);
}

async function signOut(button: HTMLButtonElement): Promise<void> {
  button.disabled = true;
  try {
    await api("/auth/logout", { method: "POST" });
    sessionStorage.clear(); // drafts are for nobody else
    location.assign("/");
  } catch (error) {
    button.disabled = false;
    const words = inWords(error);
    maybe("account")?.append(notice("bad", h("b", {}, words.title), ". ", words.text));
  }
}

/** The organisations that one may go to, where there are several. */
async function showOrganizations(): Promise<void> {
  const place = document.querySelector<HTMLElement>("[data-organizations]");
  if (!place || place.childElementCount) return;
  const { items } = await api<Schemas["PlaceList"]>("/organizations?limit=100");
  if (items.length < 2) return;
  const me = await api<Schemas["MeBody"]>("/auth/me");
  const select = h("select", { id: "organization" });
  for (const one of items) select.append(h("option", { value: one.id, selected: one.id === me.organization?.id }, one.name));
  select.addEventListener("change", () => {
    void api(`/organizations/${select.value}/switch`, { method: "POST" }).then(() => location.assign("/"));
  });
  place.replaceChildren(h("div", { class: "field" }, h("label", { for: "organization" }, t("account.organization")), select));
  place.hidden = false;
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const usage = target?.closest<HTMLElement>("[data-usage]");
  const out = target?.closest<HTMLButtonElement>("[data-sign-out]");
  const closing = target?.closest<HTMLElement>("[data-close-dialog]");
  if (usage) void showUsage(usage);
  if (out) void signOut(out);
  closing?.closest("dialog")?.close();
});
maybe("account")?.addEventListener("toggle", (event) => {
  if ((event as ToggleEvent).newState === "open") void showOrganizations().catch(() => undefined);
});
for (const swatch of document.querySelectorAll<HTMLElement>("[data-token]")) {
  swatch.style.background = `var(--${swatch.dataset["token"]})`;
}
const resuming = document.querySelector<HTMLElement>("[data-resume]");
if (resuming) void resume(resuming.dataset["resume"] ?? "/");
if (document.querySelector("[data-meter]")) void refreshQuotas();
