"""Write a submission in the form of a sample, so that it is not refused; check any file against a sample."""

from llm_summ.submit.check import check_submission
from llm_summ.submit.report import SubmissionReport
from llm_summ.submit.sample import SampleSubmission, find_sample, read_sample
from llm_summ.submit.write import Texts, data_of, file_texts, run_texts, write_submission

__all__ = [
    "SampleSubmission",
    "SubmissionReport",
    "Texts",
    "check_submission",
    "data_of",
    "file_texts",
    "find_sample",
    "read_sample",
    "run_texts",
    "write_submission",
]
