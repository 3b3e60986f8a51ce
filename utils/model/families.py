"""The families of models that can be judged: an entry each, by the model_type of config.json.

A family fits where its last FFN reaches the logits through the state of its first token alone.
Nothing else in the code asks for a family by name. Names are those of tensors in weight files;
of several spellings the first is what transformers 4.x builds and saves, the last what 5.x
builds, any other what 5.x saves. Definitions: docs/definitions.md 16.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from utils.model.halves import LIKE_BERT, LIKE_DISTILBERT, LIKE_VIT, Halves

# What a family is fed.
IMAGE, TEXT = "image", "text"


@dataclass(frozen=True)
class Map:
    """A linear map of the head by its name, and the name of the activation behind it."""

    name: str
    activation: str | None = None


@dataclass(frozen=True)
class Keys:
    """What a config.json calls d, m, the layers, the heads, the activation and the norms' ε.

    eps : None where it is no entry of the config; it is 1e-12 then.
    """

    d: str = "hidden_size"
    m: str = "intermediate_size"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    activation: str = "hidden_act"
    eps: str | None = "layer_norm_eps"


@dataclass(frozen=True, eq=False)
class Family:
    """How the models of one model_type are built.

    classifier, config_class : of transformers.
    feeds : IMAGE or TEXT.
    body : the part of the classifier without the head. of_body : what its own parts are called.
    layer : where layer {} stands, in all spellings.
    parts : of a layer, all with weight and bias: first spelling to last.
    bef, aft, norm : the parts that are W_bef, W_aft and the norm of the FFN, first spelling.
    norm_first : pre-LN (u is the norm of h) or post-LN (u is h, and the norm follows y).
    enters : the module of a layer that is given h.
    final_norm : between the last layer and the head; None where there is no other than `norm`.
    outside : tensors that belong to no layer, no final norm and no head.
    head : the linear maps behind the last norm; the last one gives the logits.
    keys : names in config.json. shared : entries that M1 and M2 share, and what the class of
        transformers takes where a file is silent. d and m are none: every config.json says them.
    must_be : entries that have to be so, or absent.
    biases_if : an entry that switches off the biases of some parts, and those parts.
    positions_from_padding : whether positions are counted from behind the padding token's number.
    halves : of a layer.
    """

    model_type: str
    classifier: str
    config_class: str
    feeds: str
    body: str
    of_body: tuple[str, ...]
    layer: tuple[str, ...]
    parts: Mapping[str, str]
    bef: str
    aft: str
    norm: str
    norm_first: bool
    enters: str
    final_norm: str | None
    outside: tuple[str, ...]
    head: tuple[Map, ...]
    halves: Halves
    shared: Mapping[str, Any]
    keys: Keys = Keys()
    must_be: Mapping[str, Any] = field(default_factory=dict)
    biases_if: tuple[str, tuple[str, ...]] | None = None
    positions_from_padding: bool = False

    def layer_module(self, number: int) -> str:
        """The module that is layer `number`, as transformers 5.x builds it."""
        return self.layer[-1].format(number)

    def entering(self, number: int) -> str:
        """The module that is given h of layer `number`."""
        return f"{self.layer_module(number)}.{self.enters}"

    def between(self, number: int) -> str:
        """The module that is given a of layer `number`."""
        return f"{self.layer_module(number)}.{self.parts[self.aft]}"

    def leaving(self, last: int) -> str:
        """The module that is given y of the last layer."""
        return self.final_norm or f"{self.layer_module(last)}.{self.parts[self.norm]}"

    def size(self, config: Mapping[str, Any], key: str) -> Any:
        """The entry of a config.json that `keys` names, or what the class takes without it."""
        name = getattr(self.keys, key)
        return config.get(name, self.shared.get(name)) if name else 1e-12

    def most_tokens(self, config: Any) -> int:
        """Tokens of a text that the model has positions for, from its config of transformers."""
        used = config.pad_token_id + 1 if self.positions_from_padding else 0
        return config.max_position_embeddings - used


# -- what several families share ---------------------------------------------------------------


def _as_they_are(names: tuple[str, ...]) -> dict[str, str]:
    """Names that both releases spell alike."""
    return dict(zip(names, names, strict=True))


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}.{kind}" for name in names for kind in ("weight", "bias"))


_SIZES = {
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}
_VIT_PARTS = {
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "layernorm_before": "layernorm_before",
    "layernorm_after": "layernorm_after",
}
_VIT_EMBEDDINGS = ("cls_token", "position_embeddings", *_both("patch_embeddings.projection"))
_BERT_PARTS = (
    "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
    "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm",
)  # fmt: skip
_BERT_EMBEDDINGS = (
    *(f"{kind}_embeddings.weight" for kind in ("word", "position", "token_type")),
    *_both("LayerNorm"),
)
_TEXT_SHARED = {"vocab_size": 30522, "max_position_embeddings": 512}


def _like_vit(
    model_type: str,
    name: str,
    body: str,
    embeddings: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
    eps: float = 1e-12,
) -> Family:
    """Pre-LN on pictures: final LayerNorm, linear classifier."""
    return Family(
        model_type,
        classifier=f"{name}ForImageClassification",
        config_class=f"{name}Config",
        feeds=IMAGE,
        body=body,
        of_body=("embeddings", "encoder", "layers", "layernorm", "base_model"),
        layer=(f"{body}.encoder.layer.{{}}", *also, f"{body}.layers.{{}}"),
        parts=_VIT_PARTS,
        bef="intermediate.dense",
        aft="output.dense",
        norm="layernorm_after",
        norm_first=True,
        enters="layernorm_after",
        final_norm=f"{body}.layernorm",
        outside=tuple(f"{body}.embeddings.{each}" for each in (*_VIT_EMBEDDINGS, *embeddings)),
        head=(Map("classifier"),),
        halves=LIKE_VIT,
        shared=_SIZES
        | {"image_size": 224, "patch_size": 16, "num_channels": 3, "qkv_bias": True}
        | {"layer_norm_eps": eps},
        biases_if=("qkv_bias", tuple(list(_VIT_PARTS.values())[:3])),
    )


def _like_bert(
    model_type: str, name: str, body: str, head: tuple[Map, ...], **other: Any
) -> Family:
    """Post-LN on text: one more map with an activation, linear classifier."""
    given: dict[str, Any] = {
        "of_body": ("embeddings", "embeddings_project", "encoder", "base_model"),
        "layer": (f"{body}.encoder.layer.{{}}",),
        "parts": _as_they_are(_BERT_PARTS),
        "bef": "intermediate.dense",
        "aft": "output.dense",
        "norm": "output.LayerNorm",
        "enters": "intermediate",
        "outside": tuple(f"{body}.embeddings.{each}" for each in _BERT_EMBEDDINGS),
        "halves": LIKE_BERT,
        "shared": _SIZES | _TEXT_SHARED,
        "must_be": {"is_decoder": False, "add_cross_attention": False},
    }
    return Family(
        model_type,
        classifier=f"{name}ForSequenceClassification",
        config_class=f"{name}Config",
        feeds=TEXT,
        body=body,
        norm_first=False,
        final_norm=None,
        head=head,
        **given | other,
    )


def _like_roberta(model_type: str, name: str, tokens: int = 30522) -> Family:
    """tokens : vocab_size where a file is silent."""
    head = (Map("classifier.dense", "tanh"), Map("classifier.out_proj"))
    shared = _SIZES | _TEXT_SHARED | {"vocab_size": tokens}
    return _like_bert(model_type, name, "roberta", head, shared=shared, positions_from_padding=True)


# -- the entries -------------------------------------------------------------------------------

_DISTILBERT_PARTS = (
    "attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin",
    "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm",
)  # fmt: skip
_ENTRIES = (
    _like_vit("vit", "ViT", "vit"),
    _like_vit("deit", "DeiT", "deit", ("distillation_token",)),
    _like_vit("vit_msn", "ViTMSN", "vit", also=("encoder.layer.{}",), eps=1e-6),
    _like_bert("bert", "Bert", "bert", (Map("bert.pooler.dense", "tanh"), Map("classifier"))),
    _like_roberta("roberta", "Roberta", 50265),
    _like_roberta("xlm-roberta", "XLMRoberta"),
    _like_roberta("camembert", "Camembert"),
    _like_bert(
        "electra",
        "Electra",
        "electra",
        (Map("classifier.dense", "gelu"), Map("classifier.out_proj")),
        outside=(
            *(f"electra.embeddings.{each}" for each in _BERT_EMBEDDINGS),
            *_both("electra.embeddings_project"),
        ),
        shared=_SIZES | _TEXT_SHARED | {"num_attention_heads": 4},
    ),
    _like_bert(
        "distilbert",
        "DistilBert",
        "distilbert",
        (Map("pre_classifier", "relu"), Map("classifier")),
        of_body=("embeddings", "transformer", "base_model"),
        layer=("distilbert.transformer.layer.{}",),
        parts=_as_they_are(_DISTILBERT_PARTS),
        bef="ffn.lin1",
        aft="ffn.lin2",
        norm="output_layer_norm",
        enters="ffn",
        outside=tuple(
            f"distilbert.embeddings.{each}" for each in _BERT_EMBEDDINGS if "token_type" not in each
        ),
        halves=LIKE_DISTILBERT,
        keys=Keys("dim", "hidden_dim", "n_layers", "n_heads", "activation", None),
        shared=_TEXT_SHARED | {"n_layers": 6, "n_heads": 12, "activation": "gelu"},
        must_be={},
    ),
)
FAMILIES: Mapping[str, Family] = {family.model_type: family for family in _ENTRIES}
# What a profile's vit_config describes.
FROM_SCRATCH = FAMILIES["vit"]

# -- what does not fit -------------------------------------------------------------------------

_POOLS = "it pools over tokens, so that its last FFN reaches the logits through all of them"
_GATED = "its FFN is gated: it has three matrices, and two are ranked"
_READS_LAST = "its logits are read from the last token of a text, not from the first"
# Why a family that is known does not fit, by model_type.
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        ["beit", "data2vec-vision", "dinov2", "dinov2_with_registers", "dinov3_vit", "swin",
         "swinv2", "convnext", "convnextv2", "resnet", "segformer", "focalnet", "poolformer",
         "levit", "siglip", "siglip2", "clip", "hiera", "ijepa"],
        _POOLS,
    ),
    **dict.fromkeys(["modernbert", "nomic_bert", "eurobert", "neobert"], _GATED),
    **dict.fromkeys(["llama", "mistral", "gemma", "gemma2", "gemma3", "qwen2", "qwen3", "phi3",
                     "t5", "gpt2", "opt", "bloom"], _READS_LAST),
}  # fmt: skip
# Why a class of transformers is not its family's classifier, by its name in `architectures`.
REFUSED_CLASSES: Mapping[str, str] = {
    "DeiTForImageClassificationWithTeacher": "it has two heads, on two tokens",
}
