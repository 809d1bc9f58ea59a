"""Our training loop beside a hand-written one and Lightning: rows per second of the same fit.

    make bench-env && python benchmarks/training.py [--rounds 15] [--threads 1] [--precision float32] [--only CNN]

All three train the same network from the same weights on the same rows in memory, with AdamW (fused), clipping,
warm-up and cosine, and keep the mean loss; on CUDA with the rows on the device. Each network is measured in float32
and, where the hardware has it, in bfloat16 (a CPU without AVX512_BF16 and AMX emulates it, many times slower). The
loops take turns (A B C C B A) in one process; a figure is the median over the rounds, a ratio the median of each
round's ratio. Time is that of the whole call, set-up included, and about a second, so that a round sees one state of
the machine. Beside the ratio by the clock stands the one by the process's CPU time, which other work on the machine
moves less. Lightning gets the same ready-made batches as the hand-written loop, not a DataLoader.
"""

import argparse
import contextlib
import logging
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn

from modelyard.project import FitRun, Precision
from modelyard.training.batches import Batch
from modelyard.training.devices import find_device, find_precision, has_bfloat16, has_convolutions
from modelyard.training.loop import train
from modelyard.training.parameters import LoopParameters
from modelyard.training.process_state import cpu_threads
from modelyard.training.randomness import seeded


@dataclass(frozen=True)
class Setting:
    """Where and in what precision to train."""

    device: torch.device
    precision: Precision

    def is_bfloat16(self, network: nn.Module) -> bool:
        """Whether this network trains in bfloat16."""
        return find_precision(self.precision, self.device, network) == torch.bfloat16


@dataclass(frozen=True, kw_only=True)
class Task:
    """One network with its rows: ``shape`` of an example, rows in all, rows in a batch, epochs."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    n_rows: int
    batch_size: int
    epochs: int

    def params(self, device: torch.device) -> LoopParameters:
        """The loop's parameters; a GPU gets more epochs, because it needs less time for one."""
        epochs = self.epochs * (10 if device.type == "cuda" else 1)
        return LoopParameters(epochs=epochs, batch_size=self.batch_size, learning_rate=1e-3)


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 64, batch_first=True)
        self.head = nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:  # (N, T, 8) -> (N, 1)
        last: Tensor = self.head(self.gru(x)[0][:, -1])
        return last


def _mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(32, 128), nn.ReLU(), nn.Dropout(0.1),
        nn.Linear(128, 128), nn.ReLU(),
        nn.Linear(128, 1),
    )  # fmt: skip


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 8 * 8, 1),
    )  # fmt: skip


class _Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(8, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:  # (N, T, 8) -> (N, 1)
        answer: Tensor = self.head(self.layers(self.embedding(x)).mean(dim=1))
        return answer


class _Residual(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)  # type: ignore[no-any-return]


def _resnet() -> nn.Module:
    """The residual network of nine layers with which David Page trained CIFAR-10 quickly, at half its width."""

    def layer(n_in: int, n_out: int, *pool: nn.Module) -> nn.Sequential:
        convolution = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(n_out), nn.ReLU(), *pool)

    return nn.Sequential(
        layer(3, 32), layer(32, 64, nn.MaxPool2d(2)), _Residual(layer(64, 64), layer(64, 64)),
        layer(64, 128, nn.MaxPool2d(2)), layer(128, 256, nn.MaxPool2d(2)),
        _Residual(layer(256, 256), layer(256, 256)), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(256, 1),
    )  # fmt: skip


TASKS = {
    "MLP 32-128-128-1": Task(build=_mlp, shape=(32,), n_rows=50_000, batch_size=256, epochs=3),
    "CNN 3x32x32, 2 conv": Task(build=_cnn, shape=(3, 32, 32), n_rows=1_024, batch_size=64, epochs=3),
    "ResNet-9 3x32x32": Task(build=_resnet, shape=(3, 32, 32), n_rows=256, batch_size=64, epochs=1),
    "GRU 40 steps, 64 units": Task(build=_Recurrent, shape=(40, 8), n_rows=4_096, batch_size=128, epochs=3),
    "Transformer 40 steps, 2 layers of 64": Task(
        build=_Transformer, shape=(40, 8), n_rows=1_024, batch_size=64, epochs=2
    ),
}


