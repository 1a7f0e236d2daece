"""Summarise a text file from a program, with the model of the latest run.

::

    python examples/summarize_from_python.py talk.txt
"""

import sys
from pathlib import Path

import llm_summ


def main(path: str) -> None:
    """Print the summary of a text with a turn on each line; a long one is summarised in parts."""
    dialogue = llm_summ.Dialogue("talk", Path(path).read_text(encoding="utf-8").strip())
    with llm_summ.Summarizer.open("runs/latest") as summarizer:
        for summary in summarizer.summarize([dialogue], long="list"):
            print(summary.text)
            for part in summary.parts:
                print(f"  turns {part.first} to {part.last}: {part.text}")


if __name__ == "__main__":
    main(sys.argv[1])
