"""Every page, in both themes, both languages, on a desk and on a phone: nothing for axe-core to say, nothing wider than the screen."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.house import PHONE, WIDE, House, visiting

_COUNT_MOVES = """
window.moved = 0;
const count = (list) => list.getEntries().forEach((entry) => { if (!entry.hadRecentInput) window.moved += entry.value });
new PerformanceObserver(count).observe({type: 'layout-shift', buffered: true});
"""
LOOKS = [
    pytest.param("en-GB", "dark", WIDE, id="en-dark-desk"),
    pytest.param("fr-FR", "light", PHONE, id="fr-light-phone"),
    pytest.param("fr-FR", "dark", PHONE, id="fr-dark-phone"),
]


@pytest.mark.parametrize(("language", "theme", "size"), LOOKS)
def test_every_page_in_every_look(chromium: Browser, demo: House, language: str, theme: str, size: tuple[int, int]) -> None:
    name = f"look-{language[:2]}-{theme}-{size[0]}"
    with visiting(chromium, demo, name, language=language, theme=theme, size=size) as visit:
        page = visit.page
        french = language.startswith("fr")
        for path in ("/", "/sign-up", "/design", "/dev/mail"):
            visit.go(path)
            assert page.locator("html").get_attribute("lang") == language[:2]
            visit.inspect("door" + path.replace("/", "-"))
        page.get_by_role("button", name="Français" if french else "English").click()
        visit.refusals |= {401, 404}
        visit.go("/sign-in")
        page.fill("#email", "nobody@example.com")
        page.fill("#password", "wrong")
        page.get_by_role("main").get_by_role("button").click()
        expect(page.get_by_role("alert")).to_contain_text("erroné" if french else "wrong")
        visit.inspect("sign-in-refused")
        visit.go("/verify-email?token=lsu_unknown")
        visit.inspect("confirm")

        page.goto(demo.base_url + "/sign-in")
        page.fill("#email", demo.email)
        page.fill("#password", demo.password)
        page.get_by_role("main").get_by_role("button").click()
        page.locator("#question").wait_for()
        visit.inspect("chat-empty")
        page.locator("#question").fill("Que fait Luneo ?" if french else "What does Luneo do?")
        page.keyboard.press("Enter")
        answer = page.locator('[data-role="assistant"]').last
        answer.locator(".citation").first.wait_for()
        answer.locator(".steps summary").click()
        answer.locator(".steps-body dl").wait_for()
        visit.inspect("chat-answer")
        answer.locator(".citation").first.click()
        expect(page.locator("#panel-body mark")).to_be_in_viewport()
        visit.inspect("citation")
        page.keyboard.press("Escape")
        if size == PHONE:
            page.locator("button[popovertarget=recent-sheet]").click()
            page.locator("#conversations-sheet a").first.wait_for()
            visit.inspect("recent")
            page.keyboard.press("Escape")
        page.locator(".account").click()
        visit.inspect("account")
        page.keyboard.press("Escape")
        page.locator(".rail-sections [data-usage]").click()
        page.locator(".quotas").wait_for()
        visit.inspect("usage")
        visit.go("/knowledge")
        page.locator("tr[data-source]").first.wait_for()
        visit.inspect("knowledge")
        visit.go("/conversations/01990000-0000-7000-8000-000000000000")
        visit.inspect("not-found")


def test_language_and_theme_are_chosen_in_the_page_and_kept(chromium: Browser, demo: House) -> None:
    with visiting(chromium, demo, "choices", language="fr-FR") as visit:
        page = visit.page
        visit.go("/sign-in")
        page.get_by_role("button", name="English").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        page.get_by_role("button", name="Dark").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        assert page.url == demo.base_url + "/sign-in"
        ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        page.get_by_role("button", name="Light").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "light")
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != ground
        visit.go("/sign-up")
        expect(page.get_by_role("heading", name="Create your account")).to_be_visible()


def test_nothing_moves_while_a_page_loads(chromium: Browser, demo: House) -> None:
    with visiting(chromium, demo, "still") as visit:
        visit.sign_in(demo.email, demo.password)
        visit.page.add_init_script(_COUNT_MOVES)
        for path, last in (("/", "[data-meter] .bar"), ("/knowledge", "tr[data-source]")):
            visit.go(path)
            visit.see(last)
            visit.see("[data-meter] .bar")
            assert visit.page.evaluate("window.moved") < 0.1, path
