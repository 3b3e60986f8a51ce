"""What a profile of utils/constants.py has to be."""

import dataclasses
import re
from typing import Any

from utils.constants import Profile
from utils.errors import UserError
from utils.run.rules import Rule, is_list_of, is_text, meant, number, or_none, pair_or_one, whole

TEXT: Rule = (is_text, "a name in quotes")
PROFILE_RULES: dict[str, Rule] = {
    "source": (is_text, 'a folder, a name on the hub, or "sklearn"'),
    "base_model": or_none((is_text, "a folder or a name on the hub")),
    "batch_size": whole(1),
    "learning_rate": number(lambda value: value > 0, "a number above 0"),
    "image_column": TEXT,
    "label_column": TEXT,
    "text_column": or_none(TEXT),
    "text_pair_column": or_none(TEXT),
    "test_split": (
        lambda value: is_text(value) and value != "train",
        "the name of the split with the test images",
    ),
    "class_names": (
        lambda value: value in ((), []) or is_list_of(value, is_text),
        'different names, like ("cat", "dog")',
    ),
    "weight_decay": number(lambda value: value >= 0, "a number of at least 0"),
    "epochs": whole(2),
    "repeats_per_epoch": whole(1),
    "cpu_threads": or_none(whole(1)),
    "replays": whole(0),
    "vit_config": (lambda value: isinstance(value, dict), "a dictionary of sizes, like digits'"),
}
SHARE = number(lambda value: 0 <= value < 1, "a number from 0 to below 1")
SIDES: Rule = (
    pair_or_one(lambda value: type(value) is int and value >= 1),
    "a whole number of at least 1, or two of them (height, width)",
)
# The fields of transformers.ViTConfig that shape a ViT.
VIT_RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
         "encoder_stride", "pooler_output_size"],
        whole(1),
    ),
    **dict.fromkeys(["image_size", "patch_size"], SIDES),
    **dict.fromkeys(["hidden_act", "pooler_act"], TEXT),
    **dict.fromkeys(["hidden_dropout_prob", "attention_probs_dropout_prob"], SHARE),
    "num_channels": (lambda value: value in (1, 3), "1 (grey) or 3 (RGB)"),
    "initializer_range": number(lambda value: value > 0, "a number above 0"),
    "layer_norm_eps": number(lambda value: 0 < value < 1, "a number between 0 and 1"),
    "qkv_bias": (lambda value: type(value) is bool, "True or False"),
}  # fmt: skip
VIT_DEFAULTS = {"hidden_size": 768, "num_attention_heads": 12, "image_size": 224, "patch_size": 16}


def check_profiles(profiles: Any) -> None:
    """Refuse PROFILES with a name, a field or a value that cannot be meant."""
    if not isinstance(profiles, dict) or not profiles:
        raise UserError(
            'PROFILES in utils/constants.py has to be a dictionary {"name": Profile(...)}'
        )
    for ds, profile in profiles.items():
        if not isinstance(ds, str) or not re.fullmatch(r"\w[\w.-]*", ds):
            raise UserError(
                f"PROFILES in utils/constants.py has the name {ds!r}; expected letters, digits, "
                "'_', '-' and '.', because folders are called after it"
            )
        check_profile(ds, profile)


def check_profile(ds: str, profile: Any) -> None:
    where = f"the profile {ds} in utils/constants.py"
    if not isinstance(profile, Profile):
        raise UserError(f"{where} is {profile!r}; expected Profile(...)")
    fields = {each.name for each in dataclasses.fields(Profile)}
    check_names(vars(profile), fields, f"of {where} is no field of a profile")
    for name, rule in PROFILE_RULES.items():
        if not hasattr(profile, name):
            raise UserError(f"{where} has no {name}; expected {rule[1]}")
        check_value(getattr(profile, name), rule, f"{name} of {where}")
    if profile.image_column == profile.label_column:
        raise UserError(
            f"image_column and label_column of {where} are both {profile.image_column!r}; "
            "expected two columns"
        )
    if profile.text_pair_column and not profile.text_column:
        raise UserError(
            f"{where} has a text_pair_column and no text_column; name the first text of a pair, too"
        )
    if profile.text_column and not profile.base_model:
        raise UserError(
            f"{where} has texts and no base_model; name the model to fine-tune (base_model)"
        )
    if profile.base_model and profile.vit_config:
        raise UserError(
            f"{where} has a base_model and a vit_config, which is for training from scratch; "
            "expected one of them (base_model=None beside a vit_config)"
        )
    check_vit(profile.vit_config, f"vit_config of {where}")


def check_vit(config: dict[str, Any], where: str) -> None:
    check_names(config, VIT_RULES, f"in {where} is no field of a ViT")
    for name, value in config.items():
        check_value(value, VIT_RULES[name], f"{name} in {where}")
    sizes = VIT_DEFAULTS | config
    if sizes["hidden_size"] % sizes["num_attention_heads"]:
        raise UserError(
            f"hidden_size {sizes['hidden_size']} in {where} cannot be shared by "
            f"{sizes['num_attention_heads']} heads; expected a multiple of num_attention_heads"
        )
    image, patch = (_two(sizes[name]) for name in ("image_size", "patch_size"))
    if image[0] < patch[0] or image[1] < patch[1]:
        raise UserError(
            f"patch_size {sizes['patch_size']} in {where} is larger than image_size "
            f"{sizes['image_size']}; expected patches that fit into the image"
        )


def _two(size: Any) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)


def check_names(given: Any, known: Any, what: str) -> None:
    for name in given:
        if name not in known:
            raise UserError(f"{name} {what}{meant(str(name), known) or '; take it out'}")


def check_value(value: Any, rule: Rule, what: str) -> None:
    fits, wanted = rule
    if not fits(value):
        raise UserError(f"{what} is {value!r}; expected {wanted}")
