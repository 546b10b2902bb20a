"""Trains everything, stage by stage. The same commands run on two CPU cores, one GPU, torchrun and deepspeed.

    python scripts/train.py prepare   --corpus DIR --texts DIR -o runs/store
    python scripts/train.py tokenizer --config configs/tokenizer/body.yaml --store runs/store -o runs/tokenizer
    python scripts/train.py codes     --tokenizer runs/tokenizer --store runs/store -o runs/codes
    python scripts/train.py language  --config configs/train/language.yaml --tokenizer runs/tokenizer \
                                      --codes runs/codes --texts DIR -o runs/language
    deepspeed scripts/train.py language --deepspeed_config configs/deepspeed/zero2.json ...

Every stage resumes from its own folder. `--start FOLDER` begins from another run's weights.
"""

import sys

from avatargpt.train.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
