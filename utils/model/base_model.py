"""The model that a training begins with: a base model with a new head, or one from scratch."""

from pathlib import Path

import torch
from transformers import ViTConfig, ViTForImageClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from utils.constants import Profile
from utils.data import images
from utils.errors import UserError
from utils.model import checkpoints, configs, tensors, vit_names

# What the names of a ViT's own tensors begin with, below `vit.` or without it.
BACKBONE = ("embeddings", "encoder", "layers", "layernorm", "base_model")
BASE_MODEL_FILES = ["config.json", "preprocessor_config.json", "model*.safetensors*"]


def build_model(
    profile: Profile, base_model: str | None, names: list[str]
) -> tuple[ViTForImageClassification, ViTImageProcessorPil]:
    """A classifier of the classes `names`, from scratch or from a base model, float32."""
    labels = {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
    }
    if base_model is None:
        try:
            config = ViTConfig(**profile.vit_config, **labels)
            return ViTForImageClassification(config), images.default_processor(config)
        except Exception as error:  # transformers and torch raise whatever they stumble over
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"vit_config in utils/constants.py makes no ViT ({type(error).__name__}: "
                f"{reason}); correct it"
            ) from None
    folder = fetch_base_model(base_model)
    configs.read_config(folder)
    tensors.weight_files(folder)
    try:
        model, report = ViTForImageClassification.from_pretrained(
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
    absent = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}
    absent = sorted(name for name in absent if not name.startswith("classifier."))
    if absent:
        raise UserError(
            f"the base model {folder} does not have the weights its config.json asks for "
            f"({absent[0]} and {len(absent) - 1} more); copy it again"
        )
    strange = [name for name in report["unexpected_keys"] if not is_left_behind(name)]
    if strange:
        raise UserError(
            f"the base model {folder} has the tensor {sorted(strange)[0]}, which a ViT does not "
            f"have; {configs.MERGE}, or give the plain model"
        )
    return model, images.load_processor(folder, model.config)


def is_left_behind(name: str) -> bool:
    """Whether a tensor of a base model is of its head or a buffer, which a training leaves out."""
    if vit_names.is_passed_over(name) or name.endswith("mask_token"):
        return True
    return name.removeprefix("vit.").partition(".")[0] not in BACKBONE


def fetch_base_model(base_model: str) -> Path:
    """The folder of a base model, fetched from the hub unless it is one already."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    if Path(base_model).is_dir():
        return Path(base_model)
    try:
        return Path(snapshot_download(base_model, allow_patterns=BASE_MODEL_FILES))
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
