"""From nothing to checked answers, in a browser alone."""

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.house import PASSWORD, House, Visit, visiting
from tests.fixtures.files import docx, pdf

FILLER = "The museum keeps clocks, maps and instruments of four centuries, and shows a third of them at a time."
SENTENCE = "The tower may be climbed until half past four in the afternoon."
RETURNS = "Les articles peuvent être retournés pendant trente jours après la livraison."


def signed_up(visit: Visit, email: str) -> None:
    page = visit.page
    visit.go("/")
    visit.inspect("welcome")
    page.get_by_role("link", name="Create an account").click()
    visit.inspect("sign-up")
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill("password")
    visit.refusals.add(422)
    page.get_by_role("button", name="Create account").click()
    expect(page.locator("#password-error")).to_contain_text("Too many people use this password")
    expect(page.get_by_label("E-mail")).to_have_value(email)
    expect(page.get_by_label("Password")).to_be_focused()
    visit.inspect("sign-up-refused")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("heading", name="Check your mailbox")).to_be_visible()
    visit.inspect("check-mailbox")
    page.get_by_role("link", name="Open the mailbox").click()
    page.get_by_role("article").filter(has_text=email).get_by_role("link", name="Follow the link").click()
    visit.inspect("confirm")
    page.get_by_role("button", name="Confirm").click()


def made_agent(visit: Visit) -> None:
    page = visit.page
    expect(page.get_by_role("heading", name="Create your first agent")).to_be_visible()
    visit.inspect("start")
    page.get_by_label("Name", exact=True).fill("Help desk")
    page.get_by_role("button", name="Create and publish agent").click()
    expect(page.get_by_text("Step 2 of 2")).to_be_visible()
    visit.inspect("knowledge-empty")


