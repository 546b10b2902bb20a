"""Trains everything, stage by stage. The same commands run on two CPU cores, one GPU, torchrun and deepspeed.

    python scripts/train.py recipe --print            every command from the corpora to a model
    python scripts/train.py recipe --debug -o runs/   the same in minutes, from a corpus that it makes itself
    python scripts/train.py prepare   --corpus DIR --texts DIR -o runs/store
    python scripts/train.py tokenizer --config configs/tokenizer/body.yaml --store runs/store -o runs/tokenizer
    python scripts/train.py codes     --tokenizer runs/tokenizer --store runs/store -o runs/codes
    python scripts/train.py language  --config configs/language/body.yaml --tokenizer runs/tokenizer \
                                      --codes runs/codes --texts DIR -o runs/language
    deepspeed scripts/train.py language --deepspeed_config configs/deepspeed/zero2.json ...

A configuration is FILE or FILE:VARIANT, `--set train.lr=1e-3` changes it, `--print-config` shows it. Every stage goes
on from its own folder; `--start FOLDER` begins from another run's weights.
"""

import sys

if __name__ == "__main__":
    try:
        from vqvae.streams import open_streams

        open_streams()
        from avatargpt.train.command import main

        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # while that is imported
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)
