"""Every mistake: one line on stderr that says what is accepted, exit status 2, nothing loaded, nothing left behind."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from tests.cli.conftest import Pipe, hum, walk
from tests.gesture.conftest import Spelling
from tests.vqvae.rigs import CONVENTIONS, GltfFile, as_rig, motion
from vqvae.errors import UserError
from vqvae.face import FaceMotion

# A command line in the folder of `inputs`, =>, what the message has in it. LONG: 2499 characters; face, gesture and
# speak get `--model weights` where no other is named. Nothing on stdin.
TABLE = """
generat x => no such command 'generat'; generate; describe
--loud => --loud
generate => TEXT; generate --help
describe => FILE
generate walk -o a.exe => a.exe; .exe; .npz; .glb
generate walk -o a => accepted; .npz
generate walk -o file.txt/a.npz => file.txt; not a folder
generate walk -o a.npz -o a.npz => a.npz; twice
generate walk -n 2 -o many.npz => many; folder
generate walk => -o
generate walk -o a.npz --seconds 0 => seconds: 0; 0.2 to 600
generate walk -o a.npz --seconds -1 => seconds: -1; 0.2 to 600
generate walk -o a.npz --seconds 1000 => seconds: 1000; 0.2 to 600
generate walk -o a.npz --seconds nan => seconds: nan; 0.2 to 600
generate walk -o a.npz --seconds long => --seconds
generate walk -o a.npz --seed -3 => seed: -3
generate walk -o a.npz --best-of 0 => best_of: 0
generate walk -o a.npz -n 0 => num: 0
generate walk -o a.npz --temperature 9 => temperature: 9; accepted
generate walk -o a.npz --guidance -2 => guidance: -2; accepted
generate walk -o a.npz --threads 0 => --threads
generate walk -o a.npz --model nowhere => nowhere; no such folder
generate walk -o a.npz --colour red => no such option: --colour; generate --help
generate walk -o a.npz more => more
view nowhere.bvh => nowhere.bvh; no such file
view walk.npz --port 70000 => --port
generate walk -o a.csv => a body cannot be written as .csv; .bvh
generate "" -o a.npz => empty text; accepted
generate "   " -o a.npz => empty text; accepted
generate "walk \udce9" -o a.npz => not UTF-8
generate !!! -o a.npz => signs without a word; accepted
generate ?! -o a.npz => signs without a word; accepted
generate LONG -o a.npz => 2499 characters; at most 1000
generate @nowhere.txt -o a.npz => nowhere.txt; no such file; accepted
generate @empty.txt -o a.npz => empty.txt; 0 texts; accepted
generate @blank.txt -o a.npz => blank.txt; 0 texts; accepted
generate @latin.txt -o a.npz => latin.txt; not UTF-8; accepted
generate @dots.txt -o a.npz => dots.txt; line 2; signs without a word; accepted
mcp --http nowhere => --http nowhere; [HOST:]PORT
mcp --http 0.0.0.0:8766 => --http 0.0.0.0:8766; other machines; 127.0.0.1
mcp --http 8766 --outputs motions => --outputs; over stdio
serve --port 70000 => --port
serve --host 0.0.0.0 => 0.0.0.0; other machines; --api-key
serve --keep 0 => --keep 0; 0.01 to 10000 hours
serve --motion-seconds 700 => --motion-seconds 700; 0.2 to 600
serve --grace nan => --grace nan; 0 to 3600
serve --origin example.org => --origin example.org; https://
serve --origin https://a.org/page => --origin https://a.org/page
serve --public-url example.org/a => --public-url example.org/a; https://
serve --model nowhere => nowhere; no such folder
serve --port 0 --store s --llm nothing => nothing; accepted
serve --api-key short => api key; 8 or more
generate walk -o a.npz --path heart => path heart: accepted SHAPE
generate walk -o a.npz --path circle:up => path circle:up
generate walk -o a.npz --turn 3 => turn
generate walk -o a.npz --tempo 9 => tempo
generate walk -o a.npz --pin nose@1=0,0,0 => pin nose
generate walk -o a.npz --pin left_hand@1=0,0 => pin left_hand@1=0,0: accepted LIMB@SECOND=X,Y,Z
generate walk -o a.npz --waypoints empty.txt => waypoints
generate walk -o a.npz --waypoints one.csv => waypoints
generate walk -o a.npz --waypoints letters.csv => waypoints
generate walk -o a.npz --waypoints nan.csv => nan.csv line 1: 'nan,2'; accepted
generate walk -o a.npz --waypoints underscore.csv => underscore.csv line 2: '1_0,2'; accepted
generate walk -o a.npz --waypoints arabic.csv => arabic.csv line 1: '٣,٤'; accepted
generate walk -o a.npz --waypoints far.csv => far.csv; 1e+06 m; up to 750
generate walk -o a.npz --waypoints long.csv => long.csv; 1400 m in all; up to 750
generate walk -o a.npz --path circle:left:99999999999 => 99999999999 times; accepted 1 to 68
generate walk -o a.npz --path circle:left:0 => 0 times; accepted 1 to 68
generate walk -o a.npz --path circle:left:٣ => path circle:left:٣; accepted SHAPE
generate walk -o a.npz --path circle --times 90 => 90 times; accepted 1 to 68
generate walk -o a.npz --times 1_0 => --times; '1_0' is not a number
generate walk -o a.npz --seconds 1_0 => --seconds; '1_0' is not a number
generate walk -o a.npz --pin left_hand@1=nan,0,0 => pin left_hand@1=nan,0,0; accepted
generate walk -o a.npz --pin left_hand@1_0=0,0,0 => pin left_hand@1_0=0,0,0; accepted

