"""A run's log that was damaged, or that somebody else wrote."""

import json
from pathlib import Path

from tools.watching import keep_log_until


def test_what_is_no_line_of_a_log_is_dropped(tmp_path: Path) -> None:
    good = [json.dumps({"nimg": nimg, "loss/critic": 1.0}).encode() for nimg in (16, 32, 48)]
    bad = [b"", b"5", b"[]", b'{"nimg": "16"}', b'{"nimg": null}', b'{"nimg": 1', b"\xff\xfe",
           b"[" * 200_000, b'{"nimg": []}', b"\0"]  # fmt: skip
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"\n".join([*bad, good[0], *bad, good[1], good[2], *bad]))
    keep_log_until(tmp_path, 32)
    assert log.read_bytes().splitlines() == good[:2]
    keep_log_until(tmp_path, 0)
    assert log.read_bytes() == b""