def smaller(task: Task) -> Task:
    """The same network on eight rows, for a look whether everything runs."""
    return replace(task, n_rows=8, batch_size=4, epochs=1)


def loss_of(network: nn.Module, batch: Batch) -> Tensor:
    """Mean binary cross-entropy."""
    return nn.functional.binary_cross_entropy_with_logits(network(batch["x"])[:, 0].float(), batch["y"])


def ours(network: nn.Module, x: Tensor, y: Tensor, params: LoopParameters, setting: Setting) -> float:
    """The loop of this repository; returns the last epoch's mean loss."""
    n_threads = torch.get_num_threads()
    run = FitRun(
        seed=1, folder=Path(), report=lambda epoch, value: None, n_threads=n_threads, precision=setting.precision
    )
    result = train(network, {"x": x, "y": y}, loss_of, params, run=run, is_resumable=False)
    return result.history[-1].train_loss


class Rows:
    """Shuffled batches picked by indexing, anew in each pass."""

    def __init__(self, x: Tensor, y: Tensor, batch_size: int) -> None:
        self.x, self.y, self.batch_size = x, y, batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.x) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = torch.randperm(len(self.x), device=self.x.device)
        for start in range(0, len(self.x), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield {"x": self.x[rows], "y": self.y[rows]}


def rate_at(step: int, steps: int, params: LoopParameters) -> float:
    """Warm-up, then cosine."""
    warmup = round(params.warmup_share * steps)
    if step < warmup:
        return params.learning_rate * (step + 1) / warmup
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def by_hand(network: nn.Module, x: Tensor, y: Tensor, params: LoopParameters, setting: Setting) -> float:
    """What a good engineer would write in half an hour; returns the last epoch's mean loss."""
    torch.manual_seed(1)
    device, is_bfloat16 = setting.device, setting.is_bfloat16(network)
    network.to(device).train()
    if is_bfloat16 and has_convolutions(network):
        network.to(memory_format=torch.channels_last)
    batches = Rows(x.to(device), y.to(device), params.batch_size)
    weights = list(network.parameters())
    optimizer = torch.optim.AdamW(weights, lr=params.learning_rate, weight_decay=params.weight_decay, fused=True)
    step, steps = 0, params.epochs * len(batches)
    mean_loss = 0.0
    for _ in range(params.epochs):
        total = torch.zeros((), device=device)
        for batch in batches:
            optimizer.param_groups[0]["lr"] = rate_at(step, steps, params)
            with torch.autocast(device.type, torch.bfloat16) if is_bfloat16 else contextlib.nullcontext():
                loss = loss_of(network, batch)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
            nn.utils.clip_grad_norm_(weights, params.clip_norm or math.inf)
            optimizer.step()
            optimizer.zero_grad()
            total += loss.detach() * len(batch["y"])
            step += 1
        mean_loss = total.item() / len(x)
    return mean_loss


def with_lightning(network: nn.Module, x: Tensor, y: Tensor, params: LoopParameters, setting: Setting) -> float:
    """Lightning's Trainer with everything optional switched off; returns the last epoch's mean loss."""
    import lightning  # noqa: PLC0415  # an optional competitor, slow to import

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    device, is_bfloat16 = setting.device, setting.is_bfloat16(network)
    if is_bfloat16 and has_convolutions(network):
        network.to(memory_format=torch.channels_last)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.total = torch.zeros((), device=device)

        def on_train_epoch_start(self) -> None:
            self.total = torch.zeros((), device=device)

        def training_step(self, batch: Batch, _: int) -> Tensor:
            loss = loss_of(self.network, batch)
            self.total += loss.detach() * len(batch["y"])
            return loss

        def configure_optimizers(self) -> dict[str, object]:
            optimizer = torch.optim.AdamW(
                self.network.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, fused=True
            )
            steps = params.epochs * len(batches)
            schedule = torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda step: rate_at(step, steps, params) / params.learning_rate
            )
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    torch.manual_seed(1)
    batches = Rows(x.to(device), y.to(device), params.batch_size)
    module = Module()
    trainer = lightning.Trainer(
        max_epochs=params.epochs, accelerator="gpu" if device.type == "cuda" else "cpu", devices=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        precision="bf16-mixed" if is_bfloat16 else "32-true",
        # The optimizer is fused, which Lightning's own clipping refuses under mixed precision.
        gradient_clip_val=None if is_bfloat16 else params.clip_norm,
    )  # fmt: skip
    trainer.fit(module, train_dataloaders=batches)
    return module.total.item() / len(x)


