"""The panel of moves: pages, search, the keyboard, what is put into the prompt and what is made at once."""

import pytest

from tests.studio.conftest import until

ROWS = "[...document.querySelectorAll('#moves .move')]"
WORDS = "document.querySelector('#words').value"


def test_moves_come_by_pages_and_go_into_the_prompt(page):
    page.get_by_role("button", name="Moves that the model knows").click()
    until(page, f"{ROWS}.length === 50")
    assert page.evaluate(f"{ROWS}[1].getAttribute('aria-label')") == "move 001, a person does move 1, yours, 0.1 s"
    page.evaluate("document.querySelector('#moves .found').scrollTo(0, 1e6)")
    until(page, f"{ROWS}.length === 100")
    page.evaluate(f"{ROWS}[7].click()")
    assert page.evaluate(WORDS) == "a person does move 7"
    assert page.evaluate("document.activeElement.id") == "words" and page.is_visible("#moves")


def test_the_keyboard_finds_and_chooses_a_move(page):
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("b")
    until(page, f"{ROWS}.length === 50")
    page.keyboard.type("anything")
    until(page, f"{ROWS}[0].textContent.includes('move 119')")
    assert "nearest" in page.text_content("#moves [role=status]")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate(WORDS) == "a person does move 118"
    page.focus("#moves input")
    page.keyboard.press("Escape")
    assert page.is_hidden("#moves")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "false"


@pytest.mark.parametrize("width", [390, 960])
def test_a_move_is_made_as_by_a_turn(open_page, width):
    page = open_page(viewport={"width": width, "height": 844}, color_scheme="dark")
    page.get_by_role("button", name="Moves that the model knows").click()
    until(page, f"{ROWS}.length === 50")
    box = page.locator("#moves").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["height"] > 150
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="Make it: a person does move 4", exact=True).click()
    until(page, "studio.studio.session?.segments.length === 1 && !studio.studio.busy")
    assert page.evaluate("studio.studio.session.segments[0].caption") == "a person does move 4"
    assert page.is_visible("#moves") == (width == 960), "on a phone it would hide the avatar"
    if width == 960:
        stills = "[...document.querySelectorAll('#moves canvas')].map((c) => c.parentElement.dataset.caption)"
        until(page, f"{stills}.join() === 'a person does move 4'")
        pixels = "document.querySelector('#moves canvas').getContext('2d').getImageData(0, 0, 72, 72).data"
        assert page.evaluate(f"[...{pixels}].filter((v, i) => i % 4 === 3 && v).length") > 100, "it is drawn"
