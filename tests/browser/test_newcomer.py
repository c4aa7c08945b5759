"""What a newcomer comes upon: back to the code, an answer's end, a full plan, an address that there is not."""

import re

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.browser.house import PASSWORD, PHONE, WIDE, House, Visit, visiting
from tests.browser.test_first_hour import ask, made_agent, signed_up

_TO_THE_END = "() => { const t = document.getElementById('thread'); return t.scrollHeight - t.scrollTop - t.clientHeight; }"
_TOP = "() => document.getElementById('thread').scrollTop"
QUESTION = "How do I create an agent?"
CONVERSATIONS = """
select count(*) from conversational_ai.conversations c join identity.memberships m on m.organization_id = c.organization_id
  join identity.users u on u.id = m.user_id where u.email = %s
"""
FILL = """
update billing.quota_counters set taken = ceiling where metric = %s and organization_id =
(select organization_id from identity.memberships m join identity.users u on u.id = m.user_id where u.email = %s)
"""


def answered(visit: Visit, number: int) -> None:
    answers = visit.page.locator('[data-role="assistant"]')
    expect(answers).to_have_count(number)
    expect(answers.last.get_by_text("How it was answered")).to_be_visible()


def at_end(page: Page) -> None:
    page.wait_for_function(f"() => ({_TO_THE_END})() < 2")


def test_the_code_can_be_entered_after_going_back_and_loading_anew(chromium: Browser, house: House) -> None:
    with visiting(chromium, house, "mailbox") as visit:
        page = visit.page
        visit.go("/sign-up")
        page.get_by_label("Your name").fill("Mary Shelley")
        page.get_by_label("E-mail").fill("mary@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Create account").click()
        expect(page).to_have_url(house.base_url + "/check-mailbox?email=mary%40example.com")
        page.get_by_role("link", name="Open the mailbox").click()
        mail = page.get_by_role("article").filter(has_text="mary@example.com")
        found = re.search(r"\b(\d{6})\b", mail.inner_text())
        assert found
        page.go_back()
        expect(page.get_by_label("Code")).to_be_visible()
        page.reload()
        visit.refusals.add(422)
        page.get_by_label("Code").fill("nothing")
        page.get_by_role("button", name="Confirm").click()
        expect(page.locator("#code-error")).to_contain_text("wrong or too old")
        page.reload()
        page.get_by_label("Code").fill(found[1])
        page.get_by_role("button", name="Confirm").click()
        expect(page.get_by_role("heading", name="Create your first agent")).to_be_visible()


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["desk", "phone"])
def test_the_end_of_an_answer_is_in_view_and_who_scrolled_up_stays_there(chromium: Browser, demo: House, size: tuple[int, int]) -> None:
    with visiting(chromium, demo, f"end-{size[0]}", size=size) as visit:
        page = visit.page
        visit.go("/sign-in")
        page.fill("#email", demo.email)
        page.fill("#password", demo.password)
        page.get_by_role("main").get_by_role("button").click()
        page.locator("#question").wait_for()
        for number in (1, 2, 3):
            ask(visit, QUESTION)
            answered(visit, number)
            at_end(page)
        how = page.locator('[data-role="assistant"]').last.get_by_text("How it was answered")
        expect(how).to_be_in_viewport(ratio=1)
        how.click()
        expect(page.locator('[data-role="assistant"]').last.locator(".steps-body dl")).to_be_in_viewport(ratio=1)
        ask(visit, QUESTION)
        expect(page.locator('[data-role="assistant"]').last.locator(".answer")).not_to_be_empty()
        page.locator("#thread").hover()
        page.mouse.wheel(0, -400)
        page.wait_for_function(f"() => ({_TO_THE_END})() > 200")
        kept = page.evaluate(_TOP)
        answered(visit, 4)
        assert page.evaluate(_TOP) == kept
        visit.inspect("scrolled-up")
        page.locator('[data-role="assistant"] .citation').last.click()
        expect(page.locator("#panel-body mark")).to_be_in_viewport()
        page.locator("#panel-body").evaluate("panel => panel.scrollTo(0, panel.scrollHeight)")
        assert page.locator("#panel-body").evaluate("panel => panel.scrollTop") > 100
        expect(page.locator("#panel-body .place")).to_be_in_viewport(ratio=1)
        visit.inspect("citation-below")


