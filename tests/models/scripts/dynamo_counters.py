"""A script of its own: compiles models in every way that people do, and prints what dynamo counted."""

from typing import Any

import torch
import torch._dynamo
from torch._dynamo.utils import counters


class Block(torch.nn.Module):  # type: ignore[misc]  # torch is not there where this is checked
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        return x + self.second(torch.relu(self.first(x)))


class Net(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList([Block() for _ in range(3)])

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return x


class Broken(Net):
    def forward(self, x: Any) -> Any:
        x = super().forward(x)
        torch._dynamo.graph_break()
        return super().forward(x)


def model_itself(net: Any) -> Any:
    return torch.compile(net, backend="eager")


def in_place(net: Any) -> Any:
    net.compile(backend="eager")
    return net


def its_forward(net: Any) -> Any:
    net.forward = torch.compile(net.forward, backend="eager")
    return net


def its_call(net: Any) -> Any:
    return torch.compile(net.__call__, backend="eager")


def function_around(net: Any) -> Any:
    return torch.compile(lambda x: net(x) * 2, backend="eager")


def with_hooks(net: Any) -> Any:
    net.register_forward_pre_hook(lambda *_: None)
    net.blocks[0].register_forward_hook(lambda *_: None)
    return torch.compile(net, backend="eager")


def nested_in_another(net: Any) -> Any:
    return torch.nn.Sequential(torch.compile(net, backend="eager"), torch.nn.Linear(8, 2)).eval()


with torch.no_grad():
    for kind in (Net, Broken):
        ways = (model_itself, in_place, its_forward, its_call, function_around, with_hooks, nested_in_another)
        for way in ways:
            torch._dynamo.reset()
            counters.clear()
            torch.manual_seed(0)
            compiled = way(kind().eval())
            results = [compiled(torch.ones(size, 8)).sum().item() for size in (2, 2, 2, 3, 4)]
            kept = {name: dict(counters[name]) for name in ("stats", "frames", "recompiles", "graph_break")}
            print(kind.__name__, way.__name__, kept, results)