capture nothing.mp4 -o a.npz => nothing.mp4: no such file; accepted .mp4
capture old.gif -o a.npz => old.gif: not a film
capture none -o a.npz => none: 0 pictures; accepted
capture old.gif -o a.npz --start 3 --end 2 => end 2; accepted after start 3
capture old.gif -o a.npz --focal 0 => focal: 0; 0.2 to 10
capture old.gif -o a.npz --overlay a.bvh => --overlay a.bvh; accepted .mp4
capture old.gif -o a.npz --overlay old.gif => --overlay old.gif; accepted .mp4
capture old.gif -o a.npz --poses fast => no pose estimator called fast; mediapipe
capture -o a.npz => no FILM; accepted one of FILM and --camera
capture old.gif --camera 0 -o a.npz => FILM and --camera; accepted one
capture old.gif -o a.npz --vmc 127.0.0.1 => --vmc; accepted with --camera
capture --camera 0 => no -o FILE; accepted
capture --camera 0 --vmc 127.0.0.1 => a face is sent; accepted with --face
capture --camera x -o a.npz => --camera x; accepted the number of a camera
capture --camera 98 -o a.npz => /dev/video98: no camera that can be opened; accepted --camera
capture --camera 0 --seconds 0 -o a.npz => --seconds 0; 1 to 3600
capture old.gif --face -o a.bvh => a face cannot be written as .bvh
capture old.gif --face --body -o a.npy => an avatar cannot be written as .npy
data models audio => audio; accepted video-in
export clip.npz clip.npz => clip.npz; same file
export clip.npz a.npz --fps 0 => fps: 0; 1 to 240
data build bvh takes -o store --fps 3_0 => --fps; '3_0' is not a number
export clip.npz a.npz --layout pos7 => pos7; accepted
export clip.npz a.npz --scale 100 => scale; accepted
export clip.npz a.npz --scale -1 => scale: -1; accepted
export clip.npz a.npz --size 1 => size: 1; 16 to 4096
export clip.npz old.bvh a.csv => a body cannot be written as .csv
export clip.npz old.bvh a.npz --scale 100 => a.npz; no option 'scale'
export clip.npz old.bvh a.png --scale 100 => a.png; no option 'scale'
export clip.npz old.npz a.npy --layout smplx => layout; accepted
export clip.npz old.gif a.bvh --size 16 => size; accepted
export face.npz old.json a.vrma --layout beat => layout; accepted
export clip.npz a.bvh ./a.bvh => same output file is named twice
export clip.npz a.bvh folder/../a.bvh => same output file is named twice
export clip.npz a.bvh link.bvh => same output file is named twice
export clip.npz a.npz --up y => clip.npz; up goes with SMPL's .npz
export face.npz a.npz --up z => face.npz; up goes with SMPL's .npz
export clip.npz a.npz --from-fps 30 => clip.npz: --from-fps goes with .amc, .npy
export face.npz a.npz --from-fps 30 => face.npz: --from-fps goes with .amc, .npy, MediaPipe's and kimodo's
export places.npy a.npz --from-fps nan => --from-fps nan; 1 to 1000
export features.npy a.npz --from-fps 30 => features.npy: 30 frames a second; accepted; 20
describe smpl.npz --up x => smpl.npz: up 'x'; accepted z or y
export pack.glb a.npz => pack.glb: 2 animations turn the joints (Walk, Hop/High)
export pack.glb a.npz --animation Run => no animation 'Run'; accepted: Walk, Hop/High
export pack.glb#Run a.npz => no animation 'Run'
export pack.glb#Walk a.npz --animation Walk => the file's name says one already
export clip.npz a.npz --animation Walk => --animation goes with .glb and .gltf
export none.glb#Walk a.npz => no such file
extend clip.npz --seconds 1 -o ./clip.npz => input and output are the same file
extend clip.npz --seconds 1 -o a.json => a body cannot be written as .json
inbetween clip.npz clip.npz --seconds 1 -o ./clip.npz => input and output are the same file
reconstruct clip.npz -o ./clip.npz => input and output are the same file
describe clip.npz face.npz --best-of 3 => face.npz; best_of goes with bodies

