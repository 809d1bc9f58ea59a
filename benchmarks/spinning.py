"""How long libgomp's threads should spin while they wait: milliseconds of a training step, alone and beside others.

    python benchmarks/spinning.py [--rounds 3] [--spins default 1000 10000] [--neighbours 0 1 2 3] [--seconds 2]

Each figure is the median over the rounds of one process that trains a small network on all cores for a while, with
as many neighbours that keep a core busy. Values of GOMP_SPINCOUNT take turns, so that a machine that speeds up or slows
down does so for all of them. docs/decisions/0010 says what follows from it.
"""

import argparse
import os
import statistics
import subprocess
import sys

NETWORKS = ("mlp", "lstm", "cnn")

NEIGHBOUR = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"
"""Ends with the benchmark, however that ends."""

TRAIN = """
import sys, time, torch
from torch import nn
kind, seconds = sys.argv[1], float(sys.argv[2])
torch.manual_seed(0)
if kind == "mlp":
    net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    x = torch.randn(512, 32)
elif kind == "lstm":
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(32, 64, batch_first=True), nn.Linear(64, 1)
        def forward(self, x):
            return self.head(self.lstm(x)[0][:, -1])
    net, x = Last(), torch.randn(32, 32, 32)
else:
    net = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1))
    x = torch.randn(32, 1, 28, 28)
    net(x)
optimizer = torch.optim.AdamW(net.parameters(), fused=True)
def step():
    optimizer.zero_grad()
    net(x).square().mean().backward()
    optimizer.step()
for _ in range(5):
    step()
started, n = time.perf_counter(), 0
while time.perf_counter() - started < seconds:
    step()
    n += 1
print((time.perf_counter() - started) / n * 1000)
"""


def step_milliseconds(network: str, spins: str, seconds: float) -> float:
    """Returns the milliseconds of one step in a fresh process with this GOMP_SPINCOUNT (``default``: libgomp's own)."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_NUM_THREADS")
    }
    if spins != "default":
        environment["GOMP_SPINCOUNT"] = spins
    command = [sys.executable, "-c", TRAIN, network, str(seconds)]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of training, for each figure and round")
    parser.add_argument("--spins", nargs="+", default=["default", "300", "1000", "3000", "10000", "30000", "100000"])
    parser.add_argument("--neighbours", nargs="+", type=int, default=[0, 1, 2, 3])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    arguments = parser.parse_args()
    print("network neighbours " + " ".join(f"{spins:>9}" for spins in arguments.spins))
    for n_neighbours in arguments.neighbours:
        busy = [subprocess.Popen([sys.executable, "-c", NEIGHBOUR]) for _ in range(n_neighbours)]
        try:
            for network in arguments.networks:
                found: dict[str, list[float]] = {spins: [] for spins in arguments.spins}
                for _ in range(arguments.rounds):
                    for spins in arguments.spins:
                        found[spins].append(step_milliseconds(network, spins, arguments.seconds))
                row = " ".join(f"{statistics.median(values):9.2f}" for values in found.values())
                print(f"{network:7} {n_neighbours:10} {row}", flush=True)
        finally:
            for process in busy:
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()
