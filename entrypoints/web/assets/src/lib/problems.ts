// Problems in human words: what happened, what was kept, what to do.

import { Refused, Unreachable } from "./api";
import { day } from "./format";
import { known, quantity, t } from "./texts";

export interface Words {
  title: string;
  text: string;
}

/** What to say of `error`. Codes that the catalogue does not know are told in the API's own words. */
export function inWords(error: unknown): Words {
  if (error instanceof Unreachable) return { title: t("problem.unreachable"), text: t("problem.unreachable.text") };
  if (!(error instanceof Refused)) return { title: t("problem.title"), text: t("problem.text") };
  const problem = error.problem;
  const values = {
    metric: problem.metric ? known(`metric.${problem.metric}`, problem.metric) : "",
    limit: problem.limit === null || problem.limit === undefined ? "" : quantity(problem.limit),
    resets: problem.resets_at ? day(problem.resets_at) : "",
    seconds: problem.retry_after ?? 0,
  };
  const title = known(`problem.${problem.code}`, problem.title, values);
  if (problem.code === "quota_exceeded") return { title, text: quotaText(problem.metric ?? "", values) };
  const fields = problem.errors?.map((field) => known(`error.${field.code}`, field.detail)).join(" ");
  const text = known(`problem.${problem.code}.text`, fields || problem.detail, values);
  return { title, text: problem.retry_after ? `${text} ${t("problem.wait", { seconds: problem.retry_after })}` : text };
}

function quotaText(metric: string, values: Record<string, string | number>): string {
  const own = known(`problem.quota_exceeded.${metric}`, "", values);
  if (own) return own;
  return values["resets"] ? t("problem.quota_exceeded.resets", values) : t("problem.quota_exceeded.text", values);
}
