"""What a page does when things go otherwise: by keyboard alone, stopped, cut off, signed out, twice at once."""

import re

from playwright.sync_api import Browser, expect

from tests.browser.house import House, Visit, visiting

_NAME_OF_FOCUS = """() => {
  const element = document.activeElement;
  return element.getAttribute("aria-label") || element.labels?.[0]?.innerText || element.innerText || "";
}"""
_OUTLINE_OF_FOCUS = """() => {
  const style = getComputedStyle(document.activeElement.closest(".composer") || document.activeElement);
  return style.outlineStyle + style.outlineWidth;
}"""
LONG = "How do I create an agent?"
_SOURCE = """async ([method, path, body]) => {
  const call = async (method, path, body) => {
    const token = decodeURIComponent(document.cookie.match(/luneo_csrf=([^;]+)/)[1]);
    const headers = { "X-CSRF-Token": token, "Content-Type": "application/json" };
    const answer = await fetch(`/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
    return answer.status === 204 ? null : await answer.json();
  };
  const [base] = (await call("GET", "/knowledge-bases")).items;
  const sources = `/knowledge-bases/${base.id}/sources`;
  let source = await call(method, sources + path, body);
  while (source && source.status !== "ready") {
    await new Promise((resolve) => setTimeout(resolve, 200));
    source = await call("GET", `${sources}/${source.id}`);
  }
  return source && source.id;
}"""


def ask(visit: Visit, question: str) -> None:
    visit.page.get_by_label("Your question").fill(question)
    visit.page.keyboard.press("Enter")


def test_by_keyboard_alone(chromium: Browser, demo: House) -> None:
    with visiting(chromium, demo, "keyboard") as visit:
        page = visit.page

        def tab_to(name: str) -> None:
            for _ in range(40):
                page.keyboard.press("Tab")
                seen = page.evaluate(_NAME_OF_FOCUS)
                if name in seen:
                    outline = page.evaluate(_OUTLINE_OF_FOCUS)
                    assert outline == "solid2px", f"{name} shows no focus: {outline}"
                    return
            raise AssertionError(f"{name} is not reached with Tab")

        visit.go("/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
        page.keyboard.press("Enter")
        tab_to("Create an account")
        tab_to("Sign in")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        tab_to("E-mail")
        page.keyboard.type(demo.email)
        page.keyboard.press("Tab")
        page.keyboard.type(demo.password)
        page.keyboard.press("Enter")
        expect(page.get_by_label("Your question")).to_be_focused()
        page.keyboard.type("What does")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("Luneo do?")
        expect(page.get_by_label("Your question")).to_have_value("What does\nLuneo do?")
        page.keyboard.press("Enter")
        answer = page.locator('[data-role="assistant"]').last
        answer.locator(".citation").first.wait_for()
        page.get_by_role("main").press("Tab")
        tab_to("Open citation")
        page.keyboard.press("Enter")
        expect(page.locator("#panel-title")).to_be_focused()
        tab_to("Close the panel")
        page.keyboard.press("Enter")
        expect(answer.locator(".citation").first).to_be_focused()
        tab_to("How it was answered")
        page.keyboard.press("Enter")
        expect(answer.locator(".steps-body dl")).to_be_visible()


def test_stop_answer_anew_and_edit(chromium: Browser, demo: House) -> None:
    with visiting(chromium, demo, "stop") as visit:
        page = visit.page
        visit.sign_in(demo.email, demo.password)
        ask(visit, LONG)
        answers = page.locator('[data-role="assistant"]')
        expect(answers.last.locator(".answer")).not_to_be_empty()
        page.get_by_role("button", name="Stop the answer").click()
        expect(answers.last).to_contain_text("This answer stopped before its end")
        visit.inspect("stopped")
        answers.last.get_by_role("button", name="Answer anew").click()
        expect(answers.last).not_to_contain_text("stopped before its end")
        answers.last.locator(".citation").first.wait_for()
        expect(answers).to_have_count(1)
        page.get_by_role("button", name="Edit").click()
        visit.inspect("edit")
        page.locator(".edit textarea").fill("What can each role do?")
        page.get_by_role("button", name="Ask again").click()
        expect(page.locator(".bubble")).to_have_text("What can each role do?")
        answers.last.locator(".citation").first.wait_for()
        expect(answers).to_have_count(1)
        page.reload()
        expect(page.locator(".bubble")).to_have_text("What can each role do?")
        expect(answers).to_have_count(1)


def test_a_cut_connection_is_picked_up_and_nothing_is_lost(chromium: Browser, demo: House) -> None:
    with visiting(chromium, demo, "cut") as visit:
        page = visit.page
        visit.sign_in(demo.email, demo.password)
        visit.offline = True
        ask(visit, LONG)
        answer = page.locator('[data-role="assistant"]').last
        expect(answer.locator(".answer")).not_to_be_empty()
        page.reload()
        whole = page.locator('[data-role="assistant"]').last
        whole.locator(".citation").first.wait_for()
        expect(page.locator(".bubble")).to_have_count(1)
        visit.context.set_offline(True)
        ask(visit, "Who may publish an agent?")
        expect(page.locator("#composer-notice")).to_contain_text("The connection broke")
        visit.context.set_offline(False)
        expect(page.locator(".bubble")).to_have_count(2)
        page.locator('[data-role="assistant"]').nth(1).locator(".citation").first.wait_for()
        expect(page.locator("#composer-notice")).to_be_empty()
        page.reload()
        expect(page.locator(".bubble")).to_have_count(2)


def test_a_session_that_ran_out_is_renewed_and_one_that_ended_leads_to_the_door(chromium: Browser, demo: House) -> None:
    with visiting(chromium, demo, "session") as visit:
        page = visit.page
        visit.sign_in(demo.email, demo.password)
        visit.refusals |= {401}
        visit.context.clear_cookies(name="luneo_session")
        visit.go("/knowledge")
        page.locator("tr[data-source]").first.wait_for()
        assert page.url == demo.base_url + "/knowledge"
        visit.context.clear_cookies(name="luneo_session")
        page.locator(".rail-sections [data-usage]").click()
        page.locator(".quotas").wait_for()
        page.keyboard.press("Escape")
        page.locator(".account").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("link", name="Create an account")).to_be_visible()
        visit.go("/knowledge")
        expect(page).to_have_url(re.compile(r"/sign-in\?next=/knowledge$"))
        page.fill("#email", demo.email)
        page.fill("#password", demo.password)
        page.get_by_role("main").get_by_role("button").click()
        expect(page).to_have_url(demo.base_url + "/knowledge")


