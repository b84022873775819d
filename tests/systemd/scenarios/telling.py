"""The journal tells the story: fixed fields, one message id a kind of event, a catalog that explains each."""
import json
import time

import reference_slim
from sensor import (AGE, LIVE, UNIT, await_slimmed, conversation, cursor, eventually, expect, failed_marker, journal,
                    marker, outcomes, put, run, slimmed, text)

FIELDS = ("PCAP_FILE", "PCAP_OUTCOME", "PCAP_POLICY", "PCAP_PACKETS", "PCAP_TRUNCATED", "PCAP_BYTES_IN",
          "PCAP_BYTES_OUT", "PCAP_ELAPSED_MS", "PCAP_THROTTLED_MS", "MESSAGE_ID")


def a_slimmed_capture_is_one_entry_with_every_figure():
    data, since = conversation(200_000), cursor()
    path = put(LIVE / "told.pcap", data)
    await_slimmed(path, data)
    entries = eventually(lambda: outcomes(path, since), "it is told")
    expect(len(entries) == 1, f"{len(entries)} entries")
    entry = entries[0]
    missing = [field for field in FIELDS if not text(entry, field)]
    expect(not missing, f"without {missing}")
    expect(text(entry, "PRIORITY") == "6", f"its priority is {text(entry, 'PRIORITY')}")
    expect(int(text(entry, "PCAP_BYTES_IN")) == len(data), "bytes before are wrong")
    expect(int(text(entry, "PCAP_BYTES_OUT")) == len(slimmed(data)), "bytes after are wrong")
    verdicts = reference_slim.slim_capture(data)[1]
    expect(int(text(entry, "PCAP_PACKETS")) == len(verdicts), "packets are wrong")
    expect(int(text(entry, "PCAP_TRUNCATED")) == verdicts.count("cut"), "cut packets are wrong")
    expect(text(entry).startswith("slimmed told.pcap: "), f"the line is {text(entry)!r}")


def the_marker_says_what_the_journal_said():
    path = LIVE / "told.pcap"
    said, entry = json.loads(marker(path).read_text()), outcomes(path)[-1]
    for key in ("packets", "truncated", "bytes_in", "bytes_out", "policy"):
        expect(str(said[key]) == text(entry, f"PCAP_{key.upper()}"), f"{key} is {said[key]} in the marker")


def a_failed_capture_is_one_warning_with_the_reason():
    since = cursor()
    path = put(LIVE / "told-failed.pcap", b"no capture")
    entry = eventually(lambda: outcomes(path, since, "failed"), "it is told")[0]
    expect(text(entry, "PRIORITY") == "4", f"its priority is {text(entry, 'PRIORITY')}")
    expect(text(entry, "PCAP_REASON") and text(entry, "PCAP_REASON") in text(entry), "the line lacks the reason")


def every_outcome_has_a_message_id_of_its_own_that_the_catalog_explains():
    ids = {}
    for entry in journal():
        if outcome := text(entry, "PCAP_OUTCOME"):
            ids.setdefault(text(entry, "MESSAGE_ID"), set()).add(outcome)
    expect("" not in ids, "some have no message id")
    expect({"slimmed"} in ids.values() and {"failed"} in ids.values(), f"the message ids are {ids}")
    own = [entry for entry in journal() if text(entry, "SYSLOG_IDENTIFIER") == "pcap-slimd"]
    for id in {text(entry, "MESSAGE_ID") for entry in own} - {""}:
        explained = run("journalctl", "--dump-catalog", id, check=False).stdout
        expect("Subject:" in explained, f"the catalog has nothing on {id}")
        expect(len(explained.splitlines()) > 5, f"the catalog says too little on {id}: {explained}")


def journalctl_x_explains_an_entry_where_it_stands():
    said = run("journalctl", "--catalog", "--unit", UNIT, "PCAP_OUTCOME=failed").stdout
    expect("failed told-failed.pcap" in said and "Subject:" in said, f"it says {said[:500]!r}")


def a_thousand_captures_that_fail_alike_are_no_flood():
    since = cursor()
    for number in range(1000):
        put(LIVE / f"alike-{number:04}.pcap", b"no capture")
    alike = [LIVE / f"alike-{number:04}.pcap" for number in range(1000)]
    eventually(lambda: all(failed_marker(path).exists() for path in alike), "all are given up", 60)
    time.sleep(AGE)
    warnings = [e for e in journal(since) if text(e, "PRIORITY") in ("0", "1", "2", "3", "4")]
    expect(1 <= len(warnings) <= 60, f"{len(warnings)} warnings")
    for path in alike:
        path.unlink()
    data = conversation(20_000)
    await_slimmed(put(LIVE / "after-the-flood.pcap", data), data)
    expect(eventually(lambda: outcomes(LIVE / "after-the-flood.pcap", since), "it is told"), "")
