// A citation opened at its place: the text of its document around the quote, the quote marked and in view.

import { type Schemas, Refused, api } from "./api";
import { h, icon, notice } from "./dom";
import { share } from "./format";
import { openPanel } from "./panel";
import { inWords } from "./problems";
import { t } from "./texts";
import type { Citation } from "./answers";

type Content = Schemas["SourceContentBody"];
type Source = Schemas["KnowledgeSourceBody"];

const AROUND = 1500;
const NOT_FOUND = 404;

/** The source, looked for in the knowledge bases `bases`; null when it was deleted. */
async function sourceIn(bases: readonly string[], sourceId: string): Promise<Source | null> {
  for (const base of bases) {
    try {
      return await api<Source>(`/knowledge-bases/${base}/sources/${sourceId}`);
    } catch (error) {
      if (!(error instanceof Refused) || error.problem.status !== NOT_FOUND) throw error;
    }
  }
  return null;
}

function place(citation: Citation): HTMLElement {
  const { page, heading } = citation.locator;
  return h(
    "p",
    { class: "place" },
    page ? h("span", {}, t("citation.page", { page })) : null,
    heading ? h("span", {}, t("citation.heading", { heading })) : null,
    h("span", {}, t("citation.score", { score: share(citation.score) })),
  );
}

/** Open `citation` in the panel. */
export async function openCitation(citation: Citation, mark: HTMLElement, bases: readonly string[]): Promise<void> {
  const title = t("citation.title", { number: citation.number, title: citation.title });
  const head = place(citation);
  openPanel(title, mark, head, h("span", { class: "skeleton", "data-lines": 5 }));
  const show = (...children: (Node | null)[]): void => {
    document.getElementById("panel-body")?.replaceChildren(head, ...children.filter((child) => child !== null));
  };
  try {
    const source = await sourceIn(bases, citation.source_id);
    if (source === null) {
      show(notice("info", t("citation.deleted")), h("blockquote", { class: "excerpt" }, h("mark", {}, citation.quote)));
      return;
    }
    await new Excerpt(citation, source, show).open();
  } catch (error) {
    const words = inWords(error);
    show(notice("bad", h("b", {}, words.title), ". ", words.text), h("blockquote", { class: "excerpt" }, h("mark", {}, citation.quote)));
  }
}

/** The text with its headings (`## …`) told from the rest; everything stays where it was. */
function withHeadings(text: string): (string | HTMLElement)[] {
  return text.split(/^(#{1,6} .*)$/m).map((part, at) => (at % 2 ? h("b", {}, part.replace(/^#+ /, "")) : part));
}

/** What is shown of the document, which grows at both ends. Offsets count characters (code points), as the API does. */
class Excerpt {
  private from: number;
  private to: number;
  private readonly path: string;

  constructor(
    private readonly citation: Citation,
    source: Source,
    private readonly show: (...children: (Node | null)[]) => void,
  ) {
    this.path = `/knowledge-bases/${source.knowledge_base_id}/sources/${source.id}`;
    this.from = Math.max((citation.locator.start ?? 0) - AROUND, 0);
    this.to = (citation.locator.end ?? 0) + AROUND;
  }

  async open(): Promise<void> {
    await this.draw();
    document.querySelector("#panel-body mark")?.scrollIntoView({ block: "center" });
  }

  private async draw(): Promise<void> {
    const found = await api<Content>(`${this.path}/content?start=${this.from}&end=${this.to}`);
    const letters = Array.from(found.text);
    const start = Math.max((this.citation.locator.start ?? 0) - found.start, 0);
    const end = Math.max((this.citation.locator.end ?? 0) - found.start, start);
    const shown = letters.slice(start, end).join("");
    if (typeof this.citation.locator.start === "number" && shown !== this.citation.quote) {
      // replaced since: what stands at the quote's place now is not what the answer stands on
      this.show(this.download(), notice("info", t("citation.replaced")), h("blockquote", { class: "excerpt" }, h("mark", {}, this.citation.quote)));
      return;
    }
    const text = h(
      "div",
      { class: "excerpt" },
      ...withHeadings(letters.slice(0, start).join("")),
      h("mark", {}, shown),
      ...withHeadings(letters.slice(end).join("")),
    );
    this.show(
      this.download(),
      found.start > 0 ? this.more(t("citation.before"), () => (this.from = Math.max(this.from - 4 * AROUND, 0))) : null,
      text,
      found.end < found.length ? this.more(t("citation.after"), () => (this.to += 4 * AROUND)) : null,
    );
  }

  private more(label: string, grow: () => void): HTMLElement {
    const button = h("button", { type: "button", class: "button" }, label);
    button.addEventListener("click", () => {
      button.disabled = true;
      grow();
      void this.draw().catch(() => (button.disabled = false));
    });
    return h("p", {}, button);
  }

  /** Save what the source is made of, over a link that is made when it is asked for: it ends within minutes. */
  private download(): HTMLElement {
    const button = h("button", { type: "button", class: "button" }, icon("download"), t("citation.download"));
    const told = h("p", {}, button);
    button.addEventListener("click", () => {
      button.disabled = true;
      api<Schemas["ContentLinkBody"]>(`${this.path}/content-links`, { method: "POST" })
        .then((link) => location.assign(link.url))
        .catch((error: unknown) => {
          const words = inWords(error);
          told.after(notice("bad", h("b", {}, words.title), ". ", words.text));
        })
        .finally(() => (button.disabled = false));
    });
    return told;
  }
}