eval => run; ls
eval walk => walk; run; ls
eval run no-such-suite => no-such-suite; prompts_known
eval run nowhere.yaml => nowhere.yaml
eval run tokenizer => tokenizer; --data
eval run tokenizer --data nowhere => nowhere; no such folder
eval run prompts_known --model none => prompts_known needs a model; inbetween
eval run requests_fresh --model nearest => answers prompts alone; requests_fresh
eval run prompts_known --model random => --data
eval run prompts_known -o r.txt => r.txt; .json
eval run prompts_known -o /dev/null/r.json => /dev/null; not a folder
eval run families --store nowhere => nowhere
info --model /nowhere => /nowhere
data check nowhere => nowhere; no clip store
data ls nowhere => nowhere; no clip store
data build bvh takes -o store => takes: no clip in it could be used: ; one

actions !!! => signs alone; accepted
actions "" --count 0 => count: 0; 1 to 2000
actions walk --offset -1 => offset: -1; accepted 0 to
actions walk run => run
plan => SCENE is missing; accepted
plan "" => empty text
plan " \t " => empty text
plan LONGLONG => characters; accepted at most
plan "a nurse \x1b[2J rests" => control characters
plan "Eine müde Krankenschwester beendet ihre Schicht" => accepted English
plan 男孩在雪地里玩耍 => accepted English
plan @scenes.txt => scenes.txt, scene 2:
plan "A nurse rests." --activities 0 => activities: 0; 1 to 50
plan "A nurse rests." --activities many => --activities
plan "A nurse rests." --temperature -1 => temperature: -1; 0 to 2
plan "A nurse rests." --temperature nan => temperature: nan
plan "A nurse rests." --planner gpt => 'gpt'; accepted: retrieval
plan "A nurse rests." --activity resting => --activity goes with --task
plan "A nurse rests." --task steps_to_activities => did you mean 'steps_to_activity'
plan --task steps_to_activity => steps is needed
plan --task steps_to_activity --steps ";" => no words
plan --task steps_to_activity --steps "she sits" --activities 2 => --activities goes with
plan --task steps_to_activity --steps "she sits" --scene "A nurse rests." => does not take scene
plan "A nurse rests." --task scene_to_activity --scene "A nurse rests." => accepted one of them
plan @nowhere.txt => nowhere.txt
plan "A nurse rests." --llm gpt => gguf:FILE
plan "A nurse rests." --llm http://127.0.0.1:1/v1 --llm-limits second=1 => did you mean 'seconds'
plan "A nurse rests." --llm http://127.0.0.1:1/v1 --llm-limits tokens=1_000 => '1_000'; accepted

