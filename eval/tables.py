"""Render results: docs/results.md, its plots and the README's table; or a page beside other results.

    python eval/tables.py            # docs/results.md and README.md from eval/results
    python eval/tables.py FOLDER     # FOLDER/results.md and FOLDER/plots alone

Equal results give equal pages.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

import plots
from reports import MODEL, Line, Report, load, number

from vqvae.errors import UserError
from vqvae.motion import atomic_write

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "eval" / "results"
# Options of `avatargpt eval run SUITE`; eval/README.md says what the folders are.
ARGUMENTS = {
    **dict.fromkeys("tokenizer describe inbetween continuation predicates plans seams retrieval "
                    "retrieval_judge".split(), " --data CORPUS"),
    "chat": " --data CHAT", "gesture": " --data TALKS", "gesture_made": " --data runs/gestures/talks",
    "plan_coverage": " --data CORPUS --full", "face_instructions": " --data FACE_TEXT --store SPEECH",
    "face_language": " --data FACE_TEXT", "speech_face": " --data FACES --store SPEECH",
    "word_times": " --data FACES --store WHISPER", "humanml3d": " --data HUMANML3D --store EVALUATOR",
}  # fmt: skip
OPEN, CLOSE = "<!-- results -->", "<!-- /results -->"
CHART, DRAWN, PAGE = "tokenizer_length.png", "tokenizer.png", "results.md"  # DRAWN lies beside the results
MAX_ROWS, MAX_ROWS_WITH_PARTS = 2, 2  # of a table without its missed targets; the JSON has all
LOWEST_CLASSES = 1  # of suites that measure each class
# Suites of which other figures decide than the first ones; a missed target is shown besides.
SHOWN = {
    "prompts_known": ("pass_rate", "pass_rate/two", "pass_rate/side", "pass_rate/count"),
    "prompts_everyday": ("pass_rate", "pass_rate/two", "pass_rate/count"),
    "prompts_unseen": ("pass_rate",),
    "describe": ("action", "action_class_mean", "bleu4"),
    "describe_synthetic": ("family", "only", "side"),
    "inbetween": ("kinematic_fid", "joint_error", "seam_pops"),
    "continuation": ("kinematic_fid", "ade"),
    "plan_coverage": ("covered",),
    "gesture": ("hand_speed_ratio", "jerk", "beat_alignment", "l1_diversity", "fgd"),
    "gesture_made": ("hand_speed_ratio", "jerk", "beat_alignment_gain"),
    "gesture_words": ("shown", "guess_precision"),
    "requests_joints": ("pass_rate",),
    "requests_fresh": ("right", "silent", "flagged", "false_flags"),
    "people": ("full", "noticed"),
    "plans": ("judge_auc", "rouge_l"),
    "retrieval": ("top3", "fid"),
    "sessions": ("end", "kept/turns", "asked/turns"),
    "speech_face": ("closure/clean", "closure/librivox", "contact/librivox", "paired_jaw", "moved"),
    "face_language": ("events/own", "emotions/own"),
    "contrast": ("network", "scorer", "generation"),
    "face_fresh": ("read", "events", "emotions/fresh"),
    "multi_clause": ("complete", "shown", "said"),
    "studio_requests": ("pass_rate",),
    "chat": ("kinds/turns", "acts/turns", "clarified/turns"),
    "chat_fresh": ("acts/turns", "clarified/turns", "chains/turns"),
}
UNSHOWN = (  # rows that nothing is decided by
    "network", "shuffled", "random pairing", "random phrasing", "full without sound", "full without words",
    "full without interlocutor", "strokes", "mean motion",
)  # fmt: skip
CEILINGS = ("own caption", "rendered score", "real")  # rows that are to be reached, not to be beaten
# Suite and figure of every row in the README's table.
README_FIGURES = """tokenizer mpjpe_heading, prompts_known pass_rate, prompts_known pass_rate/single,
prompts_known pass_rate/turn, prompts_everyday pass_rate,
prompts_unseen pass_rate, describe action, describe_synthetic family, inbetween kinematic_fid,
continuation kinematic_fid, face_instructions events/own, face_instructions events/corpus,
retrieval top3, speech_face closure/librivox, plans rouge_l,
seams peak_jerk_ratio""".replace("\n", " ").split(", ")
# Of each part: what has risen and what has fallen with its present weights; eval/results/earlier.md has all before.
CHANGES = (
    (
        "the driver is told phones and finds a quiet voice within a second; calmer upper faces",
        "voices never heard, by sound: p, b, m .804 to .821, f, v .752 to .775, with words .953 to .964, .923 to .946; "
        "hands' r .395 to .444; error of taught mouths 2.81 to 2.54 mm; onsets of words that the network times 65 to "
        "25 ms in one hard recording, its worst 1,579 to 581 ms in another",
        "`speech_face`: p, b, m of LJ .923 to .852, of LibriVox aligned .931 to .862, false ones in its vowels 0 to "
        ".02; held-out digits sealed .093 to .099; FGD of hands 38.2 to 39.1",
    ),
    (
        "bodies of films before tilted cameras",
        "toes that stand .29 to .24 m/s; PA-MPJPE of rendered films 48.5 to 47.2 mm, heading 9.9 to 9.6 degrees",
        "PA-MPJPE of two of four calibrated cameras 83 to 89 mm",
    ),
    (
        "the right hand where none is said; a motion that lacks something is taken again; texts of concurrent and of "
        "kept movements",
        "`twenty_seeds` .662 to .742, `prompts_known` .854 to .867, `prompts_everyday` .931 to .937, "
        "`requests_joints` .828 to .844, `multi_clause` .78 to .80; of `people` known ones called unknown .406 to .371",
        "`people`: another action without a word .208 to .240, unknown ones noticed .879 to .850; `requests_fresh`: "
        "unknown ones said .774 to .750; `studio_requests` .683 to .675; sides of `prompts_unseen` .91 to .82, of "
        "`requests_joints` .81 to .76; CPU time of a cold `generate` that is taken again",
    ),
    (
        "turns of conversations: a network of their own",
        "`turns` acts .335 to .512, another act without a word .502 to .281; `chat` acts .452 to .500",
        "`sessions` that end right .90 to .00, that keep all else .994 to .940, turns asked back .003 to .191; "
        "`turns_held` .927 to .725; `chat_fresh` .933 to .783, its chains .85 to .70",
    ),
    (
        "requests and scenes: one reading network",
        "`people` in full .028 to .290, silently another .831 to .208; `requests_fresh` right .660 to .683, silently "
        "wrong .223 to .147; `prompts_known` .849 to .869",
        "`requests_fresh`: unknown ones said .857 to .774, known ones called unknown .098 to .175; `scenes_fresh` in "
        "full .971 to .743; `multi_clause` .79 to .78; sides of `prompts_known` .95 to .75, manners .929 to .843",
    ),
    (
        "the body's language model",
        "`prompts_known` .794 to .847, `describe_synthetic` .897 to .941, `contrast` .815 to .842, FID of "
        "continuations .150 to .127",
        "counts of everyday prompts .84 to .72, `requests_joints` seconds .85 to .80, tempo .81 to .74; BLEU-4 of "
        "descriptions 41.3 to 39.7; `retrieval` top3 .820 to .778",
    ),
    (
        "gestures",
        "hand speed follows the sound's energy r -.01 to .26; FGD 99.7 to 46.5; `beat_alignment` .168 to .290; words "
        "shown by the network alone .03 to .25 (.30 before hands were kept off the face; with strokes .92, now .87)",
        "hand speed .98 to .79 of a speaker's; L1 diversity .68 to .64; Hellinger distance .063 to .138",
    ),
    (
        "facial instructions",
        "20 questions that ask a face for nothing: 1 to 19 read so; fades .69 to .77",
        "events of `face_instructions`: own .976 to .940, corpus .927 to .901; feelings of `face_fresh` .73 to .67",
    ),
)
NOT_SINCE = "`plan_coverage`, `seams` and `inbetween` were not measured with the present reader."
INTRODUCTION = (
    "Values are means with 95 % bootstrap intervals over clips or prompts in brackets; figures of a whole set have"
    " none. The arrow says which direction is better; without one the right value is that of real motion. Targets were"
    " set before training. A table has a suite's main figure, every target that is missed, and a few more; the results"
    " file has all."
)


def named(line: Line) -> str:
    """A figure with its direction and unit."""
    unit = f", {line.unit}" if line.unit not in ("", "share") else ""
    return f"{line.name} {plots.ARROWS[line.better]}".rstrip() + unit


def value(line: Line, row: str) -> str:
    """The figure of a row with its interval, "-" where it has none."""
    figure = line.marks.get(row)
    if figure is None:
        return "-"
    mean = number(figure["mean"], line.unit)
    if figure.get("low") is None or row != MODEL:
        return mean
    low, high = (number(figure[k], line.unit).removesuffix(" %") for k in ("low", "high"))
    return mean if low == high else f"{mean} ({low} to {high})"


def target(line: Line, verdict: bool = False) -> str:
    """What is to be reached, with `verdict` also whether it is."""
    if line.target is None:
        return ""
    higher = line.better == "higher"
    if isinstance(line.target, str):
        words = f"{'above' if higher else 'below'} {line.target}"
    else:
        words = f"{'>=' if higher else '<='} {number(line.target, line.unit)}"
    return words + {True: ", reached", False: ", missed", None: ""}[line.reached if verdict else None]


def main_lines(report: Report) -> list[Line]:
    """The main figure and every missed target; up to a limit also reached ones, general ones and parts of the suite.

    Suites of `SHOWN` have the figures named there instead of the limit, suites of classes their lowest classes.
    """
    lines = report.lines()
    if names := SHOWN.get(report.name):
        chosen = [line for line in lines if line.name in names or line.reached is False]
        return chosen or lines[:MAX_ROWS]
    if report.of_classes:
        classes = sorted((line for line in lines[1:] if MODEL in line.marks), key=lambda x: x.marks[MODEL]["mean"])
        return lines[:1] + classes[:LOWEST_CLASSES]
    first = lines[:1]
    missed = [line for line in lines[1:] if line.reached is False]
    reached = [line for line in lines[1:] if line.target is not None and line.reached is not False]
    general = [line for line in lines[1:] if line.target is None and "/" not in line.name]
    parts = [line for line in lines[1:] if line.target is None and "/" in line.name]
    shown = first + missed
    shown += (reached + general)[: max(0, MAX_ROWS - len(shown))]
    shown += parts[: max(0, MAX_ROWS_WITH_PARTS - len(shown))]
    return [line for line in lines if line in shown]


def table(report: Report) -> list[str]:
    """Markdown rows: figure and model; where some row has them, what it is compared with, and target with verdict."""
    lines = main_lines(report)
    columns: list[tuple[str, list[str]]] = [
        ("figure", [named(line) for line in lines]),
        ("model", [value(line, MODEL) for line in lines]),
        ("compared with", [_rivals(line) for line in lines]),
        ("target", [target(line, verdict=True) for line in lines]),
    ]
    columns = [(name, cells) for name, cells in columns if any(cells)]
    rows = [[name for name, _ in columns], *zip(*(cells for _, cells in columns), strict=True)]
    made = ["| " + " | ".join(row) + " |" for row in rows]
    return [made[0], "|" + "---|" * len(columns), *made[1:]]


# What a figure is compared with, in one cell.
def _rivals(line: Line) -> str:
    rivals = [row for row in line.marks if row != MODEL and row not in UNSHOWN]
    return ", ".join(f"{row} {value(line, row)}" for row in rivals)


def section(report: Report, plot_folder: str) -> list[str]:
    """One suite: what it asks, its plot and its table."""
    about = report.any
    facts = [f"{about['clips']} clips"] if about.get("clips") else []
    facts += [f"{len(about.get('prompts', []))} prompts"] if about.get("kind") == "prompts" else []
    end = f" ({'; '.join(facts)})." if facts else "" if about["description"][-1] in ".?!" else "."
    lines = [f"## {report.name}", "", about["description"] + end, ""]
    if plots.panels(report):
        lines += [f"![{report.name}]({plot_folder}/{report.name}.png)", ""]
    return [*lines, *table(report), ""]


def page(reports: list[Report]) -> str:
    """docs/results.md."""
    lines = [
        "# Results", "",
        "Rendered by `python eval/tables.py` from `eval/results/*.json`; not written by hand. How figures are computed:"
        " [metrics.md](metrics.md). What the suites ask, and the folders that the commands name:"
        " [eval/README.md](../eval/README.md). The model is the packaged one; baselines of prompts are made with"
        " `--model nearest` or `--model random` and `--data CORPUS`.", "",
        INTRODUCTION, "", "## What rose and what fell with the present weights", "",
        "| part | rose | fell |", "|---|---|---|", *(f"| {part} | {up} | {down} |" for part, up, down in CHANGES), "",
        f"{NOT_SINCE} All earlier figures: [earlier.md](../eval/results/earlier.md).", "",
    ]  # fmt: skip
    prints = Counter(filter(None, map(_fingerprint, reports)))
    usual = prints.most_common(1)[0][0] if prints else ""
    if earlier := [r.name for r in reports if _fingerprint(r) not in ("", usual)]:
        lines += [f"The language network is `{usual[:12]}`; measured beside an earlier one: {', '.join(earlier)}.", ""]
    for report in reports:
        lines += section(report, "images/results")
        if report.name == "tokenizer" and report.model.get("over_length"):
            lines += [f"![Error over clip length](images/{CHART})", ""]
        command = f"avatargpt eval run {report.name}{ARGUMENTS.get(report.name, '')}"
        also = "".join(f", [{b}](../eval/results/{report.name}.{b}.json)" for b in report.baselines)
        lines += [f"`{command}`: [{report.name}.json](../eval/results/{report.name}.json){also}", ""]
    return "\n".join(lines).rstrip() + "\n"


# That of the language network, "" where none was measured.
def _fingerprint(report: Report) -> str:
    return str(report.model.get("model", {}).get("fingerprint", ""))


def write_page(results: Path) -> Path:
    """Write results.md and its plots beside results that are not the published ones."""
    reports = load(results)
    lines = ["# Results", "", f"Rendered from the `*.json` of this folder. {INTRODUCTION}", ""]
    lines += [line for report in reports for line in section(report, "plots")]
    plots.draw_all(reports, results / "plots")
    text = "\n".join(lines).rstrip() + "\n"
    return atomic_write(results / PAGE, lambda p: p.write_text(text, encoding="utf-8"))


def short(reports: list[Report]) -> str:
    """The README's table: the figures of `README_FIGURES` that were measured, with the best baseline and the target."""
    rows = ["| suite | figure | model | baseline | target |", "|---|---|---|---|---|"]
    for report in reports:
        for line in report.lines():
            if f"{report.name} {line.name}" not in README_FIGURES:
                continue
            rivals = [(f["mean"], row) for row, f in line.marks.items() if row not in (MODEL, *CEILINGS)]
            best = (max if line.better == "higher" else min)(rivals) if rivals else None
            baseline = f"{number(best[0], line.unit)} ({best[1]})" if best else ""
            unit = f", {line.unit}" if line.unit not in ("", "share") else ""
            model = number(line.marks.get(MODEL, {}).get("mean"), line.unit)
            rows.append(f"| {report.name} | {line.name}{unit} | {model} | {baseline} | {target(line)} |")
    return "\n".join(rows)


def write_tables(results: Path, root: Path) -> list[Path]:
    """Write docs/results.md, its pictures and the README's table below `root`."""
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
    written += plots.draw_all(reports, root / "docs" / "images" / "results")
    if (results / DRAWN).is_file():
        image = (results / DRAWN).read_bytes()
        written.append(atomic_write(root / "docs" / "images" / CHART, lambda p: p.write_bytes(image)))
    return written


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS, metavar="FOLDER")
    results = parser.parse_args().results
    try:
        published = results.resolve() == RESULTS.resolve()
        for path in write_tables(results, ROOT) if published else [write_page(results)]:
            print(path)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
