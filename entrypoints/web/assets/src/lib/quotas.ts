// What the plan holds and what is left of it: the bar in the rail, and every metric in the panel.

import { type Schemas, api } from "./api";
import { bar, h, may, notice } from "./dom";
import { date, day } from "./format";
import { openPanel } from "./panel";
import { inWords } from "./problems";
import { known, quantity, t } from "./texts";

type Quota = Schemas["QuotaBody"];

/** What the rail shows while no limit is near. */
const IN_RAIL = "messages_ai";
const PER_FILE = "upload_mb"; // limits each file and is not counted
/** What is meant to be full: an organisation of one has its one member. */
const MEANT_TO_BE_FULL: ReadonlySet<string> = new Set(["agents", "knowledge_bases", "team_members"]);
const NEAR = 0.8;
let latest: Quota[] = [];

function labelOf(quota: Quota): string {
  return known(`metric.${quota.metric}`, quota.metric);
}

/** How much is used, of what, in words. */
function amounts(quota: Quota): string {
  const used = quantity(quota.used);
  if (quota.metric === PER_FILE) return quota.limit === null ? t("quota.no_limit") : quantity(quota.limit);
  if (quota.limit === 0) return t("quota.not_in_plan");
  return quota.limit === null
    ? t("quota.unlimited", { used })
    : t("quota.of", { used, limit: quantity(quota.limit) });
}

/** How much of the limit is taken (1 is all of it), where a limit is something to watch. */
function partOf(quota: Quota): number {
  if (!quota.limit || quota.metric === PER_FILE || MEANT_TO_BE_FULL.has(quota.metric)) return 0;
  return (quota.used + quota.reserved) / quota.limit;
}

/** Whether the limit is near or reached, where that is news. */
function stateOf(quota: Quota): "calm" | "near" | "full" {
  const part = partOf(quota);
  return part >= 1 ? "full" : part >= NEAR ? "near" : "calm";
}

function details(quota: Quota, dayInWords: (text: string) => string): string {
  const parts: string[] = [];
  const word = stateOf(quota);
  if (word === "full") parts.push(t("quota.full"));
  if (word === "near") parts.push(t("quota.near"));
  if (quota.reserved) parts.push(t("quota.reserved", { reserved: quantity(quota.reserved) }));
  if (quota.overage) parts.push(t("quota.overage", { overage: quantity(quota.overage) }));
  if (quota.period_end && quota.limit !== 0) parts.push(t("quota.resets", { day: dayInWords(quota.period_end) }));
  return parts.join(" · ");
}

function barOf(quota: Quota): SVGElement | null {
  if (!quota.limit || quota.metric === PER_FILE || MEANT_TO_BE_FULL.has(quota.metric)) return null;
  return bar(quota.used / quota.limit, quota.reserved / quota.limit, null, stateOf(quota));
}

/** What the rail shows: the answers, until another limit is near and nearer than theirs. */
function nearest(): Quota | undefined {
  const usual = latest.find((one) => one.metric === IN_RAIL);
  const near = latest.filter((one) => stateOf(one) !== "calm");
  return near.reduce((most, one) => (most === undefined || partOf(one) > partOf(most) ? one : most), usual);
}

function showMeter(): void {
  const meter = document.querySelector<HTMLElement>("[data-meter]");
  const quota = nearest();
  if (!meter || !quota) return;
  const line = h("span", { class: "meter-line" }, h("b", {}, labelOf(quota)), h("span", {}, amounts(quota)));
  meter.replaceChildren(line, barOf(quota) ?? "", h("span", { class: "meter-line quiet" }, details(quota, date)));
  meter.removeAttribute("aria-label");
}

/** Ask again how much is used. A rail that can't be told stays as it was. */
export async function refreshQuotas(): Promise<void> {
  if (!may("billing:view")) return;
  try {
    latest = await api<Quota[]>("/billing/quotas");
    showMeter();
  } catch {
    document.querySelector("[data-meter] .skeleton")?.remove();
  }
}

/** Open the panel with every metric. */
export async function showUsage(from: HTMLElement): Promise<void> {
  openPanel(t("quota.title"), from, h("span", { class: "skeleton", "data-lines": 5 }));
  try {
    const [quotas, subscription] = await Promise.all([
      api<Quota[]>("/billing/quotas"),
      api<Schemas["SubscriptionBody"]>("/billing/subscription"),
    ]);
    latest = quotas;
    showMeter();
    openPanel(
      t("quota.title"),
      from,
      h("p", { class: "quiet" }, t("quota.plan", { plan: subscription.plan_name })),
      h("ul", { class: "quotas" }, ...quotas.map(row)),
    );
  } catch (error) {
    const words = inWords(error);
    openPanel(t("quota.title"), from, notice("bad", h("b", {}, words.title), ". ", words.text));
  }
}

function row(quota: Quota): HTMLElement {
  const line = h("div", { class: "meter-line" }, h("b", {}, labelOf(quota)), h("span", {}, amounts(quota)));
  const more = details(quota, day);
  return h("li", { class: "quota" }, line, barOf(quota), more ? h("p", { class: "help" }, more) : null);
}
