"""The objective in loops of other libraries: each trains what a plain loop of torch trains."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from kdtheory import Stream
from kdtheory.schemes import Objective, hinton

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "objectives.md"
TERMS = hinton(temperature=3.0, weight=0.7)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the page's blocks make, one after the other."""
    names: dict[str, Any] = {}
    with contextlib.chdir(tmp_path_factory.mktemp("page")), contextlib.redirect_stdout(io.StringIO()):
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
            exec(block, names)
    return names


def nets() -> tuple[nn.Module, nn.Module]:
    with Stream(5).default():
        student, teacher = (
            nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3)) for width in (5, 9)
        )
    return student, teacher


def examples() -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(torch.randn(24, 4, generator=Stream(1).torch()), torch.arange(24) % 3, strict=True))


def by_hand(objective: Objective, batches: Any, optimizer: Any, *, epochs: int) -> None:
    for _ in range(epochs):
        for batch in batches:
            optimizer.zero_grad()
            objective(batch)["loss"].backward()
            optimizer.step()


def same(one: nn.Module, two: nn.Module, **tolerance: float) -> None:
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, two.state_dict()[name], **(tolerance or {"rtol": 0.0, "atol": 0.0}))


def test_the_page_runs(page: dict[str, Any]) -> None:
    assert list(page["named"]) == ["loss", "response", "labels", "hint"]
    assert page["found"].step == page["found"].validation.set_index("step")["value"].idxmin()


def test_lightning_trains_what_a_plain_loop_trains(page: dict[str, Any], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library's own making
        pytest.importorskip("lightning")
        one, two = (Objective(*nets(), losses=TERMS) for _ in range(2))
        batches = DataLoader(examples(), batch_size=8)
        trainer = page["by_lightning"](
            one, batches, max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        by_hand(two, batches, torch.optim.Adam(two.parameters(), lr=0.01), epochs=3)
        same(one.student, two.student)
        last = two(next(iter(DataLoader(examples()[16:], batch_size=8))))
        assert float(trainer.callback_metrics["response"]) == pytest.approx(float(last["response"]), rel=0.2)
        trainer.save_checkpoint(tmp_path / "kept.ckpt", weights_only=True)
        kept = torch.load(tmp_path / "kept.ckpt", weights_only=True)["state_dict"]
    assert set(kept) == {f"objective.student.{name}" for name in one.student.state_dict()}


@pytest.mark.parametrize("parts", [1, 2])
def test_the_trainer_of_transformers_trains_what_a_plain_loop_trains(
    page: dict[str, Any], tmp_path: Path, parts: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers")
        pytest.importorskip("accelerate")
        small = {"vocab_size": 20, "num_attention_heads": 2, "num_labels": 3, "max_position_embeddings": 8,
                 "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # fmt: skip

        def bert(width: int) -> nn.Module:
            config = transformers.BertConfig(
                hidden_size=width, intermediate_size=width, num_hidden_layers=1, **small
            )
            with Stream(width).default():
                return transformers.BertForSequenceClassification(config)

        one, two = (Objective(bert(8), bert(12), losses=TERMS) for _ in range(2))
        ids = torch.randint(20, (16, 6), generator=Stream(3).torch())
        data = [{"input_ids": row, "attention_mask": torch.ones(6, dtype=torch.long), "labels": place % 3}
                for place, row in enumerate(ids)]  # fmt: skip
        trainer = page["by_transformers"](
            one, data, output_dir=str(tmp_path), per_device_train_batch_size=8 // parts,
            gradient_accumulation_steps=parts, num_train_epochs=2, learning_rate=0.5, optim="sgd",
            lr_scheduler_type="constant", max_grad_norm=0.0, use_cpu=True, report_to=[],
            disable_tqdm=True, save_strategy="no", train_sampling_strategy="sequential",
        )  # fmt: skip
        by_hand(two, DataLoader(data, batch_size=8), torch.optim.SGD(two.parameters(), lr=0.5), epochs=2)
        same(one.student, two.student, rtol=1e-4, atol=1e-6)
        assert trainer.evaluate()["eval_loss"] == pytest.approx(
            float(two.eval()(next(iter(DataLoader(data, batch_size=16))))["loss"].detach()), rel=1e-4
        )
