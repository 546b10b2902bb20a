"""Keys on tracks, stretches that are made anew, the list of sessions, and what is said of a character's face."""

import base64
import json

import pytest

from tests.studio.conftest import until
from tests.studio.test_files import a_vrm, drop

SET = "Set at the play head: "
CHOSEN = "studio.tracks.chosen"


@pytest.fixture
def keyed(page, tell):
    """Four seconds of a walk, and the keys open."""
    tell("a person walks")
    tell("a person waves")
    page.evaluate("studio.studio.player.pause()")
    press(page, "k")
    assert page.locator(".keybar").is_visible()
    return page


def press(page, key):
    """A shortcut, with the focus nowhere."""
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(key)


def place_at(page, kind, second, **numbers):
    """Set a key, and write its numbers."""
    page.evaluate(f"studio.studio.player.seek({second})")
    page.get_by_label(SET + kind).click()
    for side, value in numbers.items():
        page.get_by_label(f"{kind}: {side}, m").fill(str(value))
        page.keyboard.press("Tab")


def make(page, words=""):
    version = page.evaluate("studio.studio.session?.version ?? -1")
    page.fill("#words", words)
    page.press("#words", "Enter")
    until(page, f"!studio.studio.busy && (studio.studio.session?.version ?? -1) !== {version}")


def last(page):
    return page.evaluate("studio.studio.lines.at(-1).text")


def test_a_hand_is_held_where_its_key_is(keyed):
    place_at(keyed, "Left hand", 0.8)
    x, y, _ = keyed.evaluate(f"{CHOSEN}.place")
    place_at(keyed, "Left hand", 0.8, x=round(x - 0.2, 2), y=round(y + 0.15, 2))
    assert keyed.evaluate("document.querySelector('#words').placeholder").startswith("Make leads it")
    make(keyed)
    assert last(keyed).startswith("1 key is held, in segment 1.") and "Note" not in last(keyed)
    keyed.evaluate("studio.studio.player.pause(); studio.studio.player.seek(0.8)")
    until(keyed, f"Math.hypot(studio.joints.l_wrist[0] - {x - 0.2}, studio.joints.l_wrist[1] - {y + 0.15}) < 0.02")
    assert "keys-" in keyed.evaluate("studio.studio.lines.at(-1).acts[0]")
    keyed.click("#undo")
    until(keyed, f"!studio.studio.busy && Math.abs(studio.joints.l_wrist[1] - {y}) < 0.02")
    keyed.keyboard.press("k")
    assert keyed.locator(".keybar").is_hidden() and keyed.locator(".key").count() == 0


def test_what_is_not_kept_is_said(keyed):
    place_at(keyed, "Right hand", 3, y=3.5)
    make(keyed)
    assert "right hand at 3 s" in last(keyed) and "out of reach" in last(keyed)
    assert "out of reach" in keyed.evaluate("studio.studio.session.segments[1].note")


def test_a_key_is_led_in_time_and_in_space(keyed):
    place_at(keyed, "Left hand", 1)
    before = keyed.evaluate(f"{CHOSEN}.place")
    x, y, arrow = keyed.evaluate(
        """(() => { const at = studio.studio.stage.onPage(...studio.tracks.chosen.place);
          const box = document.querySelector('#stage').getBoundingClientRect();
          return [at.x + box.left, at.y + box.top, 0.09 * box.height]; })()"""
    )
    keyed.mouse.move(x, y - arrow)  # upwards
    keyed.mouse.down()
    keyed.mouse.move(x, y - arrow - 30, steps=6)
    keyed.mouse.up()
    after = keyed.evaluate(f"{CHOSEN}.place")
    assert after[1] > before[1] + 0.05 and abs(after[0] - before[0]) < 1e-6
    key = keyed.locator(".key")
    box = key.bounding_box()
    keyed.mouse.move(box["x"] + 12, box["y"] + 12)
    keyed.mouse.down()
    keyed.mouse.move(box["x"] + 132, box["y"] + 12, steps=6)
    keyed.mouse.up()
    moved = keyed.evaluate(f"{CHOSEN}.second")
    assert moved > 1.3
    keyed.keyboard.press("ArrowLeft")
    assert keyed.evaluate(f"{CHOSEN}.second") == pytest.approx(moved - 0.05)
    keyed.keyboard.press("Delete")
    assert keyed.locator(".key").count() == 0 and keyed.evaluate(CHOSEN) is None


def test_a_pose_is_worn_while_it_is_keyed(keyed):
    place_at(keyed, "Pose", 2)
    keyed.get_by_label("Joint").select_option("l_shoulder")
    before = keyed.evaluate("studio.joints.l_wrist")
    keyed.get_by_label("Pose: z, °").fill("80")
    keyed.keyboard.press("Tab")
    until(keyed, f"studio.joints.l_wrist[1] > {before[1] + 0.3}")
    raised = keyed.evaluate("studio.joints.l_wrist")
    make(keyed)
    keyed.evaluate("studio.studio.player.pause(); studio.studio.player.seek(2)")
    until(keyed, f"Math.abs(studio.joints.l_wrist[1] - {raised[1]}) < 0.05")


def test_keys_lead_what_is_made_first(page):
    press(page, "k")
    assert page.evaluate("studio.stretch.range") == [0, 4]
    place_at(page, "Way", 3, x=0.5, z=1)
    make(page, "a person walks")
    assert [s["caption"] for s in page.evaluate("studio.studio.session.segments")] == ["a person walks"]
    page.evaluate("studio.studio.player.pause(); studio.studio.player.seek(3)")
    until(page, "Math.hypot(studio.joints.pelvis[0] - 0.5, studio.joints.pelvis[2] - 1) < 0.05")
    id = page.evaluate("studio.studio.session.id")
    page.reload()
    until(page, "!!window.studio && studio.studio.state === 'ready'")
    press(page, "k")
    assert page.locator(".key").count() == 1 and page.evaluate("studio.studio.session.id") == id


