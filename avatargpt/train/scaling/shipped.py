"""What the separate shipped models reach on the tasks that `configs/language/unified.yaml` learns in one."""

from __future__ import annotations

from pathlib import Path

from vqvae.io.data_files import read_object
from vqvae.io.files import parsing

PERCENT, PLAIN = "{:.1%}", "{:.3g}"
SHIPPED = (
    ("text_to_motion", "body", "prompts passed, familiar words", "prompts_known", "pass_rate", PERCENT),
    ("text_to_motion", "body", "prompts passed, everyday actions", "prompts_everyday", "pass_rate", PERCENT),
    ("text_to_motion", "body", "prompts passed, unseen words", "prompts_unseen", "pass_rate", PERCENT),
    ("motion_to_text", "body", "action named", "describe", "action", PERCENT),
    ("motion_to_text", "body", "BLEU-4", "describe", "bleu4", PLAIN),
    ("in_between", "body", "joint error, m", "inbetween", "joint_error", PLAIN),
    ("continuation", "body", "mean displacement, m", "continuation", "ade", PLAIN),
    ("text_to_face", "face", "asked events that happen", "face_language", "events/own", PERCENT),
    ("text_to_face", "face", "feelings alone that are seen", "face_language", "emotions/own", PERCENT),
    ("face_to_text", "face", "actions named", "face_language", "described_actions/own", PERCENT),
    ("face_to_emotion", "face", "feelings named", "face_language", "described_feelings/own", PERCENT),
    ("face_in_between", "face", "mean error of the weights", "face_language", "between_error/own", PLAIN),
    ("speech_to_gesture", "co-speech network", "FGD", "gesture", "fgd/network", PLAIN),
    ("the eleven of plans", "plan library", "cosine to true plans", "plans", "cosine/plan", PLAIN),
    ("chat_turn", "body", "right kind of turn, the network alone", "chat", "kinds/network", PERCENT),
)  # fmt: skip
"""Task, model (its language model unless it says otherwise), figure, and where it stands: suite, name, form."""


def shipped(results: Path) -> list[list[str]]:
    """Rows of task, model, figure, value and suite.

    Args:
        results: the folder of results of the suites, eval/results of a checkout.

    Raises:
        UserError: a file of it is missing or damaged.
    """
    rows = []
    for task, model, figure, suite, name, form in SHIPPED:
        path = results / f"{suite}.json"
        found = read_object(path)
        with parsing(path, "the results of a suite"):
            rows.append([task, model, figure, form.format(float(found["results"][name]["mean"])), suite])
    return rows
