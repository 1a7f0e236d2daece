"""Generate in the plain way of transformers' documentation: `bench_generate.py` compares with this script.

    python scripts/plain_generate.py SETTINGS.json

The settings say the model's folder, the prompts (strings) and the limit; all other settings are the library's
defaults.
"""

import json
import sys
import time
from pathlib import Path

from transformers import pipeline

settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
generator = pipeline("text-generation", model=settings["model"], dtype=settings["dtype"])
started = time.perf_counter()
texts = []
for prompt in settings["prompts"]:
    [output] = generator(
        prompt, max_new_tokens=settings["max_new_tokens"], do_sample=False, return_full_text=False
    )
    texts.append(output["generated_text"])
found = {"seconds": time.perf_counter() - started, "texts": texts}
Path(settings["out"]).write_text(json.dumps(found), encoding="utf-8")