def uploaded(visit: Visit, folder: Path) -> None:
    page = visit.page
    (folder / "Museum guide.pdf").write_bytes(pdf((("Rooms", FILLER), ("Garden", FILLER), ("Tower", SENTENCE))))
    (folder / "Retours.docx").write_bytes(docx(heading="Retours", text=RETURNS))
    (folder / "Too large.txt").write_bytes(b"a" * 5_000_001)
    (folder / "Picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    visit.refusals |= {402, 422}
    page.locator("#files").set_input_files([folder / n for n in ("Museum guide.pdf", "Retours.docx", "Too large.txt", "Picture.png")])
    large = page.locator(".upload", has_text="Too large.txt")
    expect(large).to_contain_text("at most 5 MB on your plan")
    expect(large).to_contain_text("Nothing was sent")
    expect(page.locator(".upload", has_text="Picture.png")).to_contain_text("This format can’t be read")
    for name in ("Museum guide.pdf", "Retours.docx"):
        expect(page.locator("tr", has_text=name)).to_contain_text("Answerable", timeout=30_000)
    expect(page.get_by_text("Your agent can answer now")).to_be_visible()
    visit.inspect("knowledge-refused")
    page.get_by_role("button", name="Dismiss all").click()
    expect(page.locator("#refusals .upload")).to_have_count(0)
    visit.inspect("knowledge-ready")


def used(visit: Visit) -> int:
    visit.see("[data-meter] .bar")
    found = re.search(r"(\d+) of 1,000", visit.page.locator("[data-meter]").inner_text())
    assert found
    return int(found[1])


def ask(visit: Visit, question: str) -> None:
    visit.page.get_by_label("Your question").fill(question)
    visit.page.keyboard.press("Enter")


def test_sign_up_upload_ask_and_check(chromium: Browser, house: House, tmp_path: Path) -> None:
    with visiting(chromium, house, "hour") as visit:
        page = visit.page
        signed_up(visit, "ada@example.com")
        made_agent(visit)
        uploaded(visit, tmp_path)

        page.get_by_role("link", name="Ask Help desk").click()
        before = used(visit)
        visit.inspect("chat-empty")
        ask(visit, "Until when may the tower be climbed?")
        expect(page.get_by_role("button", name="Stop the answer")).to_be_visible()
        answer = page.locator('[data-role="assistant"]').last
        expect(answer.locator(".citation").first).to_be_visible()
        expect(answer).to_contain_text("half past four")
        expect(page.locator("#live")).to_contain_text("half past four")
        visit.inspect("chat-answer")
        assert re.search(r"/conversations/[0-9a-f-]{36}$", page.url)

        answer.locator(".citation").first.click()
        expect(page.get_by_role("heading", name=re.compile("Museum guide"))).to_be_focused()
        mark = page.locator("#panel-body mark")
        expect(mark).to_contain_text("The tower may be climbed until half past four")
        expect(mark).to_be_in_viewport()
        expect(page.locator("#panel")).to_contain_text("Page 3")
        visit.inspect("chat-citation")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the file").click()
        assert download.value.path().read_bytes() == (tmp_path / "Museum guide.pdf").read_bytes()
        assert download.value.suggested_filename == "Museum guide.pdf"
        page.keyboard.press("Escape")
        expect(page.locator("#panel")).to_be_hidden()
        expect(answer.locator(".citation").first).to_be_focused()

        ask(visit, "Pendant combien de jours peut-on retourner un article ?")
        answer = page.locator('[data-role="assistant"]').last
        expect(answer.locator(".citation").first).to_be_visible()
        expect(answer).to_contain_text("trente jours")
        answer.locator(".citation").first.click()
        expect(page.locator("#panel-body mark")).to_contain_text(RETURNS[:40])
        page.keyboard.press("Escape")
        expect(page.locator("[data-meter]")).to_contain_text(f"{before + 2} of 1,000")

        answer.get_by_text("How it was answered").click()
        expect(answer.locator(".steps-body")).to_contain_text("Cost")
        visit.inspect("chat-steps")
        page.locator(".rail-sections [data-usage]").click()
        expect(page.locator(".quotas")).to_contain_text("starts anew on")
        visit.inspect("usage")

        page.reload()
        expect(page.locator('[data-role="assistant"]')).to_have_count(2)
        expect(page.locator(".conversations a[aria-current=page]").first).to_contain_text("Until when may the tower")


def test_a_limit_is_told_with_its_metric_and_what_to_do(chromium: Browser, house: House) -> None:
    with visiting(chromium, house, "limits") as visit:
        page = visit.page
        signed_up(visit, "grace@example.com")
        made_agent(visit)
        for number in range(10):
            page.get_by_role("button", name="Paste text").click()
            page.get_by_label("Name", exact=True).fill(f"Note {number}")
            page.get_by_label("Text", exact=True).fill(f"Note {number} says that the number of the day is {number}.")
            if number == 0:
                visit.inspect("paste")
            page.get_by_role("button", name="Add text").click()
            expect(page.locator("tr", has_text=f"Note {number}")).to_be_visible()
        visit.refusals.add(402)
        page.get_by_role("button", name="Paste text").click()
        page.get_by_label("Name", exact=True).fill("One more")
        page.get_by_label("Text", exact=True).fill("One too many.")
        page.get_by_role("button", name="Add text").click()
        expect(page.locator("#paste-problem")).to_contain_text("Your plan holds 10 documents")
        expect(page.get_by_label("Text", exact=True)).to_have_value("One too many.")
        visit.inspect("paste-refused")
        page.get_by_role("button", name="Cancel").click()

        page.get_by_role("button", name="Delete Note 3").click()
        delete = page.get_by_role("button", name="Delete source", exact=True)
        expect(delete).to_be_disabled()
        page.get_by_label("Type its name to confirm").fill("Note 3")
        visit.inspect("delete")
        delete.click()
        expect(page.locator("tr", has_text="Note 3")).to_have_count(0)

        house.run(
            "update billing.quota_counters set taken = ceiling where metric = 'messages_ai' and organization_id = "
            "(select organization_id from identity.memberships m join identity.users u on u.id = m.user_id where u.email = %s)",
            ("grace@example.com",),
        )
        visit.go("/")
        ask(visit, "What does note 4 say?")
        notice = page.locator("#composer-notice")
        expect(notice).to_contain_text("Answers: your plan holds 1,000 per period")
        expect(notice).to_contain_text("starts anew on")
        expect(page.locator("[data-meter]")).to_contain_text("limit reached")
        expect(page.get_by_label("Your question")).to_have_value("What does note 4 say?")
        visit.inspect("chat-quota")