face -o a.csv => nothing to do; accepted text, emotion, sound
face missing.wav -o a.csv => missing.wav; no such file
face bad.wav -o a.csv => bad.wav; not a sound file
face talk.wav --seconds 2 -o a.csv => seconds: accepted without sound
face talk.wav --model none -o a.csv => no driver weights; scripts/train.py driver
face --emotion hapy -o a.csv => did you mean happy
face --emotion happy:1.5 -o a.csv => 1.5; 0 to 1
face --emotion 0:calm,3:angry,2:sad -o a.csv => second 2 after 3; rising
face --emotion 0:calm,angry -o a.csv => 'angry' has no second
face --emotion 0:calm,9:angry --seconds 4 -o a.csv => second 9; 0 to 4
face --emotion happy:lots -o a.csv => 'lots'; 0..1
face --emotion nan:happy -o a.csv => nan; second
face --emotion "" -o a.csv => accepted
face --emotion happy --idle 4 -o a.csv => idle: 4
face --emotion 0:calm,2:angry --by language -o a.csv => one feeling
face --emotion sad+angry --by language -o a.csv => one feeling
face --text "nod \udcff" -o a.csv => not UTF-8
face --text "   " -o a.csv => empty text
face --text wink --gain jawOpen -o a.csv => SHAPE=NUMBER
face --text wink --gain jawOpn=1 -o a.csv => did you mean jawOpen
face --text wink --gain jawOpen=1_0 -o a.csv => SHAPE=NUMBER
face --emotion happy:0_1 -o a.csv => '0_1' is not an intensity
face --text wink --offset jawOpen=nan -o a.csv => SHAPE=NUMBER
face --text wink --seconds 0 -o a.csv => seconds: 0
face --text wink --lips real -o a.csv => lips: 'real'; rule; recorded
face --text wink --lips recorded -o a.csv => follows sound
face --text wink --symmetry 2 -o a.csv => symmetry: 2; 0 to 1
face --text wink -o a.bvh => .bvh; .vrma
face --text wink -o a.xyz => .xyz
face --text wink -o a => written as a;; .vrma
face --text wink --by magic -o a.csv => --by magic; driver, language
face --text wink --emotion sad --by language -o a.csv => --by language; alone
face --text wink --model nowhere -o a.csv => --model nowhere; no such folder
face --text wink --size 64 -o a.csv -o a.json => --size 64; .mp4
face --text wink --layout bet -o a.csv -o a.json => a.json; beat
face --text wink --layout beat -o a.csv => --layout beat; BlendShapeCount
face --text @101.txt -o a.csv -o a.png => 101 clips; 1 to 100
face --text @wink.csv -o wink.csv => input and output are the same
face --text wink --score score.json -o a.csv => --score; one of them
face --by language --score score.json -o a.csv => --score; --by driver
face --score score.json -o score.json => input and output are the same
face --score surrogate.json -o a.vrma => accepted UTF-8 text

face => no -o FILE
face - --live-link host:99999 => accepted 1 to 65535
face - --live-link "a b" => accepted HOST
face - --live-link 8000 => accepted HOST[:PORT]
face - --websocket http => accepted [HOST:]PORT
face - --websocket ٨٠٨٠ => accepted [HOST:]PORT
face --live-link 127.0.0.1 => one of AUDIO
face - --microphone default => one of AUDIO
face - --live-link 127.0.0.1 --smooth 0.1 => needs the whole clip
face - --live-link 127.0.0.1 --seconds 3 => no --seconds
face - --live-link 127.0.0.1 --rate 10 => accepted: whole numbers
face - --live-link 127.0.0.1 --subject "" => accepted 1 to 64
face - --live-link 127.0.0.1 --allow-network => --allow-network: accepted with --websocket
face --text smile --live-link 127.0.0.1 --lips recorded => follows sound
face talk.wav --rate 48000 -o a.csv => --rate 48000: accepted with - and --microphone
face talk.wav --rate 0 --live-link 127.0.0.1 => --rate 0: accepted with
face - --subject Ada -o a.csv => --subject Ada: accepted with --websocket, or --live-link
face - --vmc host:0 => accepted 1 to 65535
face --vmc 127.0.0.1 => one of AUDIO
face - --origin https://a.org -o a.csv => --origin https://a.org: accepted with --websocket
face - --websocket 8765 --origin * => --origin *: accepted SCHEME://HOST[:PORT]
face - -o a.csv => no sound came
face - --text @two.txt -o a.csv => 2 texts; one where it is live
face - --score two.json -o a.csv => --score; two.json: 2 scores; one where it is live