def test_a_refused_conversation_keeps_what_was_written_and_leaves_no_empty_ones(chromium: Browser, house: House) -> None:
    email = "jane@example.com"
    with visiting(chromium, house, "full") as visit:
        page = visit.page
        signed_up(visit, email)
        made_agent(visit)
        visit.go("/")
        expect(page.locator("#no-knowledge")).to_contain_text("Nothing has been added to this agent’s knowledge yet")
        expect(page.locator("#no-knowledge").get_by_role("link")).to_have_attribute("href", "/knowledge")
        expect(page.locator(".suggestion")).to_have_count(0)
        visit.inspect("nothing-known")
        house.run(FILL, ("conversations", email))
        visit.refusals.add(402)
        visit.go("/")
        expect(page.locator("[data-meter]")).to_contain_text("Conversations")
        expect(page.locator("[data-meter]")).to_contain_text("limit reached")
        for _ in range(3):
            ask(visit, "What does note 4 say?")
            expect(page.locator("#composer-notice")).to_contain_text("Those that exist can go on")
            page.reload()
            expect(page.get_by_label("Your question")).to_have_value("What does note 4 say?")
        assert house.run(CONVERSATIONS, (email,)) == [(1,)]
        visit.go("/knowledge")
        visit.go("/")
        expect(page.get_by_label("Your question")).to_have_value("What does note 4 say?")
        house.run("update billing.quota_counters set taken = 0 where metric = %s", ("conversations",))
        page.keyboard.press("Enter")
        answered(visit, 1)
        expect(page).to_have_url(re.compile(r"/conversations/[0-9a-f-]{36}$"))
        assert house.run(CONVERSATIONS, (email,)) == [(1,)]
        page.reload()
        answered(visit, 1)
        expect(page.get_by_label("Your question")).to_have_value("")
        expect(page.locator("#conversations a")).to_have_count(1)
        visit.go("/")
        expect(page.get_by_label("Your question")).to_have_value("")


def test_more_conversations_than_are_shown_at_first_can_be_reached(chromium: Browser, demo: House) -> None:
    with visiting(chromium, demo, "recent") as visit:
        page = visit.page
        visit.sign_in(demo.email, demo.password)
        agent = page.request.get(f"{demo.base_url}/api/v1/agents").json()["items"][0]["id"]
        csrf = next(cookie["value"] for cookie in visit.context.cookies() if cookie["name"] == "luneo_csrf")
        for number in range(32):
            headers = {"X-CSRF-Token": csrf}
            made = page.request.post(f"{demo.base_url}/api/v1/conversations", data={"agent_id": agent}, headers=headers).json()
            path = f"{demo.base_url}/api/v1/conversations/{made['id']}/messages"
            assert page.request.post(path, data={"content": f"Is number {number} there?"}, headers=headers).ok
        visit.go("/")
        recent = page.locator("#conversations a")
        expect(recent).to_have_count(30)
        expect(recent.first).to_contain_text("Is number 31 there?")
        page.locator("#conversations").get_by_role("button", name="Show more").click()
        expect(recent.nth(30)).to_be_focused()
        expect(page.locator("#conversations")).to_contain_text("Is number 0 there?")
        recent.nth(31).click()
        expect(page.locator(".bubble")).to_have_text("Is number 0 there?")
        ask(visit, "And now?")
        expect(recent.first).to_contain_text("Is number 0 there?")


def test_files_refused_for_one_reason_are_told_about_once(chromium: Browser, house: House) -> None:
    with visiting(chromium, house, "refused") as visit:
        page = visit.page
        signed_up(visit, "emily@example.com")
        made_agent(visit)
        visit.refusals |= {402, 422}
        pictures = [FilePayload(name=f"Picture {n}.png", mimeType="image/png", buffer=b"\x89PNG\r\n\x1a\n" + b"\0" * 99) for n in range(4)]
        large = FilePayload(name="Large.txt", mimeType="text/plain", buffer=b"a" * 5_000_001)
        page.locator("#files").set_input_files([*pictures, large])
        refused = page.locator("#refusals .upload")
        expect(refused).to_have_count(2)
        for n in range(4):
            expect(refused.first).to_contain_text(f"Picture {n}.png")
        visit.inspect("grouped")
        page.get_by_role("button", name=re.compile("^Dismiss: This format")).click()
        expect(refused).to_have_count(1)
        expect(refused).to_contain_text("Large.txt")
        page.locator("#files").set_input_files(pictures[:1])
        expect(refused).to_have_count(2)
        page.get_by_role("button", name="Dismiss all").click()
        expect(refused).to_have_count(0)


def test_an_address_that_there_is_not_has_a_page_with_a_way_home(chromium: Browser, house: House) -> None:
    with visiting(chromium, house, "nowhere") as visit:
        visit.refusals.add(404)
        visit.go("/no/such/page")
        expect(visit.page.get_by_role("heading", name="This page does not exist")).to_be_visible()
        visit.inspect("not-found")
        visit.page.get_by_role("link", name="Go to the first page").click()
        expect(visit.page.get_by_role("link", name="Create an account")).to_be_visible()