def test_a_stretch_is_painted_over(page, tell):
    tell("a person walks")
    tell("a person waves")
    page.evaluate("studio.studio.player.pause()")
    one, two = (page.locator(".segment").nth(i).bounding_box() for i in range(2))
    page.mouse.move(one["x"] + one["width"] / 2, one["y"] + 15)
    page.mouse.down()
    page.mouse.move(two["x"] + two["width"] / 2, one["y"] + 15, steps=8)
    page.mouse.up()
    a, b = page.evaluate("studio.stretch.range")
    assert a == pytest.approx(1, abs=0.1) and b == pytest.approx(3, abs=0.1)
    make(page, "a person leans; then | rests")
    captions = [s["caption"] for s in page.evaluate("studio.studio.session.segments")]
    assert captions == ["a person walks", "a person leans, then , rests", "a person waves"]
    assert page.evaluate("studio.stretch.range") is None and page.evaluate("studio.studio.session.seconds") == 4
    page.click("#undo")
    until(page, "!studio.studio.busy && studio.studio.session.segments.length === 2")


def test_a_stretch_by_keys_of_the_keyboard_and_without_words(page, tell):
    tell("a person walks")
    tell("a person waves")
    page.evaluate("studio.studio.player.pause(); studio.studio.select(2)")
    press(page, "r")
    assert page.evaluate("studio.stretch.range") == [2, 4]
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+ArrowLeft")
    assert page.evaluate("studio.stretch.range") == [2.5, 3.5]
    make(page)
    assert "in between" in last(page) and page.evaluate("studio.studio.session.segments.length") == 4
    press(page, "r")
    page.keyboard.press("Escape")
    assert page.evaluate("studio.stretch.range") is None
    page.evaluate("studio.stretch.set([0, 1])")
    page.press("#words", "Enter")
    assert "needs words" in page.locator("#toast").inner_text()


def test_sessions_are_listed_opened_and_named(page, tell):
    tell("a person walks")
    first = page.evaluate("studio.studio.session.id")
    page.get_by_label("Sessions (S)").click()
    with page.expect_navigation():
        page.get_by_role("button", name="New session").click()
    until(page, "!!window.studio && studio.studio.state === 'ready'")
    assert page.evaluate("studio.studio.session") is None
    tell("a person waves")
    page.get_by_label("Sessions (S)").click()
    rows = page.locator(".session")
    assert [t.splitlines()[0] for t in rows.all_inner_texts()] == ["a person waves", "a person walks"]
    assert "2.0 s" in rows.nth(1).inner_text() and "ago" in rows.nth(1).inner_text()
    page.get_by_label("Rename: a person walks").click()
    page.locator("dialog input").fill("My walk")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.session b')[1].textContent === 'My walk'")
    with page.expect_navigation():
        rows.nth(1).click()
    until(page, f"!!window.studio && studio.studio.session?.id === '{first}'")
    page.get_by_label("Sessions (S)").click()
    page.get_by_label("Take from the list: a person waves").click()
    assert page.locator(".session").count() == 1 and "My walk" in page.locator(".session").inner_text()


def test_a_character_says_which_shapes_its_face_has(page, tell):
    drop(page, "bones.vrm", a_vrm())
    assert last(page) == "bones.vrm waits for a motion. Its face has no shapes, so it stays still."
    glb = page.evaluate(
        """fetch('v1/avatar.glb').then(r => r.arrayBuffer()).then(b => {
          let s = ''; for (const x of new Uint8Array(b)) s += String.fromCharCode(x); return btoa(s); })"""
    )
    tell("a person walks")
    page.evaluate(
        """new MutationObserver(() => [...document.querySelectorAll('dialog button')]
          .find((b) => b.textContent === 'Wear the character')?.click()).observe(document.body, {childList: true})"""
    )
    drop(page, "hero.glb", base64.b64decode(glb))
    assert last(page) == "hero.glb wears the motion. Its face has 52 of the 52 shapes."
    page.evaluate("studio.studio.player.pause(); studio.studio.player.seek(0)")
    start = page.evaluate("studio.joints.pelvis")
    until(page, f"(studio.studio.player.seek(1.5), studio.studio.redraw(), studio.joints.pelvis[2] > {start[2]} + 0.2)")


def test_on_a_phone_in_the_dark_all_is_in_reach(open_page):
    page = open_page(viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True)
    page.fill("#words", "a person walks")
    page.press("#words", "Enter")
    until(page, "!studio.studio.busy && studio.studio.session?.segments.length === 1")
    page.evaluate("studio.studio.player.pause()")
    page.get_by_label("Keys: way, poses, hands and feet (K)").tap()
    page.get_by_label(SET + "Left foot").tap()
    page.get_by_label("Make a stretch anew (R)").tap()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    outside = """[...document.querySelectorAll('#tools button, .stretch .end, .stretch-note .tool, #send')]
      .filter((b) => b.offsetWidth && (b.getBoundingClientRect().right > 392 || b.getBoundingClientRect().left < -2))
      .map((b) => b.ariaLabel)"""
    assert page.evaluate(outside) == []
    assert (
        json.loads(page.evaluate("localStorage.getItem('keys ' + studio.studio.session.id)"))[0]["kind"] == "left_foot"
    )
