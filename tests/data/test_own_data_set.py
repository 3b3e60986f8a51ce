"""docs/data.md, "Your own data set": its lines, as they stand there, take an image folder in."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pipeline
from PIL import Image

from utils.constants import Profile

SECTION = (
    (Path(__file__).resolve().parents[2] / "docs" / "data.md")
    .read_text(encoding="utf-8")
    .partition("## Your own data set\n")[2]
    .partition("\n## ")[0]
)


def make_images(folder: Path) -> None:
    """The page's folder: small colour pictures of three classes."""
    rng = np.random.default_rng(0)
    for split, number in (("train", 20), ("test", 3)):
        for channel, name in enumerate(("rose", "leaf", "sky")):
            target = folder / split / name
            target.mkdir(parents=True)
            for i in range(number):
                pixels = rng.integers(0, 120, (6, 6, 3), dtype=np.uint8)
                pixels[..., channel] += 60
                Image.fromarray(pixels).save(target / f"{i}.png")


def test_the_lines_of_the_page_take_an_image_folder_in(server, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    assert len(code.splitlines()) == 6
    profiles = eval("{" + code + "}", {"Profile": Profile})
    make_images(tmp_path / "flowers")
    # The model of the page is fetched; --base-model puts another one in its place.
    pipeline.make_model(classes=2, num_channels=3).save_pretrained(tmp_path / "base")
    lines = re.findall(r"^    python exp-fl-5-(\d)\.py (.*)$", SECTION, re.MULTILINE)
    assert [step for step, _ in lines] == ["0", "1", "2"]
    for step, options in lines:
        more = ["--base-model", "base"] if step == "0" else []
        done = server.run(
            int(step), tmp_path, *options.split(), "--fold", "0", *more, cwd=str(tmp_path),
            profiles={name: vars(profile) for name, profile in profiles.items()},
        )  # fmt: skip
        assert done.status == 0, done.stderr
    found = pd.read_csv(tmp_path / "exp-fl-5/flowers_fold0/misclf_info/class_metrics.csv")
    assert found["name"].tolist() == ["leaf", "rose", "sky"]
    assert found["support"].sum() == 12
    shown = server.run(1, tmp_path, "--help", profiles={"flowers": vars(profiles["flowers"])})
    assert (
        "c100, tiny-imagenet, digits, fashion, sst2, defects, flowers, or one that you add"
        in " ".join(shown.stdout.split())
    )
