"""Write a conversation as each messenger, recorder or corpus writes it. The readers are tested against these."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

__all__ = ["BEGAN", "CHATS", "SPEECH", "Composer", "Said", "clock", "slack_files", "stamp"]

BEGAN = datetime(2026, 3, 2, 18, 1)
_DAYS = "월화수목금토일"


class Said(NamedTuple):
    """A turn to write: the speaker, the words, and when they begin, in seconds."""

    speaker: str
    text: str
    at: float


def clock(when: datetime, half: bool = True, words: tuple[str, str] = ("오전", "오후")) -> str:
    """Return ``오후 6:01``, or ``18:01``."""
    if not half:
        return f"{when:%H:%M}"
    return f"{words[when.hour >= 12]} {when.hour % 12 or 12}:{when:%M}"


def when_of(said: Said) -> datetime:
    return BEGAN + timedelta(seconds=said.at)


def day_ko(when: datetime) -> str:
    return f"{when.year}년 {when.month}월 {when.day}일 {_DAYS[when.weekday()]}요일"


def day_en(when: datetime) -> str:
    return f"{when:%A, %B} {when.day}, {when.year}"


def _with_days(
    conversation: Sequence[Said], day: Callable[[datetime], str], line: Callable[[Said], str]
) -> list[str]:
    lines: list[str] = []
    last = None
    for said in conversation:
        when = when_of(said)
        if when.date() != last:
            lines.append(day(when))
            last = when.date()
        lines.append(line(said))
    return lines


def kakao_windows_ko(conversation: Sequence[Said]) -> str:
    head = ["민지, 도윤 님과 카카오톡 대화", "저장한 날짜 : 2026-03-02 18:20:11", ""]
    dashes = "-" * 15
    body = _with_days(
        conversation,
        lambda when: f"{dashes} {day_ko(when)} {dashes}",
        lambda said: f"[{said.speaker}] [{clock(when_of(said))}] {said.text}",
    )
    return "\ufeff" + "\r\n".join("\n".join([*head, *body]).split("\n")) + "\r\n"


def kakao_windows_en(conversation: Sequence[Said]) -> str:
    head = ["Minji, Doyun with KakaoTalk Chats", "Date Saved : 2026-03-02 18:20:11", ""]
    dashes = "-" * 15

    def line(said: Said) -> str:
        half, figures = clock(when_of(said), words=("AM", "PM")).split()
        return f"[{said.speaker}] [{figures} {half}] {said.text}"

    return "\n".join(
        [*head, *_with_days(conversation, lambda when: f"{dashes} {day_en(when)} {dashes}", line), ""]
    )


def kakao_copied(conversation: Sequence[Said]) -> str:
    return "\n".join(
        _with_days(conversation, day_ko, lambda said: f"[{said.speaker}] [{clock(when_of(said))}] {said.text}")
    )


def _mobile(
    conversation: Sequence[Said], title: str, day: Callable[[datetime], str], time: Callable[[datetime], str]
) -> str:
    body = _with_days(
        conversation,
        lambda when: f"\n{day(when)}",
        lambda said: f"{time(when_of(said))}, {said.speaker} : {said.text}",
    )
    return "\n".join([title, *body, ""])


def _dots(when: datetime) -> str:
    return f"{when.year}. {when.month}. {when.day}."


def kakao_android_ko(conversation: Sequence[Said]) -> str:
    return _mobile(
        conversation,
        "우리 팀 님과 카카오톡 대화\n저장한 날짜 : 2026년 3월 2일 오후 6:20\n",
        day_ko,
        lambda when: f"{day_ko(when)[:-4]} {clock(when)}",
    )


def kakao_android_en(conversation: Sequence[Said]) -> str:
    def time(when: datetime) -> str:
        half, figures = clock(when, words=("AM", "PM")).split()
        return f"{when:%B} {when.day}, {when.year}, {figures} {half}"

    return _mobile(conversation, "KakaoTalk Chats with Team\nDate Saved : March 2, 2026, 6:20 PM\n", day_en, time)


def kakao_ios(conversation: Sequence[Said]) -> str:
    return _mobile(
        conversation,
        "우리 팀 님과 카카오톡 대화\n저장한 날짜 : 2026. 3. 2. 오후 6:20\n",
        lambda when: f"{_dots(when)} {_DAYS[when.weekday()]}요일",
        lambda when: f"{_dots(when)} {clock(when)}",
    )


def kakao_24h(conversation: Sequence[Said]) -> str:
    return _mobile(
        conversation,
        "우리 팀 님과 카카오톡 대화\n저장한 날짜 : 2026. 3. 2. 18:20\n",
        lambda when: f"{_dots(when)} {_DAYS[when.weekday()]}요일",
        lambda when: f"{_dots(when)} {clock(when, half=False)}",
    )


def kakao_mac(conversation: Sequence[Said]) -> str:
    out = io.StringIO()
    out.write("Date,User,Message\n")
    for said in conversation:
        quoted = io.StringIO()
        csv.writer(quoted, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow([said.speaker, said.text])
        out.write(f"{when_of(said):%Y-%m-%d %H:%M:%S},{quoted.getvalue()}")
    return out.getvalue()


def plain(conversation: Sequence[Said]) -> str:
    return "".join(f"{said.speaker}: {said.text}\n" for said in conversation)


def clova_note(conversation: Sequence[Said]) -> str:
    head = ["주간 회의", "2026.03.02 월 오후 6:01 ・ 122분 10초", "민지", ""]
    blocks = [f"{said.speaker} {said.at // 60:02.0f}:{said.at % 60:02.0f}\n{said.text}\n" for said in conversation]
    return "\n".join([*head, *blocks, "clovanote.naver.com", ""])


def clova_speech(conversation: Sequence[Said]) -> str:
    segments = [
        {
            "start": round(said.at * 1000),
            "end": round(said.at * 1000) + 900,
            "text": "틀린 말",
            "textEdited": said.text,
            "confidence": 0.9,
            "speaker": {"label": str(index), "name": said.speaker, "edited": True},
            "words": [[0, 900, "틀린"]],
        }
        for index, said in enumerate(conversation)
    ]
    return as_json({"result": "COMPLETED", "segments": segments, "text": "", "confidence": 0.9})


def stamp(seconds: float, comma: str = ".") -> str:
    """Return ``00:02:33.480``."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{comma}{thousandths:03}"


