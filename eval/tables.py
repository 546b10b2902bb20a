"""Render results, equal ones alike: docs/results.md, its pictures, the README's table, or a page beside one's own."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import plots
from matrices import degradations, interval, predicates
from reports import CEILINGS, LABELS, Report, load, number

from avatargpt.evaluation import suites
from avatargpt.evaluation.body import describe
from avatargpt.evaluation.report import better
from vqvae.errors import UserError
from vqvae.motion import atomic_write

_BODY = " --data CORPUS"
_OF_BODY = """tokenizer describe inbetween continuation predicates synthetic_physics plans plan_cycle seams
degradations retrieval retrieval_judge"""
ARGUMENTS = {
    **dict.fromkeys(_OF_BODY.split(), _BODY), "chat": " --data CHAT", "gesture": " --data DATA/gesture",
    "gesture_made": " --data runs/gestures/talks", "plan_coverage": f"{_BODY} --full",
    "discriminator": f"{_BODY} --store STORE", "face_instructions": " --data FACE_TEXT --store SPEECH",
    "face_language": " --data FACE_TEXT", "speech_face": " --data FACES --store SPEECH",
    "word_times": " --data FACES --store WHISPER", "humanml3d": " --data HUMANML3D --evaluator EVALUATOR",
}  # fmt: skip
"""What suites are run with beside their name; `eval/README.md` says what these folders are."""
OPEN, CLOSE = "<!-- results -->", "<!-- /results -->"
CHART, DRAWN, PAGE = "tokenizer_length.png", "tokenizer.png", "results.md"  # DRAWN lies beside the results
PLOTS, OWN_PLOTS = "images/results", "plots"  # folders of plots, seen from the published page and from one's own
README_FIGURES = """tokenizer mpjpe_heading, prompts_known pass_rate, prompts_everyday pass_rate,
prompts_unseen pass_rate, describe action, describe_synthetic family, inbetween kinematic_fid,
continuation kinematic_fid, face_instructions events/own, face_instructions events/corpus,
retrieval top3, speech_face closure/librivox, plans rouge_l/plan,
seams peak_jerk_ratio""".replace("\n", " ").split(", ")
"""Suite and figure of every row in the README's table; docs/results.md has them all."""
OWN_FORM = {"predicates": predicates, "families": predicates, "degradations": degradations}
"""Suites whose results are rendered in a form of their own."""


def _target(report: Report, name: str) -> tuple[str, str]:
    """What was aimed at, and whether the model is there ("" when there is nothing to say)."""
    target = report.any.get("targets", {}).get(name)
    if target is None:
        return "", ""
    about = suites.about(report.any["metrics"], name)
    higher = bool(about["higher_is_better"])
    mean = report.own().get(name, {}).get("mean")
    if isinstance(target, str):
        beside = report.own().get(f"{name.split('/')[0]}/{target}", {})  # a rival in the same file
        rival = report.columns().get(target, {}).get(name, beside).get("mean")
        shown = f"{'above' if higher else 'below'} {target}"
        if mean is None or rival is None:
            return shown, ""
        return shown, "yes" if (mean > rival if higher else mean < rival) else "no"
    shown = f"{'>=' if higher else '<='} {number(float(target), about.get('unit', ''))}"
    if mean is None:
        return shown, ""
    return shown, "yes" if (mean >= target if higher else mean <= target) else "no"


