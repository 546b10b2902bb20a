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
    "word_times": " --data FACES --store WHISPER",
}  # fmt: skip
OPEN, CLOSE = "<!-- results -->", "<!-- /results -->"
CHART, DRAWN, PAGE = "tokenizer_length.png", "tokenizer.png", "results.md"  # DRAWN lies beside the results
MAX_ROWS, MAX_ROWS_WITH_PARTS = 16, 10  # of a table; the JSON has all
CEILINGS = ("own caption", "rendered score", "real")  # rows that are to be reached, not to be beaten
# Suite and figure of every row in the README's table.
README_FIGURES = """tokenizer mpjpe_heading, prompts_known pass_rate, prompts_known pass_rate/single,
prompts_known pass_rate/turn, prompts_everyday pass_rate,
prompts_unseen pass_rate, describe action, describe_synthetic family, inbetween kinematic_fid,
continuation kinematic_fid, face_instructions events/own, face_instructions events/corpus,
retrieval top3, speech_face closure/librivox, plans rouge_l,
seams peak_jerk_ratio""".replace("\n", " ").split(", ")
EARLIER_WEIGHTS = (
    "**What has risen and fallen with the present weights.** Turns of conversations are read by a network of their "
    "own, against the reader of turns before, in the same measure: turns of people's dialogues (`turns`) with the "
    "right acts .335 to .512, another without a word .502 to .281, asked back .163 to .211; recorded `chat` acts "
    ".452 to .500. Fallen: `sessions` that end right .90 to .00, their turns that keep all that was not named .994 "
    "to .940 and that are asked back .003 to .191 (parts of long plans meant in other words; movements that it "
    "surely does not know are asked about now); `turns_held` .927 to .725, `chat_fresh` .933 to .783, its chains "
    ".85 to .70. The reading network's before, after dialogues and scenes were learnt with it, against those "
    "before: `requests_fresh` right .667 to .683, silently wrong .154 to .147, unknown ones said .726 to .774, "
    "captions read by the network alone .648 to .679, events of people's scenes (`scenes_03`) in the right number "
    ".21 to .68; fallen: events of the plain scenes of `scenes_fresh` .993 to .919, all of them .971 to .743, "
    "persons .983 to .967; `people` in full .295 to .290, silently another .180 to .208, `multi_clause` .79 to .78. "
    "Those before against the reader of bodies before them: `people` in full .028 to .295, silently another .831 to "
    ".180; `requests_fresh` right .660 to .667, silently wrong .223 to .154; `prompts_known` .849 to .869 (familiar "
    "actions .795 to .856, turns .775 to .90); `multi_clause` .79 to .790. Fallen: unknown requests of "
    "`requests_fresh` that are said .857 to .726, known ones called unknown .098 to .190, its negations .786 to "
    ".571, locomotion .667 to .533; sides of `prompts_known` .95 to .75, manners .929 to .843. Measured with the "
    "reader before and not since: `prompts_everyday`, `prompts_unseen`, `requests_joints`, `studio_requests`, "
    "`plans`, `seams`. The body's weights against those before them, scored alike: `prompts_known` .794 to .847, "
    "`prompts_unseen` .774 to .834, `prompts_everyday` .880 to .892, `requests_joints` .815 to .834 (its sides .62 "
    "to 0.81), `studio_requests` .650 to .675, `describe_synthetic` .897 to .941, `contrast` .815 to .842, FID of "
    "continuations .150 to .127. Fallen: two familiar actions in a row .97 to 0.92, counts of everyday prompts .84 "
    "to 0.72, `requests_joints` seconds .85 to 0.82, tempo .81 to 0.76; BLEU-4 of descriptions 41.3 to 39.7; R@3 of "
    "the learnt evaluator .820 to .778 (the former figure is that of the 14 M weights). The reader's, with the "
    "state of conversations, against the one before it: `sessions` that end right .25 to .80 (with code; their "
    "misses were looked at between), turns about scenes .927 to .933, everyday .900 to .908, read faces .821 to "
    ".836, events of faces .886 to .906, faces with a fade .62 to .69; fallen: `prompts_unseen` .834 to .797 (three "
    "of 70 prompts), events of faces by instructions: own .976 to .958, corpus .927 to .875, at the same time .95 "
    "to .91 (everyday .901 to .914), acts of recorded `chat` turns .516 to .452, turns answered by a question .08 "
    "to .13, `chat_fresh` .967 to .950, `requests_joints` .834 to .825, right free requests .669 to .660, "
    "`multi_clause` .80 to .79, faces with a rise .69 to .62. The gestures', against those before them: hand speed "
    "against the energy of the sound r -.01 to .26, FGD 99.7 to 47.1, words shown by the network alone .03 to .30; "
    "fallen: `beat_alignment` .168 to .102 (at .1: .52 to .42), hand speed .98 to .77 of a real speaker's, L1 "
    "diversity .68 to .44, Hellinger distance .063 to .136. The parser's, with questions: of 20 that ask a face for "
    "nothing 1 to 19 are read so, of 20 smiles of the eyes alone 1 to 19; fresh fades .69 to .77; fallen: fresh "
    "instructions .836 to .831, their events .906 to .898, their feelings .73 to .64; events of faces by "
    "instructions: corpus .875 to .901, own .958 to .940, everyday .914 to .888."
)
INTRODUCTION = (
    "Values are means with 95 % bootstrap intervals over clips or prompts in brackets; figures of a whole set have"
    " none. The arrow says which direction is better; without one the right value is that of real motion. Targets were"
    " set before training. Tables show the main figures of a suite, those with targets first; its results file has all"
    " of them."
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
    return f"{mean} ({low} to {high})"


def target(line: Line) -> str:
    """What is to be reached."""
    if line.target is None:
        return ""
    higher = line.better == "higher"
    if isinstance(line.target, str):
        return f"{'above' if higher else 'below'} {line.target}"
    return f"{'>=' if higher else '<='} {number(line.target, line.unit)}"


def main_lines(report: Report) -> list[Line]:
    """Figures with a target and general ones, then those of parts of the suite (classes, kinds) up to a limit."""
    lines = report.lines()
    parts = [n for n, line in enumerate(lines) if line.target is None and (
        line.name != "mean" if report.of_classes else "/" in line.name)]  # fmt: skip
    general = [line for n, line in enumerate(lines) if n not in parts][:MAX_ROWS]
    return general + [lines[n] for n in parts[: max(0, MAX_ROWS_WITH_PARTS - len(general))]]


def table(report: Report) -> list[str]:
    """Markdown rows: figure, model, what it is compared with, target, whether it is reached."""
    rows = ["| figure | model | compared with | target | reached |", "|---|---|---|---|---|"]
    for line in main_lines(report):
        baselines = ", ".join(f"{row} {value(line, row)}" for row in line.marks if row != MODEL)
        reached = {True: "yes", False: "no", None: ""}[line.reached]
        rows.append(f"| {named(line)} | {value(line, MODEL)} | {baselines} | {target(line)} | {reached} |")
    return rows


def section(report: Report, plot_folder: str) -> list[str]:
    """One suite: its plot and its table."""
    about = report.any
    facts = [f"version {about['version']}", f"seeds {', '.join(map(str, about['seeds']))}"]
    facts += [f"{about['clips']} clips"] if about.get("clips") else []
    facts += [f"{len(about.get('prompts', []))} prompts"] if about.get("kind") == "prompts" else []
    lines = [f"## {report.name}", "", f"{about['description']} ({'; '.join(facts)}).", ""]
    if plots.panels(report):
        lines += [f"![Main figures of {report.name}]({plot_folder}/{report.name}.png)", ""]
    return [*lines, *table(report), ""]


def page(reports: list[Report]) -> str:
    """docs/results.md."""
    lines = [
        "# Results", "",
        "Rendered by `python eval/tables.py` from `eval/results/*.json`; not written by hand. How figures are computed:"
        " [metrics.md](metrics.md). What the suites ask, and the folders that the commands name:"
        " [eval/README.md](../eval/README.md). The model is the packaged one.", "",
        EARLIER_WEIGHTS, "", INTRODUCTION, "",
    ]  # fmt: skip
    prints = Counter(filter(None, map(_fingerprint, reports)))
    usual = prints.most_common(1)[0][0] if prints else ""
    if earlier := [r.name for r in reports if _fingerprint(r) not in ("", usual)]:
        lines += [f"The language network is `{usual[:12]}`. Measured with an earlier one: {', '.join(earlier)}; of"
                  " these only `plan_coverage` depends on it.", ""]  # fmt: skip
    for report in reports:
        lines += section(report, "images/results")
        if report.name == "tokenizer" and report.model.get("over_length"):
            lines += [f"![Error over clip length](images/{CHART})", ""]
        command = f"avatargpt eval run {report.name}{ARGUMENTS.get(report.name, '')}"
        also = "".join(f", [{b}](../eval/results/{report.name}.{b}.json): `--model {b} --data CORPUS`"
                       for b in report.baselines)  # fmt: skip
        lines += [f"`{command}`; results: [{report.name}.json](../eval/results/{report.name}.json){also}", ""]
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
