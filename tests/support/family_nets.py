"""A tiny random classifier of every family, what it is fed, and its names written out by hand."""

import copy
from dataclasses import dataclass

import numpy as np
import torch

WORDS = tuple(f"w{i}" for i in range(40))
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
VOCABULARY = len(WORDS) + len(SPECIAL)
LONGEST = 12  # tokens that the text models have positions for
PAD, UNKNOWN, CLS, SEP = range(4)

_SIZES = {
    "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
}  # fmt: skip
_PICTURE = _SIZES | {"image_size": 4, "patch_size": 2, "num_channels": 1}
_TEXT = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "max_position_embeddings": LONGEST}
_FROM_PADDING = _SIZES | _TEXT | {"max_position_embeddings": LONGEST + PAD + 1}


@dataclass(frozen=True)
class Named:
    """Where a family's parts are in the model that transformers 5.x builds.

    layer : the last one. enters : the part given h. bef, aft : the matrices. leaves : given y.
    config : of a tiny model.
    """

    classifier: str
    config_class: str
    layer: str
    enters: str
    bef: str
    aft: str
    leaves: str
    config: dict


def _vit(name: str, body: str) -> Named:
    layer = f"{body}.layers.1"
    return Named(
        f"{name}ForImageClassification", f"{name}Config", layer, f"{layer}.layernorm_after",
        f"{layer}.mlp.fc1", f"{layer}.mlp.fc2", f"{body}.layernorm", _PICTURE,
    )  # fmt: skip


def _bert(name: str, body: str, config: dict) -> Named:
    layer = f"{body}.encoder.layer.1"
    return Named(
        f"{name}ForSequenceClassification", f"{name}Config", layer, f"{layer}.intermediate",
        f"{layer}.intermediate.dense", f"{layer}.output.dense", f"{layer}.output.LayerNorm", config,
    )  # fmt: skip


NAMED = {
    "vit": _vit("ViT", "vit"),
    "deit": _vit("DeiT", "deit"),
    "vit_msn": _vit("ViTMSN", "vit"),
    "bert": _bert("Bert", "bert", _SIZES | _TEXT),
    "roberta": _bert("Roberta", "roberta", _FROM_PADDING),
    "xlm-roberta": _bert("XLMRoberta", "roberta", _FROM_PADDING),
    "camembert": _bert("Camembert", "roberta", _FROM_PADDING),
    "electra": _bert("Electra", "electra", _SIZES | _TEXT | {"embedding_size": 6}),
    "distilbert": Named(
        "DistilBertForSequenceClassification", "DistilBertConfig",
        "distilbert.transformer.layer.1", "distilbert.transformer.layer.1.ffn",
        "distilbert.transformer.layer.1.ffn.lin1", "distilbert.transformer.layer.1.ffn.lin2",
        "distilbert.transformer.layer.1.output_layer_norm",
        _TEXT | {"dim": 8, "hidden_dim": 12, "n_layers": 2, "n_heads": 2},
    ),
}  # fmt: skip
PICTURES = ("vit", "deit", "vit_msn")
TEXTS = tuple(name for name in NAMED if name not in PICTURES)


def build(name: str, seed: int = 0, classes: int = 3, size: float = 0.5, **config):
    """A classifier whose random weights are far from the small ones of its init."""
    import transformers

    named = NAMED[name]
    made = getattr(transformers, named.config_class)(**named.config | config, num_labels=classes)
    model = getattr(transformers, named.classifier)(made).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor, values in model.named_parameters():
            noise = torch.randn(values.shape, generator=generator)
            is_norm = "norm" in tensor.lower() and tensor.endswith("weight")
            values.copy_(1 + 0.3 * noise if is_norm else size * noise)
    return model


def batch_for(name: str, samples: int = 7, seed: int = 0, pair: bool = False):
    """What a tiny model is fed: pixel_values, or texts of several lengths padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    if name in PICTURES:
        return {"pixel_values": torch.randn(samples, 1, 4, 4, generator=generator)}
    lengths = torch.randint(3, LONGEST + 1, (samples,), generator=generator)
    ids = torch.randint(len(SPECIAL), VOCABULARY, (samples, LONGEST), generator=generator)
    mask = (torch.arange(LONGEST)[None] < lengths[:, None]).long()
    ids[:, 0] = CLS
    ids = torch.where(mask == 1, ids, torch.full_like(ids, PAD))
    found = {"input_ids": ids, "attention_mask": mask}
    if pair and name in ("bert", "electra"):
        found["token_type_ids"] = mask * (torch.arange(LONGEST)[None] >= 2)
    return found


def one(batch: dict, i: int) -> dict:
    """Sample i alone, without padding, for the whole model."""
    few = {key: values[i : i + 1] for key, values in batch.items()}
    if "attention_mask" in few:
        length = int(few.pop("attention_mask").sum())
        few = {key: values[:, :length] for key, values in few.items()}
    return few


class Whole:
    """The whole model in float64, a sample at a time, without padding."""

    def __init__(self, name: str, model, batch: dict) -> None:
        self.named = NAMED[name]
        self.model = copy.deepcopy(model).double().eval()
        self.batch, self.samples = batch, len(next(iter(batch.values())))
        self.bef, self.aft = (
            self.model.get_submodule(place).weight for place in (self.named.bef, self.named.aft)
        )

    def feed(self, i: int) -> dict:
        return {
            key: values.double() if values.is_floating_point() else values
            for key, values in one(self.batch, i).items()
        }

    def logits(self, samples, neurons=None):
        """(I, C) of some samples; `neurons` changes a (1, m) of the first token in place."""

        def change(_, given):
            a = given[0].clone()
            a[:, 0] = neurons(a[:, 0])
            return (a,)

        hooks = []
        if neurons is not None:
            place = self.model.get_submodule(self.named.aft)
            hooks = [place.register_forward_pre_hook(change)]
        found = torch.cat([self.model(**self.feed(int(i))).logits for i in samples])
        for hook in hooks:
            hook.remove()
        return found

    @torch.no_grad()
    def states(self, samples) -> dict[str, np.ndarray]:
        """h, a and y of the first token, and logits."""
        kept = {"h": [], "a": [], "y": [], "logits": []}
        places = {"h": self.named.enters, "a": self.named.aft, "y": self.named.leaves}
        hooks = [
            self.model.get_submodule(place).register_forward_pre_hook(
                lambda _, given, key=key: kept[key].append(given[0][0, 0])
            )
            for key, place in places.items()
        ]
        kept["logits"] += list(self.logits(samples))
        for hook in hooks:
            hook.remove()
        return {key: torch.stack(values).numpy() for key, values in kept.items()}

    def loss(self, samples, labels, neurons=None):
        """Mean cross-entropy."""
        wanted = torch.as_tensor(labels)[torch.as_tensor(samples)]
        return torch.nn.functional.cross_entropy(self.logits(samples, neurons), wanted)
