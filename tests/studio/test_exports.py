"""The export dialog: presets of programs, what is changed of them and remembered, a segment alone, the same again."""

import re

import pytest

from tests.studio.conftest import until


def exported(page, run):
    """The file that an action saves, and the address it was fetched from."""
    asked = []
    page.on("request", lambda r: "/exports" in r.url and asked.append(r.url))
    with page.expect_download() as saved:
        run()
    return saved.value, asked[-1]


def preset(page, name):
    return page.locator(".preset .go", has_text=name)


def test_a_preset_is_one_click_and_is_remembered(page, tell, tmp_path):
    tell("a person strolls")
    page.click("#export")
    names = ["Blender", "Unity", "Unreal", "Godot", "Roblox", "VRChat"]
    assert page.locator(".preset b").all_text_contents() == names
    file, address = exported(page, preset(page, "Blender").click)
    assert file.suggested_filename == "strolls.glb" and address.endswith("exports.glb?fps=24")
    assert page.locator("dialog").count() == 0

    page.click("#export")
    page.get_by_role("button", name="Change what Unity gets").click()
    page.locator("[data-key='who']").select_option("bones")
    page.locator("[data-key='fps']").select_option("60")
    assert page.evaluate("document.activeElement.dataset.key") == "fps"
    page.locator("[data-key='scale']").select_option("100")
    assert "centimetres" in page.text_content(".settings") and "BVH importer" in page.text_content(".settings")
    assert "BVH, 60 fps, skeleton only" in preset(page, "Unity").text_content()
    file, address = exported(page, preset(page, "Unity").click)
    text = (file.save_as(tmp_path / "strolls.bvh"), (tmp_path / "strolls.bvh").read_text())[1]
    assert "JOINT LeftUpperArm" in text or "LeftUpperArm" in text
    assert float(re.search(r"Frame Time:\s*(\S+)", text)[1]) == pytest.approx(1 / 60, abs=1e-4)
    assert max(abs(float(x)) for x in re.findall(r"OFFSET (\S+) \S+ \S+", text)) > 5, "centimetres"

    page.reload()
    until(page, "!!window.studio && studio.studio.state === 'ready' && studio.studio.player.seconds > 0")
    page.evaluate("document.activeElement.blur()")
    _, again = exported(page, lambda: page.keyboard.press("Control+Shift+E"))
    assert again == address
    page.keyboard.press("Control+e")
    assert page.locator(".preset .go[aria-current='true'] b").text_content() == "Unity"
    page.get_by_role("button", name="Change what Unity gets").click()
    page.get_by_role("button", name="As it was").click()
    assert "30 fps, with skin" in preset(page, "Unity").text_content()


@pytest.mark.parametrize("width", [390, 960])
def test_the_dialog_fits_and_takes_a_segment_alone(open_page, width):
    page = open_page(viewport={"width": width, "height": 844}, color_scheme="dark")
    for words in ("a person strolls", "a person waves"):
        page.fill("#words", words)
        page.press("#words", "Enter")
        until(page, f"studio.studio.session?.segments.at(-1)?.caption === '{words}' && !studio.studio.busy")
    page.click("#export")
    box = page.locator("dialog").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= 844
    page.get_by_role("button", name="Change what Roblox gets").click()
    beyond = "((d) => d.scrollWidth - d.clientWidth)(document.querySelector('dialog'))"
    assert page.evaluate(beyond) == 0
    page.get_by_label("Segment 2 alone").check()
    page.locator("[data-key='who']").select_option("bones")
    _, address = exported(page, preset(page, "Roblox").click)
    assert "layout=mixamo&scale=3.571&first=2&last=2" in address
