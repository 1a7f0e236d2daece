"""Slack: the messages of a day as an export has them, and how the days of a channel become dialogues.

A thread is a dialogue of its own. The other messages of a channel are cut like a chat. Days and times are those of
Korea (UTC+9), since an export has no time zone.
"""

from __future__ import annotations

import html
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path, PurePosixPath

from llm_summ.core.errors import DataError
from llm_summ.data.formats.chats import Message, cut_messages
from llm_summ.data.formats.conversation import Reading, ReadOptions, Source, conversation_format
from llm_summ.data.formats.json_node import Node, has_keys, read_json

__all__ = ["SLACK", "is_day", "is_slack_export", "read_channels", "user_names"]

_KOREA = timezone(timedelta(hours=9))
_SYSTEM = re.compile(
    r"(?:channel|group)_(?:join|leave|topic|purpose|name|archive|unarchive|posting_permissions|convert_to_private)"
    r"|bot_add|bot_remove|pinned_item|reminder_add|sh_room_created"
)
_LINK = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\.json")
_INDEX = frozenset({"users.json", "channels.json"})


def is_slack_export(names: Iterable[str]) -> bool:
    """Return whether the names in a folder or an archive are those of an export: an index, and channels' days."""
    paths = [PurePosixPath(name) for name in names]
    return any(path.name in _INDEX and len(path.parts) <= 2 for path in paths) and any(
        _DAY.fullmatch(path.name) and len(path.parts) >= 2 for path in paths
    )


def user_names(source: Source) -> dict[str, str]:
    """Return the names in users.json by id.

    Raises:
        DataError: it is not a list of users.
    """
    names = {}
    for user in read_json(source):
        profile = user["profile"]
        name = profile["display_name"].text() or user["real_name"].text() or profile["real_name"].text()
        names[user["id"].text()] = name or user["name"].text()
    return names


def read_channels(
    days: Mapping[str, Sequence[Source]], users: Mapping[str, str], options: ReadOptions
) -> Iterable[tuple[Path, Reading | DataError]]:
    """Yield each channel with its dialogues, or with the error that stops it.

    Args:
        days: by channel, the files of its days.
        users: from `user_names`.
        options: how to cut.
    """
    for channel, sources in sorted(days.items()):
        path = sources[0].path.parent
        try:
            messages = [
                message
                for source in sorted(sources, key=lambda one: one.path.name)
                for message in read_json(source)
            ]
            yield path, _dialogues(Source(path / channel, b""), messages, users, options)
        except DataError as error:
            yield path, error


def is_day(name: str) -> bool:
    """Return whether a name is that of a day's file."""
    return _DAY.fullmatch(PurePosixPath(name).name) is not None


def _parse(source: Source, options: ReadOptions) -> Reading:
    return _dialogues(source, list(read_json(source)), {}, options)


def _dialogues(
    source: Source, messages: Sequence[Node], users: Mapping[str, str], options: ReadOptions
) -> Reading:
    """Return the threads, and the other messages cut into dialogues."""
    dropped: Counter[str] = Counter()
    names = {**_own_names(messages), **users}
    flow: list[Message] = []
    threads: dict[str, list[Message]] = defaultdict(list)
    for number, message in enumerate(messages, 1):
        read = _message(message, number, names, options, dropped)
        if read is None:
            continue
        thread = message["thread_ts"].text()
        (threads[thread] if thread else flow).append(read)
    for thread, replies in list(threads.items()):
        replies.sort(key=lambda one: one.when or datetime.min)
        if len(replies) == 1:  # the root whose replies are gone, or the reverse
            flow += threads.pop(thread)
    flow.sort(key=lambda one: one.when or datetime.min)
    reading = cut_messages(source, flow, options, dated=True)
    whole = ReadOptions("whole")
    for replies in threads.values():
        reading.conversations += cut_messages(source, replies, whole, dated=True).conversations
        when = replies[0].when
        last = reading.conversations[-1] if reading.conversations else None
        if when is not None and last is not None:
            last.id += when.strftime("_thread_%Y-%m-%d_%H%M%S")
    reading.conversations.sort(key=lambda one: str(one.values.get("date", "")))
    reading.dropped.update(dropped)
    return reading


def _message(
    message: Node, number: int, names: Mapping[str, str], options: ReadOptions, dropped: Counter[str]
) -> Message | None:
    """Return a message; None if it is dropped."""
    kind = None
    subtype = message["subtype"].text()
    if subtype == "tombstone":
        kind = "deleted"
    elif _SYSTEM.fullmatch(subtype) or message["type"].text() not in ("message", ""):
        kind = "system"
    text = _readable(message["text"].text(), names).strip()
    files = [file["name"].text() or file["title"].text() for file in message["files"]]
    text = "\n".join([text, *(f"파일: {name}" for name in files if name)]).strip()
    if kind is None and not text:
        kind = "empty message"
    if kind is not None and (kind not in options.keep or not text):
        dropped[kind] += 1
        return None
    user = message["user"].text()
    name = names.get(user) or message["username"].text() or message["bot_profile"]["name"].text() or user
    return Message(number, _time(message), None if kind == "system" else name or None, text)


def _own_names(messages: Sequence[Node]) -> dict[str, str]:
    """Return the names of users that the messages themselves have."""
    names = {}
    for message in messages:
        profile = message["user_profile"]
        if name := profile["display_name"].text() or profile["real_name"].text() or profile["name"].text():
            names[message["user"].text()] = name
    return names


def _readable(text: str, names: Mapping[str, str]) -> str:
    """Return a text with names in place of ids, and labels in place of links."""

    def shown(match: re.Match[str]) -> str:
        target, label = match[1], match[2]
        if target.startswith("@"):
            return f"@{names.get(target[1:]) or label or target[1:]}"
        if target.startswith("#"):
            return f"#{label or target[1:]}"
        return f"@{(label or target[1:]).lstrip('@')}" if target.startswith("!") else label or target

    return html.unescape(_LINK.sub(shown, text))


def _time(message: Node) -> datetime | None:
    stamp = message["ts"].seconds()
    try:
        return None if stamp is None else datetime.fromtimestamp(stamp, _KOREA).replace(tzinfo=None)
    except (OverflowError, ValueError, OSError):
        return None


def _is_slack(path: Path, head: bytes) -> bool:
    return has_keys(head, "ts", "type", "text") and (has_keys(head, "user") or has_keys(head, "subtype"))


SLACK = conversation_format("slack", (".json",), _parse, sniff=_is_slack, unit="row")
