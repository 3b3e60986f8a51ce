"""Which score files are taken for a user's."""

from pathlib import Path

import pytest

from utils.judge.rankings import users


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("weight_mine_score.npy", ("weight", "mine")),
        ("neuron_my_method_score.npy", ("neuron", "my_method")),
        ("weight_vdiff+mean_act_score.npy", ("weight", "vdiff+mean_act")),
        ("weight_mine_n96_score.npy", ("weight", "mine_n96")),
        ("weight_mine_ranking.npy", None),
        ("layer_mine_score.npy", None),
        ("weight_score.npy", None),
        ("weight__score.npy", None),
        ("weights_mine_score.npy", None),
    ],
)
def test_a_users_file_is_known_by_its_name(name, expected):
    assert users.user_method(Path("somewhere") / name) == expected
