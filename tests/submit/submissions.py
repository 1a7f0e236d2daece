"""A small sample submission, and files that are like it."""

from __future__ import annotations

from pathlib import Path

from llm_summ.submit import SampleSubmission, SubmissionReport, check_submission, read_sample

IDS = ["test_0", "test_1", "test_2", "test_4", "test_5", "test_7"]  # with gaps, as real ids have them
TEXTS = [
    "#Person1#이 #Person2#에게 역까지 가는 길을 묻습니다.",
    "민수는 병원 예약을 다음 주로 옮깁니다.",
    "#Person2#는 회의 자료를 #Email#로 보내기로 합니다.",
    "두 사람은 저녁에 된장찌개를 끓여 먹기로 합니다.",
    "#Person1#은 새 노트북이 느려서 환불을 요청합니다.",
    "지영은 주말에 한강에서 자전거를 타자고 제안합니다.",
]
SAMPLE = ",fname,summary\n" + "".join(f"{at},{identity},요약문입니다.\n" for at, identity in enumerate(IDS))
GOOD = ",fname,summary\n" + "".join(
    f"{at},{identity},{text}\n" for at, (identity, text) in enumerate(zip(IDS, TEXTS, strict=True))
)
LINES = GOOD.splitlines(keepends=True)
PLAIN_SAMPLE = "fname,summary\n" + "".join(f"{identity},요약문입니다.\n" for identity in IDS)
PLAIN_GOOD = "fname,summary\n" + "".join(f"{one},{text}\n" for one, text in zip(IDS, TEXTS, strict=True))
BARE_IDS = ["0", "1", "2", "4", "5", "7"]
BARE_SAMPLE = "fname,summary\n" + "".join(f"{one},요약문입니다.\n" for one in BARE_IDS)
BARE = "fname,summary\n" + "".join(f"{one},{text}\n" for one, text in zip(BARE_IDS, TEXTS, strict=True))

Found = dict[str, list[int | None]]
"""Kinds of faults, and the lines that they are found in."""


def with_text(text: str, at: int = 2) -> str:
    """Return the good file with another summary in one row; `text` is a field of CSV."""
    lines = list(LINES)
    lines[at + 1] = f"{at},{IDS[at]},{text}\n"
    return "".join(lines)


def with_lines(*order: int) -> str:
    """Return the header and these rows of the good file, from 1."""
    return "".join(LINES[at] for at in (0, *order))


def sample_of(folder: Path, text: str = SAMPLE) -> SampleSubmission:
    path = folder / "sample_submission.csv"
    path.write_bytes(text.encode())
    return read_sample(path)


def check_bytes(folder: Path, content: bytes, sample: str = SAMPLE) -> SubmissionReport:
    path = folder / "submission.csv"
    path.write_bytes(content)
    return check_submission(path, sample_of(folder, sample))


def kinds_and_lines(report: SubmissionReport) -> Found:
    return {finding.rule.code: [place.line for place in finding.places] for finding in report.findings}