def vtt_zoom(conversation: Sequence[Said]) -> str:
    cues = [
        f"{number}\n{stamp(said.at)} --> {stamp(said.at + 0.9)}\n{said.speaker}: {said.text}\n"
        for number, said in enumerate(conversation, 1)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def vtt_teams(conversation: Sequence[Said]) -> str:
    escaped = [said._replace(text=said.text.replace("&", "&amp;").replace("<", "&lt;")) for said in conversation]
    cues = [
        f"5e1f/{number}-0\n{stamp(said.at)} --> {stamp(said.at + 0.9)}\n<v {said.speaker}>{said.text}</v>\n"
        for number, said in enumerate(escaped, 1)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def srt(conversation: Sequence[Said]) -> str:
    return "\n".join(
        f"{number}\n{stamp(said.at, ',')} --> {stamp(said.at + 0.9, ',')}\n{said.speaker}: {said.text}\n"
        for number, said in enumerate(conversation, 1)
    )


def whisperx(conversation: Sequence[Said]) -> str:
    segments = [
        {"start": said.at, "end": said.at + 0.9, "text": f" {said.text}", "speaker": said.speaker, "words": []}
        for said in conversation
    ]
    return as_json({"segments": segments, "word_segments": []})


def nikl(conversation: Sequence[Said]) -> str:
    utterances = [
        {"id": f"SDRW2000000001.1.1.{number}", "form": said.text, "original_form": "", "speaker_id": said.speaker,
         "start": said.at, "end": said.at + 0.9, "note": ""}
        for number, said in enumerate(conversation, 1)
    ]  # fmt: skip
    speakers = [{"id": name, "age": "20대"} for name in dict.fromkeys(said.speaker for said in conversation)]
    document = {
        "id": "SDRW2000000001.1",
        "metadata": {"topic": "여행", "speaker": speakers},
        "utterance": utterances,
    }
    return as_json({"id": "SDRW2000000001", "metadata": {"title": "일상 대화"}, "document": [document]})


def malpyeong(conversation: Sequence[Said]) -> str:
    said = [{"speaker": one.speaker, "utterance": one.text} for one in conversation]
    row = {
        "id": "nikluge-2024-일상 대화 요약-dev-000001",
        "input": {"conversation": said, "subject_keyword": ["여행"]},
        "output": "요약",
    }
    return as_json([row])


def aihub_dialogue(conversation: Sequence[Said]) -> str:
    dialogue = [
        {"utteranceID": f"U{number}", "turnID": f"T{number}", "participantID": said.speaker,
         "date": f"{when_of(said):%Y-%m-%d}", "time": f"{when_of(said):%H:%M:%S}", "utterance": said.text}
        for number, said in enumerate(conversation, 1)
    ]  # fmt: skip
    info = {"dialogueID": "1f0c", "numberOfParticipants": 2, "type": "일상 대화", "topic": "여가 생활"}
    item = {
        "header": {"dialogueInfo": info, "participantsInfo": []},
        "body": {"dialogue": dialogue, "summary": "요약"},
    }
    return as_json({"numberOfItems": 1, "data": [item]})


def aihub_582(conversation: Sequence[Said]) -> str:
    passage = "\n".join(f"○{said.speaker}  {said.text}" for said in conversation)
    document = {
        "Meta(Acqusition)": {"doc_id": "M1", "doc_type": "minute", "doc_name": "본회의", "doc_origin": "의회"},
        "Meta(Refine)": {"passage_id": "7", "passage": passage},
        "Annotation": {"summary1": "요약", "summary2": None, "summary3": "세 문장."},
    }
    return as_json(document)


def aihub_464(conversation: Sequence[Said]) -> str:
    utterances = [
        {
            "original_form": said.text,
            "form": said.text,
            "speaker_id": said.speaker,
            "start": said.at,
            "end": said.at + 0.9,
        }
        for said in conversation
    ]
    return as_json({"metadata": {"title": "회의"}, "speaker": [], "utterance": utterances})


def aihub_calls(conversation: Sequence[Said]) -> str:
    task = {
        "task": "요약",
        "task_category": "상담 요약",
        "instruction": "요약하세요",
        "input": "",
        "output": "요약",
    }
    record = {
        "source_id": "c1", "source": "민간", "consulting_category": "환불", "consulting_turns": "9",
        "consulting_content": "\n".join(f"{said.speaker}: {said.text}" for said in conversation),
        "instructions": [{"tuning_type": "요약", "data": [task]}],
    }  # fmt: skip
    return as_json([record])


def aihub_finance(conversation: Sequence[Said]) -> str:
    pairs = zip(conversation[::2], conversation[1::2], strict=True)
    qa = [
        {
            "qa_id": str(number),
            "task_category": "질의",
            "consulting_situation": "",
            "input": {"question": q.text},
            "output": a.text,
        }
        for number, (q, a) in enumerate(pairs, 1)
    ]
    consulting = {"consulting_category": "대출", "consulting_topic": "이자", "consulting_summary": "요약"}
    return as_json({"source": {"source_id": "f1"}, "consulting": consulting, "qa_data": qa})


def epoch(said: Said) -> float:
    """Return the time as Slack has it: seconds in UTC, nine hours behind Korea."""
    return (when_of(said) - datetime(1970, 1, 1)).total_seconds() - 9 * 3600


def slack_messages(conversation: Sequence[Said]) -> list[dict[str, Any]]:
    return [
        {"type": "message", "user": f"U{said.speaker}", "ts": f"{epoch(said):.6f}",
         "text": said.text.replace("&", "&amp;").replace("<", "&lt;"),
         "user_profile": {"display_name": said.speaker}}
        for said in conversation
    ]  # fmt: skip


def slack(conversation: Sequence[Said]) -> str:
    return as_json(slack_messages(conversation))


def slack_files(channels: dict[str, dict[str, list[dict[str, Any]]]], users: dict[str, str]) -> dict[str, str]:
    """Return the files of an export: messages by channel and day."""
    index = [{"id": user, "name": "x", "profile": {"display_name": name}} for user, name in users.items()]
    files = {
        "users.json": as_json(index),
        "channels.json": as_json([{"id": "C1", "name": name} for name in channels]),
    }
    files["integration_logs.json"] = "[]"
    for channel, days in channels.items():
        files.update({f"{channel}/{day}.json": as_json(messages) for day, messages in days.items()})
    return files


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)


Composer = Callable[[Sequence[Said]], str]
CHATS: dict[str, tuple[str, str, Composer]] = {
    "windows-ko": ("kakaotalk", ".txt", kakao_windows_ko),
    "windows-en": ("kakaotalk", ".txt", kakao_windows_en),
    "copied": ("kakaotalk", ".txt", kakao_copied),
    "android-ko": ("kakaotalk", ".txt", kakao_android_ko),
    "android-en": ("kakaotalk", ".txt", kakao_android_en),
    "ios": ("kakaotalk", ".txt", kakao_ios),
    "24-hour": ("kakaotalk", ".txt", kakao_24h),
    "mac": ("kakaotalk-mac", ".csv", kakao_mac),
    "slack": ("slack", ".json", slack),
}
"""Messengers: a turn for each message, which may have several lines."""

SPEECH: dict[str, tuple[str, str, Composer]] = {
    "clova-speech": ("clova-speech", ".json", clova_speech),
    "vtt-zoom": ("vtt", ".vtt", vtt_zoom),
    "vtt-teams": ("vtt", ".vtt", vtt_teams),
    "srt": ("srt", ".srt", srt),
    "whisperx": ("whisper", ".json", whisperx),
    "nikl": ("nikl", ".json", nikl),
    "malpyeong": ("malpyeong", ".json", malpyeong),
    "aihub-464": ("aihub-464", ".json", aihub_464),
    "aihub-dialogue": ("aihub-dialogue", ".json", aihub_dialogue),
    "aihub-582": ("aihub-582", ".json", aihub_582),
    "aihub-calls": ("aihub-calls", ".json", aihub_calls),
    "aihub-finance": ("aihub-finance", ".json", aihub_finance),
    "clova-note": ("clova-note", ".txt", clova_note),
    "text": ("text", ".txt", plain),
}
"""Transcripts and corpora: the next turn has another speaker."""