gesture => one of AUDIO, - and --microphone
gesture - --microphone default => one of AUDIO, - and --microphone
gesture talk.wav => no -o FILE
gesture - --interlocutor b.wav -o a.npz => --interlocutor b.wav: accepted with AUDIO, a file
gesture - --asr base -o a.npz => --asr base: accepted with AUDIO, a file
gesture - --transcript "good morning" -o a.npz => cannot be laid along sound that has not come
gesture talk.wav --rate 8000 -o a.npz => --rate 8000: accepted with - and --microphone
gesture - --subject Ada -o a.npz => --subject Ada: accepted with --websocket
gesture - --allow-network -o a.npz => --allow-network: accepted with --websocket
gesture talk.wav --interlocutor long.wav -o a.npz => the interlocutor's sound lasts; within 0.5 s
gesture talk.wav --interlocutor-transcript hello -o a.npz => accepted with interlocutor
gesture talk.wav --transcript hello --asr base -o a.npz => accepted without --transcript
gesture talk.wav --asr base -o a.npz => faster-whisper is not installed
gesture talk.wav --speaker carl -o a.npz => no speaker 'carl'; accepted: anna, bert
gesture talk.wav --head arms -o a.npz => head: 'arms'; codes; features
gesture talk.wav --temperature 3 -o a.npz => accepted 0 to 2
gesture talk.wav --energy 3 -o a.npz => energy: 3; accepted 0.2 to 2
gesture talk.wav --semantic 2 -o a.npz => semantic: 2; accepted 0 to 1
gesture talk.wav --cue big -o a.npz => cue 'big'; accepted: WORD=GESTURE
gesture talk.wav --size 64 -o a.npz => none of the output files is a film
gesture talk.wav -o talk.wav => cannot be written as .wav
gesture no.wav -o a.npz => no.wav
gesture talk.wav --model none -o a.npz => no gesture network

speak no.wav -o a.glb => no.wav; no such file
speak talk.wav -o a.npy => an avatar cannot be written as .npy; .glb
speak talk.wav -o a.glb --body no.npz => no.npz; no such file
speak talk.wav -o a.glb --body a.glb => input and output are the same file
speak talk.wav -o a.glb --body face.npz => face.npz: a face; accepted a body
speak talk.wav -o a.glb --layout arkit => --layout arkit; .vrma
speak talk.wav -o a.glb --size 64 => --size 64; .mp4
speak talk.wav -o a.glb --speaker zoe => zoe; anna, bert
speak talk.wav -o a.glb --idle 9 => idle: 9; 0 to 3
speak talk.wav -o a.glb --text @list.txt => --text @list.txt; one instruction
speak talk.wav -o a.glb --interlocutor-transcript yes => accepted with interlocutor
speak talk.wav -o a.glb --asr off --transcript "good morning" => --asr off; without --transcript

