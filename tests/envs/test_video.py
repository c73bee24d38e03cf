"""An episode becomes a small GIF that shows what happened."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

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
    assert len(frames) == len(script) + 1
    return frames


def test_a_gif_shows_every_frame_as_it_was_drawn_and_is_small(tmp_path: Path) -> None:
    frames = bot_frames()
    path = record(frames, tmp_path / "videos" / "episode.gif", fps=10)
    with Image.open(path) as video:
        assert isinstance(video, GifImageFile) and video.n_frames == len(frames)
        assert video.info["duration"] == 100
        for number, frame in enumerate(frames):
            video.seek(number)
            assert np.array_equal(np.asarray(video.convert("RGB")), frame)
    assert path.stat().st_size < 4000 * len(frames)
    assert record(frames, tmp_path / "again.gif", fps=10).read_bytes() == path.read_bytes()


def test_a_caption_stands_below_the_picture(tmp_path: Path) -> None:
    frame = np.zeros((64, 160, 3), np.uint8)
    with Image.open(record([frame, frame + 9], tmp_path / "captioned.gif", caption="go to the red ball")) as video:
        drawn = np.asarray(video.convert("RGB"))
    assert drawn.shape[0] > 64 and not drawn[:64].any() and drawn[64:].any()


def test_more_colours_than_a_gif_holds_are_approximated(tmp_path: Path) -> None:
    shades = np.arange(40 * 40 * 3, dtype=np.uint32).reshape(40, 40, 3)
    frame = (shades % 251).astype(np.uint8)
    with Image.open(record([frame], tmp_path / "colourful.gif")) as video:
        difference = np.asarray(video.convert("RGB")).astype(int) - frame
    assert np.abs(difference).mean() < 12


def test_a_video_is_cut_after_the_steps_asked_for() -> None:
    env = gymnasium.make("polyray/BabyAI-GoToLocal-v0", render_mode="rgb_array")
    assert len(episode_frames(env, lambda observation: 6, 1, max_steps=5)) == 6


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