def table(report: Report, figures: list[str] | None = None) -> list[str]:
    """Markdown rows: figure, which way is better, model, interval, n, baselines, target, reached."""
    own, columns = report.own(), report.columns()
    names = figures if figures is not None else list(dict.fromkeys([*own, *(k for c in columns.values() for k in c)]))
    heads = [LABELS.get(c, c) for c in columns]
    lines = [
        "| " + " | ".join(["figure", "better", "model", "95 %", "n", *heads, "target", "reached"]) + " |",
        "|---|" + "---|" * (6 + len(heads)),
    ]
    for name in names:
        about = suites.about(report.any["metrics"], name)
        unit = str(about.get("unit", ""))
        mine = own.get(name, {})
        cells = [
            f"{name}, {unit}" if unit not in ("", "share") else name, better(about),
            number(mine.get("mean"), unit), interval(mine, unit), str(mine.get("n", "")),
            *(number(c.get(name, {}).get("mean"), unit) for c in columns.values()), *_target(report, name),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def commands(report: Report) -> list[str]:
    """The commands that make the files a section is rendered from."""
    lines = []
    if report.model:
        lines.append(f"python eval/run.py {report.name}{ARGUMENTS.get(report.name, '')}")
    return [*lines, *(f"python eval/run.py {report.name} --model {b} --data CORPUS" for b in report.others)]


def section(report: Report, published: bool = True) -> list[str]:
    """One suite: what was measured on what, the table, what belongs to it, and the commands of published results."""
    about = report.any
    lines = [f"## {report.name}", "", f"{about['description']}. Suite version {about['version']}."]
    facts = []
    if about.get("clips"):
        facts.append(f"{about['clips']} clips")
    if about.get("kind") == "prompts":
        facts.append(f"{len(about.get('prompts', []))} prompts")
    facts.append(f"seeds {', '.join(map(str, about['seeds']))}")
    if report.model.get("decoding"):
        facts.append("decoding " + ", ".join(f"{k} {v}" for k, v in report.model["decoding"].items()))
    facts += [f"{k.replace('_', ' ')} `{v[:12]}`" for k, v in report.model.get("model", {}).items()]
    lines += ["", "; ".join(facts) + ".", ""]
    if plots.panels(report):
        lines += [f"![Main figures of {report.name}]({PLOTS if published else OWN_PLOTS}/{report.name}.png)", ""]
    lines += OWN_FORM[report.name](about) if report.name in OWN_FORM else table(report)
    if report.name == "tokenizer" and report.model.get("over_length"):
        lines += ["", f"![Error over clip length]({f'images/{CHART}' if published else DRAWN})"]
    if report.name == "describe" and "sample" in report.model:
        lines += ["", f"{len(report.model['sample'])} random clips as they were described:", ""]
        lines += describe.markdown(report.model).splitlines()
    if "ceiling" in report.others:
        reach = report.others["ceiling"]["results"]
        some, usual = (number(reach[k]["mean"], "share") for k in ("attainable", "chance"))
        lines += ["", f"Of the one-action prompts {some} are met by at least one of the clips; a clip meets {usual}"
                  " of them on average."]  # fmt: skip
    return [*lines, "", *(["```bash", *commands(report), "```", ""] if published else [])]


_INTERVALS = (
    "Intervals are 95 % bootstrap intervals over clips or prompts (n of them); figures over a whole set have none. A"
    " dash is a figure that does not apply. Better is higher, lower, or as real, where the right value is that of real"
    " motion; in plots an arrow up or down, or none. Targets were set before training."
)


def _print(report: Report) -> str:
    """The fingerprint of the language network that was measured, "" where none was."""
    return str(report.model.get("model", {}).get("fingerprint", ""))


def page(reports: list[Report]) -> str:
    """docs/results.md."""
    lines = [
        "# Results", "",
        "Rendered by `python eval/run.py --tables` from `eval/results/*.json`; not written by hand. How a figure is"
        " made: [metrics.md](metrics.md); what the suites ask: [eval/README.md](../eval/README.md).", "",
        "CORPUS is the folder of the body corpus. The model is the packaged one; `fingerprint` is that of its language"
        f" network. {_INTERVALS}", "",
    ]  # fmt: skip
    prints = Counter(_print(r) for r in reports if _print(r))
    usual = prints.most_common(1)[0][0] if prints else ""
    if earlier := [r.name for r in reports if _print(r) not in ("", usual)]:
        lines += [f"Most are of `{usual[:12]}`. Measured with an earlier one: {', '.join(earlier)}; of these only"
                  " `plan_coverage` depends on it.", ""]
    for report in reports:
        lines += section(report)
    return "\n".join(lines).rstrip() + "\n"


def write_page(results: Path) -> Path:
    """Write results.md and its plots beside results that are not the published ones.

    Raises:
        UserError: no results, a folder that cannot be written, or no matplotlib.
    """
    about = f"Rendered from the `*.json` of this folder; the fingerprints name the model. {_INTERVALS}"
    lines = ["# Results", "", about, ""]
    reports = load(results)
    for report in reports:
        lines += section(report, published=False)
    plots.draw_all(reports, results / OWN_PLOTS)
    text = "\n".join(lines).rstrip() + "\n"
    return atomic_write(results / PAGE, lambda p: p.write_text(text, encoding="utf-8"))


def short(reports: list[Report]) -> str:
    """The README's table: the figures of `README_FIGURES` that were measured, with the best baseline and the target."""
    lines = ["| suite | figure | model | baseline | target |", "|---|---|---|---|---|"]
    for report in reports:
        own, columns = report.own(), report.columns()
        for name in (f.split(" ", 1)[1] for f in README_FIGURES if f.split(" ", 1)[0] == report.name):
            if name not in own and not any(name in c for c in columns.values()):
                continue
            about = suites.about(report.any["metrics"], name)
            unit = str(about.get("unit", ""))
            rivals = [(c[name]["mean"], LABELS.get(b, b)) for b, c in columns.items()
                      if b not in CEILINGS and c.get(name, {}).get("mean") is not None]  # fmt: skip
            best = (max if about["higher_is_better"] else min)(rivals) if rivals else None
            cells = [
                report.name, f"{name}, {unit}" if unit not in ("", "share") else name,
                number(own.get(name, {}).get("mean"), unit),
                f"{number(best[0], unit)} ({best[1]})" if best else "", _target(report, name)[0],
            ]  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_tables(results: Path, root: Path) -> list[Path]:
    """Write docs/results.md, its pictures and the README's table below `root`.

    Raises:
        UserError: no results, a README without the two markers, or no matplotlib.
    """
    reports = load(results)
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(OPEN)}.*?{re.escape(CLOSE)}", re.S)
    if len(pattern.findall(text)) != 1:
        raise UserError(f"{readme}: needs the markers {OPEN} and {CLOSE} once, to put the table between them")
    renewed = pattern.sub(lambda _: f"{OPEN}\n{short(reports)}\n{CLOSE}", text)
    written = [
        atomic_write(root / "docs" / PAGE, lambda p: p.write_text(page(reports), encoding="utf-8")),
        atomic_write(readme, lambda p: p.write_text(renewed, encoding="utf-8")),
    ]
    written += plots.draw_all(reports, root / "docs" / PLOTS)
    chart = results / DRAWN
    if chart.is_file():
        image = chart.read_bytes()
        written.append(atomic_write(root / "docs" / "images" / CHART, lambda p: p.write_bytes(image)))
    return written