align talk.wav => accepted TRANSCRIPT, or --asr MODEL
align talk.wav hello --asr base => accepted TRANSCRIPT, or --asr MODEL
align talk.wav hello --aligner kaldi => accepted auto, pocketsphinx, network
align talk.wav hello -o a.npz => .TextGrid, .ctm, .srt, .vtt, .json
align no.wav hello => no such file
align talk.wav @no.txt => accepted: a text file
align talk.wav t.json => JSON without words
align talk.wav t.json -o t.json => the same file
"""
ROWS = [line.split(" => ") for line in TABLE.splitlines() if line]
SCORES = {
    "not json": "not JSON",
    "[" * 100_000: "not JSON",
    "3": "accepted a score",
    "[]": "accepted a score",
    '{"results": [{"text": "wave"}]}': "accepted a score",
    '{"events": []}': "score 1: no 'length'; accepted text, kind, length",
    '{"length": 2, "emotions": []}': "score 1: unknown 'emotions'",
    '{"length": 2, "events": {}}': "events {}; accepted a list",
    '{"length": 2, "events": ["nod"]}': "event 1: accepted {action, start",
    '{"length": 2, "events": [{"action": "nod", "start": 0}]}': "event 1: no 'duration'",
    '{"length": 2, "events": [{"action": "nod", "start": 0, "duration": 1, "repeats": 2}]}': "unknown 'repeats'",
    '{"length": 2, "events": [{"action": "nod", "start": 0, "duration": 1, "repeat": 2.5}]}': "a whole number",
    '{"length": 2, "events": [{"action": "nod", "start": 0, "duration": 1, "intensity": true}]}': "a number",
    '{"length": 2, "emotion": "happy"}': "emotion 'happy'; accepted a list",
    '{"length": 2, "events": [{"action": "winc_left", "start": 0, "duration": 1}]}': "did you mean 'wink_left'",
    '{"length": 2, "events": [{"action": "nod", "start": 5, "duration": 1}]}': "inside 2.0 s",
}
BVH_CHANGES = {
    "tail": (r"JOINT \S*(left_knee|l_knee|LeftLeg|LeftKnee)\b", "JOINT tail"),
    "nan": (r"(?s)(Frame Time: [^\n]*\n\S+ )\S+", r"\1nan"),
    "none": (r"(?s)Frames: *\d+(\nFrame Time: [^\n]*\n).*", r"Frames: 0\1"),
    "single": (r"(?s)Frames: *\d+(\nFrame Time: [^\n]*\n[^\n]*\n).*", r"Frames: 1\1"),
    "cut": (r"(?s)(Frame Time: [^\n]*\n[^\n]*\n).*", r"\1"),
    "still": (r"Frame Time: \S+", "Frame Time: 0"),
}
FILES = {
    "missing.npz": "no such file", "empty.npz": "", "cut.npz": "", "x.exe": "accepted .amc", "empty.bvh": "",
    "root.bvh": "", "nan.npz": "frame 7", "less.npz": "rotations",
    **{f"{name}.bvh": "" for name in BVH_CHANGES},
    **{f"pipe.{s}": "not a regular file" for s in ("npz", "bvh", "glb", "npy", "csv", "vrma", "json")},
}  # fmt: skip
COMMANDS = ("describe {}", "reconstruct {} -o a.npz", "extend {} --seconds 1 -o a.npz", "export {} a.npz",
            "inbetween {} {} --seconds 1 -o a.npz")  # fmt: skip


@pytest.fixture(scope="session")
def inputs(avatar_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good and bad files; tests add nothing to it."""
    folder = tmp_path_factory.mktemp("inputs")
    event = '{"length": 2, "events": [{"action": "nod", "start": 0, "duration": 1}]}'
    texts = {
        "file.txt": "text", "many": "", "empty.txt": "", "blank.txt": " \n\n", "dots.txt": "walk\n...\n",
        "one.csv": "0,0\n", "letters.csv": "a,b\n", "nan.csv": "nan,2\n", "underscore.csv": "1,2\n1_0,2\n",
        "arabic.csv": "٣,٤\n", "far.csv": "0,1000000\n", "long.csv": "0,700\n0,0\n",
        "101.txt": "smile\n" * 101, "two.txt": "wink\nsmile\n",
        "scenes.txt": "A nurse rests.\nUn garçon joue dans la neige\n", "wink.csv": "wink\n", "t.json": "{}",
        "score.json": event, "two.json": f"[{event}, {event}]", "surrogate.json": r'{"length": 1, "text": "\ud800 x"}',
        "bad.wav": "RIFF no sound at all", "empty.npz": "", "cut.npz": "PK\3\4 truncated", "x.exe": "MZ",
        "empty.bvh": "", "old.bvh": "old", "old.npz": "old", "old.gif": "old", "old.json": "old",
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "latin.txt").write_bytes(b"walk\n\xff\xfe\n")
    (folder / "link.bvh").symlink_to("a.bvh")
    for name in ("folder", "none", "takes"):
        (folder / name).mkdir()
    for name in ("one", "two"):
        (folder / "takes" / f"{name}.bvh").write_text("HIERARCHY")
    clip = walk(2.0, caption="a person walks")
    for name, options in (("clip.npz", {}), ("clip.bvh", {}), ("features.npy", {}), ("smpl.npz", {"layout": "smplx"}),
                          ("places.npy", {"layout": "pos7"})):  # fmt: skip
        export.save(clip, folder / name, **options)
    FaceMotion(np.zeros((3, 52)), np.zeros((3, 3))).save(folder / "face.npz")
    rigs = {name: as_rig(motion(8), CONVENTIONS["unreal"]) for name in ("Walk", "Hop/High")}
    GltfFile(rigs).save(folder / "pack.glb")
    hum(folder / "talk.wav")
    hum(folder / "long.wav", 3.0)
    with np.load(folder / "clip.npz") as arrays:
        values = dict(arrays)
    bad = values["rotations"].copy()
    bad[7, 3] = np.nan
    np.savez(folder / "nan.npz", **(values | {"rotations": bad}))
    np.savez(folder / "less.npz", **{k: v for k, v in values.items() if k != "rotations"})
    text = (folder / "clip.bvh").read_text()
    for name, (pattern, replacement) in BVH_CHANGES.items():
        damaged = re.sub(pattern, replacement, text, count=1)
        assert damaged != text
        (folder / f"{name}.bvh").write_text(damaged)
    end = "  End Site\n  {\n    OFFSET 0 1 0\n  }\n}\n"
    channels = "  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation\n"
    (folder / "root.bvh").write_text(
        "HIERARCHY\nROOT Hips\n{\n  OFFSET 0 0 0\n" + channels + end
        + "MOTION\nFrames: 2\nFrame Time: 0.05\n0 1 0 0 0 0\n0 1 0 0 0 0\n"
    )  # fmt: skip
    for name in FILES:
        if name.startswith("pipe"):
            os.mkfifo(folder / name)
    shutil.copytree(avatar_weights, folder / "weights")
    return folder


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.lstat().st_size, p.lstat().st_mtime_ns) for p in folder.rglob("*") if not p.is_dir()}