def measure(task: Task, loops: dict[str, Callable[..., float]], rounds: int, setting: Setting) -> None:
    """Prints the lines of one network in one precision."""
    with seeded(0):
        first = task.build()
        x = torch.randn(task.n_rows, *task.shape)
        y = (x.flatten(1)[:, 0] > 0).float()
    params = task.params(setting.device)
    clock: dict[str, list[float]] = {name: [] for name in loops}
    cpu: dict[str, list[float]] = {name: [] for name in loops}
    losses = {}
    for number in range(rounds + 1):  # the first round warms up
        for name, loop in loops.items() if number % 2 else reversed(loops.items()):
            network = task.build()
            network.load_state_dict(first.state_dict())
            started = time.perf_counter(), time.process_time()
            losses[name] = loop(network, x, y, params, setting)
            if number > 0:
                clock[name].append(time.perf_counter() - started[0])
                cpu[name].append(time.process_time() - started[1])
    for name in loops:
        speed = params.epochs * task.n_rows / statistics.median(clock[name])
        print(
            f"  {setting.precision:9s} {name:10s} {speed:12,.0f} rows/s   by hand x {_ratio(clock, name):.3f} by the "
            f"clock, {_ratio(cpu, name):.3f} by CPU time   last loss {losses[name]:.4f}"
        )


def _ratio(seconds: dict[str, list[float]], name: str) -> float:
    pairs = zip(seconds["by hand"], seconds[name], strict=True)
    return statistics.median(hand / own for hand, own in pairs)


def main() -> None:
    """Reads the options and prints the table."""
    from side_by_side import missing_competitor  # noqa: PLC0415  # gpu.py takes the networks from a bare file

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads; default: torch's choice")
    parser.add_argument("--precision", nargs="*", choices=get_args(Precision), help="default: what is in hardware")
    parser.add_argument("--only", default="", help="a part of the networks' names, as CNN")
    parser.add_argument("--small", action="store_true", help="eight rows: does everything run?")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="lightning")
    loops: dict[str, Callable[..., float]] = {"ours": ours, "by hand": by_hand}
    missing = missing_competitor("lightning")
    if not missing:
        loops["lightning"] = with_lightning
    device = find_device()
    with cpu_threads(options.threads):
        name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        print(f"torch {torch.__version__}, {name}, {options.rounds} rounds")
        print(f"bfloat16 in hardware: {'yes' if has_bfloat16(device) else 'no'}")
        precisions = options.precision or (["float32", "bfloat16"] if has_bfloat16(device) else ["float32"])
        for title, task in TASKS.items():
            if options.only in title:
                print(title)
                for precision in precisions:
                    measure(smaller(task) if options.small else task, loops, options.rounds, Setting(device, precision))
    print(missing, end="\n" if missing else "")  # last, where it is seen


if __name__ == "__main__":
    main()
