"""A Gradio page, also a Hugging Face Space: words to motion, motion to words, speech to an avatar.

    pip install avatargpt gradio && python app.py
"""

import tempfile
from functools import cache
from pathlib import Path

import gradio as gr

from avatargpt import AvatarGPT, export
from vqvae.errors import UserError

EXAMPLES = ["a person walks forward and waves with the left hand", "somebody sits down and claps twice", "jump twice"]
SUFFIXES = [s for s in export.readable() if s not in (".fbx", ".usd", ".usda", ".usdc", ".usdz")]
FOLDER = Path(tempfile.mkdtemp())
model = cache(AvatarGPT.from_pretrained)  # loaded with the first request


def files(motion, *suffixes):
    """The files of a motion, the first for the viewer."""
    stem = Path(tempfile.mkdtemp(dir=FOLDER)) / "motion"
    paths = [str(export.save(motion, stem.with_suffix(s))) for s in suffixes]
    return paths[0], paths


def generate(prompt, seconds, seed):
    """Words to motion."""
    try:
        (motion,) = model().generate(prompt, seconds=seconds or None, seed=int(seed))
    except UserError as e:
        raise gr.Error(str(e)) from None
    return *files(motion, ".glb", ".bvh", ".npz", ".vrma"), "\n".join(motion.notes)


def describe(path):
    """A file to words."""
    try:
        return model().describe(export.load(path))[0]
    except UserError as e:
        raise gr.Error(str(e)) from None


def speak(sound, text, body):
    """Speech to face, hands and body."""
    try:
        # a motion: as a text it might name a file of this machine
        stance = model().generate(body)[0] if body else "idle"
        avatar = model().speak(sound, text=text, body=stance)
    except UserError as e:
        raise gr.Error(str(e)) from None
    return files(avatar, ".glb", ".vrma", ".csv")


with gr.Blocks(title="AvatarGPT") as page:
    gr.Markdown("# AvatarGPT\nHuman motion from text, and text from motion. Weights for non-commercial use.")
    with gr.Tab("Words to motion"):
        prompt = gr.Textbox(EXAMPLES[0], label="Prompt")
        seconds = gr.Slider(0, 20, 0, step=0.5, label="Seconds (0: as long as the words take)")
        seed = gr.Number(0, label="Seed", precision=0)
        view, out, notes = gr.Model3D(label="Motion"), gr.Files(label="Files"), gr.Textbox(label="Notes")
        gr.Button("Generate", variant="primary").click(
            generate, [prompt, seconds, seed], [view, out, notes], api_name="generate"
        )
        gr.Examples(EXAMPLES, prompt)
    with gr.Tab("Motion to words"):
        file, words = gr.File(label="Motion", file_types=SUFFIXES), gr.Textbox(label="Words")
        file.upload(describe, file, words, api_name="describe")
    with gr.Tab("Speech to an avatar"):
        sound = gr.Audio(type="filepath", label="Speech")
        text, body = gr.Textbox(label="How (speak sadly, then smile)"), gr.Textbox(label="Body (a person sits down)")
        head, all_files = gr.Model3D(label="Avatar"), gr.Files(label="Files")
        gr.Button("Speak", variant="primary").click(speak, [sound, text, body], [head, all_files], api_name="speak")

if __name__ == "__main__":
    page.queue(max_size=20).launch(allowed_paths=[str(FOLDER)])