@pytest.fixture
def refuses(cli, fake, inputs, monkeypatch):
    """Run a command line in the folder of `inputs`; it must be refused with words, and leave and load nothing."""
    monkeypatch.chdir(inputs)
    monkeypatch.setattr("sys.stdin", Pipe(b""))
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    monkeypatch.setattr("avatargpt.gesture.pipeline.word_encoder", lambda name: Spelling())

    def run(line: str, *expected: str) -> None:
        before = _state(inputs)
        argv = [a.replace("LONG", ("walk " * 500).strip()) for a in shlex.split(line)]
        if argv[:1] and argv[0] in ("face", "gesture", "speak") and "--model" not in argv:
            argv += ["--model", "weights"]
        cli(*argv).refused(*expected)
        assert _state(inputs) == before and fake.loads == []

    return run


@pytest.mark.parametrize(("line", "expected"), ROWS, ids=[line for line, _ in ROWS])
def test_mistakes(refuses, line, expected):
    refuses(line, *(word.strip() for word in expected.split("; ")))


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", "nonsense:1"])
def test_devices_that_are_not_here(cli, tmp_path: Path, device: str) -> None:
    result = cli("generate", "a person waves", "--device", device, "-o", tmp_path / "a.npz")
    result.refused(f"device {device}", "accepted here: cpu")


@pytest.mark.parametrize("text", SCORES)
def test_files_that_are_no_scores(cli, tmp_path: Path, text: str) -> None:
    file = tmp_path / "s.json"
    file.write_text(text)
    cli("face", "--score", file, "-o", tmp_path / "a.npz").refused(str(file), *SCORES[text].split("; "))
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize("name", FILES)
def test_files_that_hold_no_motion(refuses, name):
    for command in COMMANDS:
        refuses(command.format(name, name), name, FILES[name])


def test_what_was_written_goes_when_a_later_output_fails(cli, fake, tmp_path, monkeypatch):
    save = export.save

    def full(motion, path, **options):
        if Path(path).name == "01.npz":
            raise UserError(f"cannot write {path}: No space left on device")
        return save(motion, path, **options)

    monkeypatch.setattr(export, "save", full)
    cli("generate", "walk", "-n", 2, "-q", "-o", tmp_path / "x.npz").refused("01.npz", "No space left")
    assert not list(tmp_path.iterdir())


def test_an_older_file_outlives_an_output_that_fails(cli, clip: Path, tmp_path: Path, monkeypatch) -> None:
    older, fresh, last = (tmp_path / f"{name}.bvh" for name in ("older", "fresh", "last"))
    older.write_text("older")
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if target == last:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    cli("export", clip, older, fresh, last).refused("cannot write", "No space left")
    assert older.exists() and not fresh.exists()


def test_unwritable_folder(cli, fake, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *a, **k: False)  # root may write anywhere
    cli("generate", "walk", "-o", tmp_path / "new" / "a.npz").refused(str(tmp_path), "permission")
    assert not list(tmp_path.iterdir()) and fake.loads == []


def test_a_stdin_that_is_closed(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    cli("face", "-", "-o", tmp_path / "x.csv", "--model", tmp_path).refused("stdin is closed", "16 bit mono PCM")
