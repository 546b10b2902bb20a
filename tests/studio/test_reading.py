"""What was understood of a segment's words: chips, other choices, plain words for what is not known."""

import pytest

from tests.studio.conftest import until
from tests.studio.test_page import SEGMENTS, captions
from tests.studio.test_segment import DONE, acts

CHIPS = "[...document.querySelectorAll('.reading .chip:not(.plus)')].map((c) => c.textContent).join()"


def choose(page, chip, item):
    """Choose an item of a chip's menu, and wait until the segment is made again."""
    version = page.evaluate("studio.studio.session.version")
    page.locator(f"[data-chip='{chip}']").click()
    page.get_by_role("menuitem", name=item, exact=True).click()
    until(page, f"{DONE} && studio.studio.session.version !== {version}")


@pytest.mark.parametrize("width", [390, 960])
def test_chips_show_what_was_read_and_change_it(open_page, width):
    page = open_page(viewport={"width": width, "height": 844}, color_scheme="dark")
    page.fill("#words", "a person strolls and waves with the left hand 3 times")
    page.press("#words", "Enter")
    until(page, f"({CHIPS}) === 'strolls,waves,left,3×,2.0 s'")
    box = page.locator(".reading").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= 844
    assert page.evaluate("document.documentElement.scrollWidth") <= width and page.is_hidden(".told")
    choose(page, "times 1", "5 times")
    assert captions(page) == ["a person strolls and waves with the left hand 5 times"]
    assert acts(page)[0].startswith("edit 1: 5 times; ")
    until(page, f"({CHIPS}) === 'strolls,waves,left,5×,2.0 s'")
    choose(page, "side 1", "Right")
    choose(page, "times 1", "No count")
    assert captions(page) == ["a person strolls and waves with the right hand"]
    choose(page, "length", "3 seconds")
    assert acts(page) == ["retime 1 3s"]
    until(page, f"({CHIPS}) === 'strolls,waves,right,3.0 s'")
    for _ in range(4):
        page.click("#undo")
        until(page, DONE)
    until(page, f"({CHIPS}) === 'strolls,waves,left,3×,2.0 s'")


def test_another_action_is_found_by_the_keyboard(page, tell):
    tell("a person strolls and waves 3 times")
    until(page, f"({CHIPS}) === 'strolls,waves,3×,2.0 s'")
    page.focus("[data-chip='action 1']")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.finder .rows button').length === 12")
    assert page.evaluate("document.activeElement.placeholder") == "like “waves 3 times”"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    until(page, f"({SEGMENTS})[0].caption === 'a person strolls and does move 118 3 times' && {DONE}")
    until(page, f"({CHIPS}).startsWith('strolls,move 118,3×')")
    assert page.evaluate("document.activeElement.dataset.chip") == "action 1"
    page.keyboard.press("Enter")
    until(page, "!!document.querySelector('.finder')")
    page.keyboard.press("Escape")
    assert page.locator(".finder").count() == 0
    assert page.evaluate("document.activeElement.dataset.chip") == "action 1"


def test_what_is_missing_is_added_and_what_is_not_understood_is_said(page, tell):
    tell("a person strolls loudly and juggles a flurb")
    until(page, f"({CHIPS}).startsWith('strolls,juggles a flurb?')")
    told = page.text_content(".told")
    assert "“juggles a flurb” is not known." in told and "Not understood: “loudly”." in told
    page.locator("[data-chip='more 0']").click()
    page.get_by_role("menuitem", name="Manner…").click()
    page.get_by_role("menuitem", name="Proudly").click()
    until(page, f"({SEGMENTS})[0].caption === 'a person strolls loudly proudly and juggles a flurb' && {DONE}")
    version = page.evaluate("studio.studio.session.version")
    page.locator("[data-chip='manner 0']").click()
    page.get_by_role("menuitem", name="Slowly").click()  # which the stand-in does not read
    until(page, "!document.querySelector('#toast').hidden")
    assert "No words for “slowly”" in page.text_content("#toast")
    assert page.evaluate("studio.studio.session.version") == version
    page.locator("[data-chip='manner 0']").click()
    page.get_by_role("menuitem", name="Not “proudly”").click()
    until(page, f"({SEGMENTS})[0].caption === 'a person strolls loudly and juggles a flurb' && {DONE}")
