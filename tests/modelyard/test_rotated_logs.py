"""Logs of long-lived servers: earlier ones are kept, nothing grows for ever, and the writer notices nothing."""

import os
import subprocess
import sys
import time

from modelyard import rotated_logs
from modelyard.rotated_logs import cut_if_large, keep_earlier


def test_the_log_of_a_crash_survives_the_next_starts(tmp_path):
    log = tmp_path / "model_server.log"
    for number in range(8):
        log.write_text(f"start {number}")
        keep_earlier(log)
        assert not log.exists()
    keep_earlier(log)
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {f"model_server.log.{number}": f"start {8 - number}" for number in range(1, 6)}


def test_old_ones_go(tmp_path):
    log = tmp_path / "model_server.log"
    old = tmp_path / "model_server.log.1"
    old.write_text("old")
    os.utime(old, (time.time() - 40 * 86_400,) * 2)
    keep_earlier(log)
    assert not old.exists()


def test_a_large_log_is_cut_while_another_process_writes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(rotated_logs, "_MOST_BYTES", 10_000)
    log = tmp_path / "model_server.log"
    code = "import time\nfor n in range(400): print('line', n, 'x' * 100, flush=True); time.sleep(0.002)"
    with log.open("ab") as output:
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=output)
    while writer.poll() is None:
        cut_if_large(log)
        time.sleep(0.02)
    assert log.stat().st_size < 30_000
    assert len(list(tmp_path.iterdir())) > 2
    texts = [path.read_text() for path in tmp_path.iterdir()]
    assert all(text.startswith(("line ", "x")) for text in texts if text)  # no hole in front of it
    assert "line 399" in "".join(texts)
