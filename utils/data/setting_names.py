"""What the setting of all samples is called, and the columns of settings.csv."""

ALL = "all"
COLUMNS = [
    "setting",
    "misclf_type",
    "fpfn",
    "rank",
    "pred_label",
    "true_label",
    "tgt_label",
    "n_neg",
    "n_pos",
    "status",
    "reason",
    "pred_name",
    "true_name",
    "tgt_name",
    "n_neg_test",
]
