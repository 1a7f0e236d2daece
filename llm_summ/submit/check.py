"""The check of a submission against a sample: its format, its columns, its ids and its summaries.

A file may be broken in any way: the check continues as far as it can recognise the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from llm_summ.data.empty_texts import is_blank, is_null
from llm_summ.data.near_duplicates import near_duplicates
from llm_summ.data.row_rules import stripped_id, visible
from llm_summ.data.summary_faults import is_korean, summary_faults
from llm_summ.predictions.id_matching import first_counted
from llm_summ.submit.columns import Columns
from llm_summ.submit.reading import SubmissionEntry, read_submission
from llm_summ.submit.report import SubmissionReport
from llm_summ.submit.sample import Ids, SampleSubmission
from llm_summ.submit.texts import LINE_BREAK, text_faults
from llm_summ.submit.tolerant_csv import Fault

__all__ = ["check_submission"]

# Two different dialogues may have the same summary by chance, or because they are near-duplicates. In 19 real
# files of 499 rows without other problems, there were up to four such pairs.
_MANY_EQUAL, _EQUAL_SHARE = 3, 0.02


def check_submission(
    path: Path,
    sample: SampleSubmission,
    *,
    dialogues: Mapping[str, str] | None = None,
    written: Mapping[str, str] | None = None,
) -> SubmissionReport:
    """Compare any file with a sample submission.

    Args:
        path: the file.
        sample: the sample that the file should match.
        dialogues: the text of the dialogue of each id, if known: they decide whether the summaries should be
            Korean, and whether two dialogues with the same summary are near-duplicates.
        written: the summary of each id before it was written into the file, where line breaks became spaces.

    Raises:
        DataError: the file does not exist or cannot be read.
    """
    ids = Ids(sample)
    parsed = read_submission(path, sample, ids)
    faults = list(parsed.faults)
    if parsed.columns is None:
        return SubmissionReport.of(path, sample.path, 0, faults)
    if parsed.columns.id is not None:
        faults += _id_faults(parsed.entries, parsed.columns, sample, ids)
    known = {ids.meant(identity) or identity: text for identity, text in (dialogues or {}).items()}
    for entry in parsed.entries:
        identity = ids.meant(entry.id)
        faults += _summary_faults(entry, sample, (written or {}).get(identity), known.get(identity))
    repeated, few = _repeated_summaries(parsed.entries, sample, ids, known)
    notes = {"repeated-summary"} if few else set()
    if not known and not _is_korean_file(parsed.entries, sample):
        notes.add("not-korean")
    return SubmissionReport.of(path, sample.path, parsed.rows, faults + repeated, notes)


def _id_faults(
    entries: Sequence[SubmissionEntry], columns: Columns, sample: SampleSubmission, ids: Ids
) -> Iterator[Fault]:
    positions = {identity: index for index, identity in enumerate(sample.ids)}
    counted = first_counted([stripped_id(entry.id) for entry in entries], sample.ids)
    first: dict[str, int] = {}
    last = -1
    for index, entry in enumerate(entries):
        identity = stripped_id(entry.id)
        if not identity:
            yield Fault("empty-id", entry.line, "", f"«{visible(entry.summary or '')}»")
            continue
        if counted is None:
            identity = ids.meant(identity) or identity
        if identity in positions and identity != entry.id:
            hint = f"«{entry.shown_id}»; did you mean {visible(identity)}?"
            yield Fault("misspelt-id", entry.line, entry.shown_id, hint)
        if identity in first:
            yield Fault("repeated-id", entry.line, entry.shown_id, f"already in line {first[identity]}")
            continue
        first[identity] = entry.line
        if counted is not None:
            if index >= counted:
                yield Fault("counted-ids", entry.line, entry.shown_id, f"the sample has {sample.ids[index]} here")
        elif identity not in positions:
            yield Fault("extra-id", entry.line, entry.shown_id, "")
        else:
            yield from _other_faults(entry, columns, sample, positions[identity])
            if positions[identity] < last:
                yield Fault("id-order", entry.line, entry.shown_id, f"after {sample.ids[last]}")
            last = max(last, positions[identity])
    if counted is None:
        for identity in sample.ids:
            if identity not in first:
                yield Fault("missing-id", None, visible(identity), "")


def _other_faults(entry: SubmissionEntry, columns: Columns, sample: SampleSubmission, row: int) -> Iterator[Fault]:
    """Yield fields other than id and summary that differ from the sample's row of this id."""
    for field, (_, column) in zip(entry.others, columns.others, strict=False):
        if field != sample.rows[row][column]:
            name = visible(sample.columns[column]) or "the index"
            difference = f"{name}: found «{visible(field)}», expected «{visible(sample.rows[row][column])}»"
            yield Fault("other-column", entry.line, entry.shown_id, difference)


def _summary_faults(
    entry: SubmissionEntry, sample: SampleSubmission, raw: str | None, dialogue: str | None
) -> Iterator[Fault]:
    text = entry.summary
    if text is None:
        return
    if sample.placeholder and text.strip() == sample.placeholder:
        yield Fault("placeholder", entry.line, entry.shown_id, f"«{visible(text)}»")
        return
    seen: set[str] = set()
    # A line with only a role's name can be recognised only before the lines are joined.
    if raw is not None and LINE_BREAK.search(raw):
        for kind, start, end in summary_faults(raw):
            seen.add(kind)
            yield Fault(kind, entry.line, entry.shown_id, f"«{visible(raw, start, end)}»")
    for kind, start, end in text_faults(text):
        if kind not in seen and not (kind == "not-korean" and dialogue is not None and not is_korean(dialogue)):
            yield Fault(kind, entry.line, entry.shown_id, f"«{visible(text, start, end)}»")


def _repeated_summaries(
    entries: Sequence[SubmissionEntry], sample: SampleSubmission, ids: Ids, dialogues: Mapping[str, str]
) -> tuple[list[Fault], bool]:
    """Return the summaries that equal an earlier row's, and whether they are few.

    They are few if those whose dialogues are not near-duplicates are less than three, or less than 2 % of all
    rows.
    """
    first: dict[str, SubmissionEntry] = {}
    faults: list[Fault] = []
    unlike = 0
    for entry in entries:
        text = (entry.summary or "").strip()
        if is_blank(text) or is_null(text) or text == sample.placeholder:
            continue
        other = first.setdefault(text, entry)
        if stripped_id(other.id) == stripped_id(entry.id):
            continue
        pair = [dialogues.get(ids.meant(row.id), "") for row in (other, entry)]
        near = all(pair) and bool(near_duplicates(pair))
        unlike += not near
        shown = f"as line {other.line}, {other.shown_id}: «{visible(text)}»"
        shown += "; their dialogues are near-duplicates" if near else ""
        faults.append(Fault("repeated-summary", entry.line, entry.shown_id, shown))
    return faults, unlike < max(_MANY_EQUAL, _EQUAL_SHARE * len(entries))


def _is_korean_file(entries: Sequence[SubmissionEntry], sample: SampleSubmission) -> bool:
    """Return whether summaries should be Korean: the sample's are, or most of the file's."""
    column = sample.columns.index("summary")
    if any(is_korean(row[column]) for row in sample.rows if not is_blank(row[column])):
        return True
    texts = [entry.summary for entry in entries if entry.summary and not is_blank(entry.summary)]
    return 2 * sum(map(is_korean, texts)) > len(texts)
