"""An episode becomes a small GIF that shows what happened."""

from collections.abc import Sequence
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from minigrid.core.actions import Actions
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from polyray.envs.minigrid import video
from polyray.envs.minigrid.bot import Bot
from polyray.envs.minigrid.single import BabyAIEnv
from polyray.envs.minigrid.video import episode_frames, record
from polyray.errors import InputError

pytestmark = pytest.mark.agents  # compiles for some ten seconds at first


def bot_frames() -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """Frames of an episode that the bot plays."""
    env = BabyAIEnv("GoToLocal", render_mode="rgb_array")
    env.reset(seed=0)
    bot = Bot(env.world())
    script = []
    while True:
        script.append(bot.act())
        if any(env.step(script[-1])[2:4]):
            break
    remaining = iter(script)
    frames = episode_frames(env, lambda observation: next(remaining), 0)
    assert len(frames) == 3 + len(script) + 8  # the start, every step, the result
    return frames


def captions(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Lines that are written below pictures from now on, a list a frame."""
    written = list[list[str]]()
    drawn = video._captioned

    def captioned(frame: video.Frame, paragraphs: Sequence[tuple[str, video.Colour]]) -> video.Frame:
        written.append([text for text, _ in paragraphs])
        return drawn(frame, paragraphs)

    monkeypatch.setattr(video, "_captioned", captioned)
    return written


def test_captions_say_mission_step_action_and_success(monkeypatch: pytest.MonkeyPatch) -> None:
    written, env = captions(monkeypatch), BabyAIEnv("GoToRedBallNoDists", render_mode="rgb_array")
    env.reset(seed=0)
    bot, script = Bot(env.world()), list[int]()
    while not script or not env.step(script[-1])[2]:
        script.append(bot.act())
    actions = iter(script)
    frames = episode_frames(env, lambda observation: next(actions), 0)
    assert {mission for mission, _ in written} == {"go to the red ball"}
    steps = [f"step {k} of 64: {Actions(action).name}" for k, action in enumerate(script, 1)]
    result = f"success after {len(script)} steps, reward {1 - 0.9 * len(script) / 64:.2f}"
    assert [status for _, status in written] == ["at most 64 steps", *steps, *[result] * 8]
    assert len({frame.tobytes() for frame in frames[-8:]}) == 2, "the result blinks"


def test_an_episode_without_success_says_why_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    written = captions(monkeypatch)
    for limit, cut, expected in (
        (2, 9, "no success: out of time after 2 steps"), (None, 3, "cut after 3 steps")
    ):  # fmt: skip
        env = BabyAIEnv("GoToLocal", render_mode="rgb_array", max_steps=limit)
        episode_frames(env, lambda observation: 6, 1, max_steps=cut)
        assert written[-1][1] == expected


def test_a_long_mission_is_broken_into_lines_of_a_small_picture(tmp_path: Path) -> None:
    mission = "put a red ball in front of you next to the grey key behind you, then go to the red door"
    with Image.open(record([np.zeros((64, 64, 3), np.uint8)], tmp_path / "a.gif", caption=mission)) as film:
        drawn = np.asarray(film.convert("L"))
    lines = [drawn[64 + 16 * number : 80 + 16 * number] for number in range(2)]
    assert all(line.any() for line in lines) and not drawn[64:, -4:].any() and drawn.shape[1] == 256


def test_a_gif_shows_every_frame_as_it_was_drawn_and_is_small(tmp_path: Path) -> None:
    frames = bot_frames()[2:]  # a GIF holds equal frames once
    path = record(frames, tmp_path / "videos" / "episode.gif", fps=10)
    with Image.open(path) as film:
        assert isinstance(film, GifImageFile) and film.n_frames == len(frames)
        assert film.info["duration"] == 100
        for number, frame in enumerate(frames):
            film.seek(number)
            assert np.array_equal(np.asarray(film.convert("RGB")), frame)
    assert path.stat().st_size < 4000 * len(frames)
    assert record(frames, tmp_path / "again.gif", fps=10).read_bytes() == path.read_bytes()


def test_a_caption_stands_below_the_picture(tmp_path: Path) -> None:
    frame = np.zeros((64, 160, 3), np.uint8)
    with Image.open(record([frame, frame + 9], tmp_path / "captioned.gif", caption="go to the red ball")) as film:
        drawn = np.asarray(film.convert("RGB"))
    assert drawn.shape[0] > 64 and not drawn[:64].any() and drawn[64:].any()


def test_more_colours_than_a_gif_holds_are_approximated(tmp_path: Path) -> None:
    shades = np.arange(40 * 40 * 3, dtype=np.uint32).reshape(40, 40, 3)
    frame = (shades % 251).astype(np.uint8)
    with Image.open(record([frame], tmp_path / "colourful.gif")) as film:
        difference = np.asarray(film.convert("RGB")).astype(int) - frame
    assert np.abs(difference).mean() < 12


def test_a_video_is_cut_after_the_steps_asked_for() -> None:
    env = gymnasium.make("polyray/BabyAI-GoToLocal-v0", render_mode="rgb_array")
    assert len(episode_frames(env, lambda observation: 6, 1, max_steps=5)) == 3 + 5 + 8


def test_wrong_input_is_answered_with_what_would_be_right(tmp_path: Path) -> None:
    frame = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(InputError, match=r"film.mp4 does not end in .gif"):
        record([frame], tmp_path / "film.mp4")
    with pytest.raises(InputError, match="no frame at all"):
        record([], tmp_path / "film.gif")
    with pytest.raises(InputError, match=r"frames of one shape; found \[\(8, 8, 3\), \(9, 8, 3\)\]"):
        record([frame, np.zeros((9, 8, 3), np.uint8)], tmp_path / "film.gif")
    with pytest.raises(InputError, match='make it with render_mode="rgb_array"'):
        episode_frames(BabyAIEnv("GoToLocal"), lambda observation: 0, 0)