def test_two_tabs_of_one_conversation(chromium: Browser, demo: House) -> None:
    with visiting(chromium, demo, "tabs") as visit:
        page = visit.page
        visit.sign_in(demo.email, demo.password)
        ask(visit, "What does Luneo do?")
        page.locator('[data-role="assistant"] .citation').first.wait_for()
        other = visit.context.new_page()
        other.goto(page.url)
        other.locator('[data-role="assistant"] .citation').first.wait_for()
        visit.refusals.add(409)
        ask(visit, LONG)
        expect(page.locator('[data-role="assistant"] .answer').nth(1)).not_to_be_empty()
        other.get_by_label("Your question").fill("And me?")
        other.keyboard.press("Enter")
        expect(other.locator("#composer-notice")).to_contain_text("The agent is still answering")
        expect(other.get_by_label("Your question")).to_have_value("And me?")
        other.close()


def test_a_quote_whose_document_says_something_else_by_now_is_shown_as_it_was(chromium: Browser, demo: House) -> None:
    with visiting(chromium, demo, "replaced") as visit:
        page = visit.page
        visit.sign_in(demo.email, demo.password)
        said = {"type": "text", "name": "Lamps", "content": "The Zephyr lamp is guaranteed for seven years."}
        source = page.evaluate(_SOURCE, ["POST", "", said])
        try:
            ask(visit, "For how long is the Zephyr lamp guaranteed?")
            mark = page.locator('[data-role="assistant"] .citation').first
            mark.click()
            expect(page.locator("#panel-body mark")).to_have_text(said["content"])
            expect(page.locator("#panel-body")).not_to_contain_text("something else by now")
            page.keyboard.press("Escape")
            page.evaluate(_SOURCE, ["PUT", f"/{source}/content", {"content": "Nothing about any lamp stands here since this morning."}])
            mark.click()
            expect(page.locator("#panel-body")).to_contain_text("This document says something else by now")
            expect(page.locator("#panel-body mark")).to_have_text(said["content"])
        finally:
            page.evaluate(_SOURCE, ["DELETE", f"/{source}", None])


def test_a_turn_whose_process_is_killed_says_what_was_kept_and_can_be_tried_again(chromium: Browser, demo: House) -> None:
    with visiting(chromium, demo, "killed") as visit:
        page = visit.page
        visit.sign_in(demo.email, demo.password)
        visit.offline = True
        visit.refusals |= {503}
        ask(visit, LONG)
        answers = page.locator('[data-role="assistant"]')
        expect(answers.last.locator(".answer")).not_to_be_empty()
        demo.kill_api()
        expect(page.locator("#composer-notice")).to_contain_text("The connection broke")
        expect(answers.last).to_contain_text("The answer was interrupted", timeout=60_000)
        expect(answers.last).to_contain_text("Your question is kept, and nothing was charged")
        visit.inspect("told")
        page.get_by_role("button", name="Try again").click()
        answers.last.locator(".citation").first.wait_for()
        expect(answers).to_have_count(1)
        expect(page.locator(".bubble")).to_have_count(1)
