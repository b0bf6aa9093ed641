"""What a compiled program costs a worker that loads it: run by benchmarks/start_once.py in an environment with torch.

    .venv-torch/bin/python -m benchmarks.loaded_program compile FOLDER           # weights in MiB
    .venv-torch/bin/python -m benchmarks.loaded_program mapped|extracted FOLDER  # own memory in MiB, when told a line

The program is a BERT-base shape in bf16 with frozen weights, for batches of any shape. Own memory is what no other
process has mapped (/proc/PID/smaps_rollup), without what it was after the imports.
"""

import sys
from pathlib import Path

import torch

from ipexlaunch.models.engines.candidate import floating
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.run.compile_program import compile_program, load, load_a_copy
from ipexlaunch.models.run.compiled_model import FirstField

PROGRAM = "program"


def main(what: str, folder: str) -> int:
    torch.set_num_threads(1)
    ids = torch.ones(8, 128, dtype=torch.long)
    path = Path(folder, PROGRAM)
    if what == "compile":
        print(compiled_mib(path, ids))
        return 0
    before = own_mib()
    run = {"mapped": load, "extracted": load_a_copy}[what](path)
    run([ids[:1, :16].contiguous(), ids[:1, :16].contiguous()])
    print("loaded", flush=True)
    sys.stdin.readline()  # until the others have loaded it too
    print(own_mib() - before, flush=True)
    sys.stdin.readline()
    return 0


def compiled_mib(path: Path, ids: torch.Tensor) -> float:
    """Compile the program; the size of its model's weights."""
    # What only compiling needs is imported here, so that it is not among the imports of who loads.
    from ipexlaunch.models.run.load_model import load_model
    from ipexlaunch.models.run.quantise import convert

    model = load_model(ModelJob(model="random:bert-base", task="embed")).model
    convert(model, floating("torch", "bf16"))
    compile_program(FirstField(model, ["input_ids", "attention_mask"]), [ids, ids], path, longest=512)
    size: int = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    return size / (1 << 20)


def own_mib() -> float:
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()]
    return sum(int(words[1]) for words in lines if words[0] in ("Private_Clean:", "Private_Dirty:")) / 1024


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
