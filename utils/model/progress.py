"""What a training shows: a bar with the loss and the time left, and a line per epoch."""

import logging
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from utils.run.stopwatch import Stopwatch, in_words


class Progress(TrainerCallback):
    """The bar of one training, and one line of `log` when an epoch has been evaluated.

    Of several processes, all have it (they log together) and the first one shows it.
    """

    def __init__(self, log: logging.Logger) -> None:
        self.log = log
        self.bar: tqdm | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            self.bar = tqdm(
                total=state.max_steps, initial=state.global_step, desc="training", unit="step"
            )

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.watch, self.first, self.logged, self.loss = (
            Stopwatch(), state.global_step, state.global_step, 0.0,
        )  # fmt: skip

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.bar is not None:
            self.bar.update()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        control.should_log = True  # the steps since the last log belong to this epoch

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float],
        **_: Any,
    ) -> None:
        """`logs` has the mean loss of the steps since the log before."""
        if "loss" in logs:
            self.loss += logs["loss"] * (state.global_step - self.logged)
            self.logged = state.global_step
            if self.bar is not None:
                self.bar.set_postfix(loss=f"{logs['loss']:.3f}")

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **_: Any,
    ) -> None:
        self.log.info(
            "epoch %d of %d: loss %.3f, accuracy %.3f on the repair split, %s",
            round(state.epoch),
            round(args.num_train_epochs),
            self.loss / max(1, state.global_step - self.first),
            metrics["eval_accuracy"],
            in_words(self.watch.seconds),
        )

    def close(self) -> None:
        """End the bar's line, also where the training failed."""
        if self.bar is not None:
            self.bar.close()
