"""The model that a training begins with: a base model with a new head, or one from scratch."""

from pathlib import Path

import torch
import transformers
from transformers import PreTrainedModel

from utils.constants import Profile
from utils.errors import UserError
from utils.model import checkpoints, configs, feeding, names, tensors
from utils.model.families import FROM_SCRATCH, Family

BASE_MODEL_FILES = [
    "config.json", "preprocessor_config.json", "model*.safetensors*", *configs.TOKENIZER_FILES,
]  # fmt: skip
# Some models of the hub have no other weights.
OLD_WEIGHTS = ["pytorch_model*.bin*"]


def build_model(
    profile: Profile, base_model: str | None, classes: list[str]
) -> tuple[PreTrainedModel, feeding.Feed]:
    """A classifier of `classes`, from scratch or from a base model, float32; how it is fed."""
    labels = {
        "num_labels": len(classes),
        "id2label": dict(enumerate(classes)),
        "label2id": {name: number for number, name in enumerate(classes)},
    }
    if base_model is None:
        return from_scratch(profile, labels)
    folder = fetch_base_model(base_model)
    family = configs.family_of(configs.read_config(folder))
    tensors.weight_files(folder)
    model, report = read_base(folder, family, labels)
    require_whole_body(folder, family, report)
    return model, feeding.load_feed(folder, model.config, profile)


def from_scratch(profile: Profile, labels: dict) -> tuple[PreTrainedModel, feeding.Feed]:
    try:
        config = getattr(transformers, FROM_SCRATCH.config_class)(**profile.vit_config, **labels)
        model = getattr(transformers, FROM_SCRATCH.classifier)(config)
        return model, feeding.Pictures(None, config)
    except Exception as error:  # transformers and torch raise whatever they stumble over
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"vit_config in utils/constants.py makes no ViT ({type(error).__name__}: "
            f"{reason}); correct it"
        ) from None


def read_base(folder: Path, family: Family, labels: dict) -> tuple[PreTrainedModel, dict]:
    """The classifier with the base model's weights, and what transformers says of them."""
    try:
        return getattr(transformers, family.classifier).from_pretrained(
            **checkpoints.source_of(folder, classifier=False, problem_type=None, **labels),
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            output_loading_info=True,
            local_files_only=True,
            weights_only=True,
            attn_implementation="sdpa",  # a config.json may name code on the hub here
        )
    except UserError as error:
        raise UserError(f"the base model cannot be used: {error}") from None
    except Exception as error:  # on broken folders transformers raises whatever it meets
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"the base model {folder} cannot be read ({reason}); copy it again"
        ) from None


def require_whole_body(folder: Path, family: Family, report: dict) -> None:
    """Refuse a base model without weights of its body, or with some that it does not have."""
    absent = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}
    new = tuple(f"{each.name}." for each in family.head)
    absent = sorted(name for name in absent if not name.startswith(new))
    if absent:
        raise UserError(
            f"the base model {folder} does not have the weights its config.json asks for "
            f"({absent[0]} and {len(absent) - 1} more); copy it again"
        )
    strange = [name for name in report["unexpected_keys"] if not is_left_behind(family, name)]
    if strange:
        raise UserError(
            f"the base model {folder} has the tensor {sorted(strange)[0]}, which a "
            f"{family.classifier} does not have; {configs.MERGE}, or give the plain model"
        )


def is_left_behind(family: Family, name: str) -> bool:
    """Whether a tensor of a base model is of its head or a buffer, which a training leaves out."""
    if names.is_passed_over(name) or name.endswith("mask_token"):
        return True
    return name.removeprefix(f"{family.body}.").partition(".")[0] not in family.of_body


def fetch_base_model(base_model: str) -> Path:
    """The folder of a base model, fetched from the hub unless it is one already."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    if Path(base_model).is_dir():
        return Path(base_model)
    try:
        folder = Path(snapshot_download(base_model, allow_patterns=BASE_MODEL_FILES))
        if not any(folder.glob("model*.safetensors")):
            snapshot_download(base_model, allow_patterns=OLD_WEIGHTS)
        return folder
    except HFValidationError:
        raise UserError(
            f"base model {base_model} is neither a folder nor a name on the hub; "
            "give --base-model a folder with config.json and model.safetensors"
        ) from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        name = Path(base_model).name
        raise UserError(
            f"base model {base_model} cannot be fetched ({reason}); where there is a network run "
            f"`hf download {base_model} --local-dir {name}`, "
            f"copy that folder here and add --base-model {name}"
        ) from None
