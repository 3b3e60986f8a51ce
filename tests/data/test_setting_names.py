"""One order of settings everywhere, whichever fold lacks one of them."""

import random

from utils.data.setting_names import in_order

EVERY = ["all"] + [
    f"{kind}_top{rank}" for kind in ("src_tgt", "tgt", "tgt_fp", "tgt_fn") for rank in range(1, 12)
]


def test_settings_stand_as_settings_csv_has_them():
    for seed in range(5):
        mixed = random.Random(seed).sample(EVERY, len(EVERY))
        assert in_order([*mixed, *mixed]) == EVERY
    assert in_order(["mine", "tgt_top1", "all"]) == ["all", "tgt_top1", "mine"]
    assert in_order([]) == []
