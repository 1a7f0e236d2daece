"""What is refused as the name of a file that is to be written, for every command alike."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import DataError
from llm_summ.data.source import check_out

THERE = "is there already; choose another name, "
BY_FORCE = f"{THERE}or replace it: --force"


@pytest.fixture(autouse=True)
def folder(in_tmp: Path) -> Path:
    """Make a folder with everything that an output may conflict with."""
    for name in ("file.csv", "FILE.CSV", "input.csv", "plain"):
        Path(name).write_text("mine", encoding="utf-8")
    Path("folder.csv").mkdir()
    os.mkfifo("pipe.csv")
    Path("nowhere.csv").symlink_to("gone")
    Path("to-file.csv").symlink_to("file.csv")
    Path("to-input.csv").symlink_to("input.csv")
    Path("to-folder.csv").symlink_to("folder.csv")
    os.link("input.csv", "twin.csv")
    return in_tmp


@pytest.mark.parametrize(
    ("name", "bare", "forced"),
    [
        ("new.csv", None, None),
        ("NEW.CSV", None, None),
        ("a/b/new.csv", None, None),
        ("new", "expected a name that ends in .csv", "expected a name that ends in .csv"),
        ("new.csv.txt", "expected a name that ends in .csv", "expected a name that ends in .csv"),
        (".csv", "expected a name that ends in .csv", "expected a name that ends in .csv"),
        ("file.csv", BY_FORCE, None),
        ("FILE.CSV", BY_FORCE, None),
        ("./a/../file.csv", BY_FORCE, None),
        ("nowhere.csv", BY_FORCE, None),
        ("to-file.csv", BY_FORCE, None),
        *(
            (name, *["is one of the input files; choose another name"] * 2)
            for name in ("input.csv", "./input.csv", "to-input.csv", "twin.csv")
        ),
        ("folder.csv", "is a folder; choose another name", "is a folder; choose another name"),
        ("to-folder.csv", "is a folder; choose another name", "is a folder; choose another name"),
        ("pipe.csv", "is not a regular file; choose another name", "is not a regular file; choose another name"),
    ],
)
def test_a_name_is_good_or_refused_in_one_line(
    folder: Path, name: str, bare: str | None, forced: str | None
) -> None:
    Path("a").mkdir()
    before = sorted(folder.rglob("*"))
    for force, said in ((False, bare), (True, forced)):
        if said is None:
            there = check_out(Path(name), inputs=[Path("input.csv"), Path("gone.csv")], force=force)
            assert there is (bare is not None)
        else:
            with pytest.raises(DataError) as error:
                check_out(Path(name), inputs=[Path("input.csv"), Path("gone.csv")], force=force)
            assert str(error.value) == f"--out {Path(name)}: {said}"
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("plain/new.csv", snapshot("plain: is a file; expected a folder for new.csv")),
        ("plain/in/new.csv", snapshot("plain/in: cannot be made (Not a directory); choose another folder")),
        (
            "x" * 300 + ".csv",
            snapshot(
                "--out xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: cannot "
                "be used (File name too long); choose another name"
            ),
        ),
        (
            "x" * 300 + "/new.csv",
            snapshot(
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: cannot be used "
                "(File name too long); choose another folder"
            ),
        ),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_cannot_be_is_refused(name: str, said: str, force: bool) -> None:
    with raises(DataError) as error:
        check_out(Path(name), force=force)
    assert error.message == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("page.htm", None),
        ("page.csv", snapshot("--html page.csv: expected a name that ends in .html")),
        (
            "there.html",
            snapshot("--html there.html: is there already; choose another name, nothing is overwritten"),
        ),
        ("folder.html", snapshot("--html folder.html: is a folder; choose another name, nothing is overwritten")),
    ],
)
def test_a_command_without_force_offers_none(name: str, said: str | None) -> None:
    Path("there.html").touch()
    Path("folder.html").mkdir()
    if said is None:
        assert check_out(Path(name), (".html", ".htm"), option="--html", force=None) is False
    else:
        with raises(DataError) as error:
            check_out(Path(name), (".html", ".htm"), option="--html", force=None)
        assert error.message == said
