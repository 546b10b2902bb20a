"""All kinds of goldens, by name."""

from __future__ import annotations

from golden_configs import configs
from golden_face import driver, face_scores
from golden_motion import codes, exports
from golden_store import Kind
from golden_words import chat_acts, conversation, plans, readings

KINDS = {
    kind.name: kind
    for kind in (
        Kind("configs", configs),
        Kind("exports", exports, elsewhere=None),
        Kind("readings", readings, every=25, near=1.5e-4, elsewhere=0.02),
        Kind("chat_acts", chat_acts, every=10, elsewhere=0.02),
        Kind("plans", plans, every=50, elsewhere=0.1),
        Kind("codes", codes, every=1, near=2e-3, elsewhere=None),
        Kind("driver", driver, apart=0.01, arrays=True),
        Kind("face_scores", face_scores, every=150, elsewhere=0.03),
        Kind("conversation", conversation, every=0, elsewhere=None),  # one long talk: with --all only
    )
}
"""Nearly all are computed by networks: on another instruction set a few rows may differ."""
