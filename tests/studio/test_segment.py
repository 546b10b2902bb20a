"""The bar of the selected segment: ends that are dragged, cuts at the playhead, loops, speed, energy, variants."""

import pytest

from tests.studio.conftest import until
from tests.studio.test_page import SEGMENTS, captions

DONE = "!studio.studio.busy"


def acts(page):
    """The acts of the last turn."""
    return page.evaluate("studio.studio.session.turns.at(-1).acts")


def drag(page, n, side, pixels, shift=False):
    """Drag an end of segment n sideways."""
    edge = page.locator(".segments li").nth(n - 1).locator(f".edge.{side}").bounding_box()
    x, y = edge["x"] + edge["width"] / 2, edge["y"] + 10
    version = page.evaluate("studio.studio.session.version")
    if shift:
        page.keyboard.down("Shift")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + pixels, y, steps=4)
    page.mouse.up()
    if shift:
        page.keyboard.up("Shift")
    until(page, f"{DONE} && studio.studio.session.version !== {version}")


def lengths(page):
    return page.evaluate(f"({SEGMENTS}).map((s) => Math.round(s.seconds * 20) / 20)")


def test_ends_that_are_dragged_inwards_are_cut_off(page, tell):
    tell("a person strolls")
    tell("a person waves")
    width = page.locator(".segments li").nth(1).bounding_box()["width"]
    drag(page, 2, "start", width / 2)
    assert lengths(page) == pytest.approx([2, 1], abs=0.11) and captions(page) == ["a person strolls", "a person waves"]
    assert acts(page)[0].startswith("delete from2s to") and page.evaluate("studio.studio.selected") == 2
    assert "Cut out 2 to" in page.text_content(".log .reply >> nth=-1")
    page.click("#undo")
    until(page, f"Math.abs(({SEGMENTS})[1].seconds - 2) < 0.01 && {DONE}")
    drag(page, 1, "end", -width / 4)
    assert lengths(page) == pytest.approx([1.5, 2], abs=0.11)
    page.click("#undo")
    until(page, f"Math.abs(({SEGMENTS})[0].seconds - 2) < 0.01 && {DONE}")
    drag(page, 1, "end", -width / 4, shift=True)
    assert lengths(page) == pytest.approx([1.5, 2], abs=0.11) and acts(page)[0].startswith("retime 1")


def test_the_keys_cut_at_the_playhead(page, tell):
    tell("a person strolls")
    page.evaluate("document.activeElement.blur()")
    page.evaluate("studio.studio.player.pause(), studio.studio.player.seek(0.5)")
    page.keyboard.press("[")
    until(page, f"Math.abs(({SEGMENTS})[0].seconds - 1.5) < 0.01 && {DONE}")
    page.evaluate("studio.studio.player.pause(), studio.studio.player.seek(1)")
    page.keyboard.press("]")
    until(page, f"Math.abs(({SEGMENTS})[0].seconds - 1) < 0.01 && {DONE}")
    page.evaluate("studio.studio.player.seek(0)")
    page.keyboard.press("[")
    assert "playhead" in page.text_content("#toast") and lengths(page) == [1]
    page.keyboard.press("Control+z")
    until(page, f"Math.abs(({SEGMENTS})[0].seconds - 1.5) < 0.01 && {DONE}")


@pytest.mark.parametrize("width", [390, 960])
def test_the_bar_changes_the_selected_segment(open_page, width):
    page = open_page(viewport={"width": width, "height": 844}, color_scheme="dark")
    assert page.is_hidden("#inspector")
    page.fill("#words", "a person strolls")
    page.press("#words", "Enter")
    until(page, f"({SEGMENTS}).length === 1 && {DONE}")
    box = page.locator("#inspector").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= 844
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    def choose(name, option, wanted):
        page.get_by_label(name).select_option(label=option)
        until(page, f"{DONE} && {wanted}")

    one = f"({SEGMENTS})[0]"
    choose("Loop: how often", "3×", f"{one}.rounds === 3")
    choose("Loop: how often", "once", f"{one}.rounds === 1")
    choose("Speed: how fast", "2×", f"{one}.tempo === 2")
    choose("Speed: how fast", "1×", f"Math.abs({one}.tempo - 1) < 0.001 && Math.abs({one}.seconds - 2) < 0.01")
    page.get_by_role("button", name="Exchange left and right").click()
    until(page, f"{DONE} && {one}.mirrored")
    page.get_by_role("button", name="In place: without").click()
    until(page, f"{DONE} && {one}.caption === 'a person strolls in place'")
    choose("Energy: with how much", "more energy", f"{one}.caption === 'a person strolls in place energetically'")
    choose("Energy: with how much", "less energy", f"{one}.caption === 'a person strolls in place gently'")
    page.get_by_role("button", name="In place: without").click()
    until(page, f"{DONE} && {one}.caption === 'a person strolls gently'")
    choose("Energy: with how much", "as it is", f"{one}.caption === 'a person strolls'")
    assert page.evaluate(f"{one}.mirrored"), "what is made again keeps its side"
    for _ in range(2):
        page.click("#undo")
        until(page, DONE)
    assert captions(page) == ["a person strolls in place gently"]


def test_four_variants_stand_side_by_side_and_are_one_step_of_undo(page, tell):
    tell("a person strolls")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("v")
    until(page, f"studio.studio.stand.length === 4 && {DONE}")
    assert acts(page) == ["again 1"] * 3
    page.get_by_role("button", name="Keep take C").click()
    until(page, f"studio.studio.stand.length === 0 && {DONE}")
    page.keyboard.press("Control+z")
    until(page, f"studio.studio.stand.length === 4 && {DONE}")
    page.keyboard.press("Control+z")
    until(page, f"studio.studio.stand.length === 0 && {DONE}")
    assert captions(page) == ["a person strolls"] and page.evaluate("studio.studio.session.can_undo")


def test_the_timeline_stays_where_it_is(page, tell):
    """With a segment selected or none, whose words are understood or not."""
    tell("a person walks")
    top = "document.querySelector('#timeline').getBoundingClientRect().top"
    until(page, "document.querySelectorAll('.reading .chip').length > 0")
    before = page.evaluate(top)
    page.evaluate("studio.studio.select(0)")
    until(page, "document.querySelector('#inspector').hidden")
    assert page.evaluate(top) == before
