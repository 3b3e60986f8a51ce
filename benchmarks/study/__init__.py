"""The study: five folds of a ViT fine-tuned from one base model, all verdicts (docs/study.md)."""
