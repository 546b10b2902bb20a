"""All kinds of goldens, by name."""

from golden_configs import configs
from golden_face import driver, face_scores
from golden_judges import judges
from golden_motion import codes, exports
from golden_store import Kind
from golden_words import chat_acts, conversation, plans, readings

KINDS = {
    kind.name: kind
    for kind in (
        Kind("configs", configs),
        Kind("exports", exports, other_cpu_share=None),
        Kind("judges", judges, other_cpu_share=0.2),
        Kind("readings", readings, every=25, tolerance=1.5e-4, other_cpu_share=0.02),
        Kind("chat_acts", chat_acts, every=10, other_cpu_share=0.02),
        Kind("plans", plans, every=50, other_cpu_share=0.1),
        Kind("codes", codes, every=1, tolerance=2e-3, other_cpu_share=None),
        Kind("driver", driver, other_cpu_tolerance=0.01, arrays=True),
        Kind("face_scores", face_scores, every=150, other_cpu_share=0.03),
        Kind("conversation", conversation, every=0, other_cpu_share=None),  # one long talk: with --all only
    )
}
"""Nearly all are computed by networks: on another instruction set a few rows may differ."""
