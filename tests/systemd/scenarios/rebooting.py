"""After a reboot: nobody starts the daemon by hand, and what was done stays done."""
import os

from sensor import LIVE, await_slimmed, conversation, eventually, expect, is_active, journal, marker, run, slimmed, text


def after_a_reboot_it_runs_by_itself_and_finds_what_was_due():
    eventually(is_active, "it is started")
    expect(run("systemctl", "is-system-running", check=False).stdout.strip() == "running", "a unit failed")
    await_slimmed(LIVE / "before-the-reboot.pcap", conversation(30_000))


def after_a_reboot_nothing_is_slimmed_twice():
    def told():
        this_boot = [e for e in journal(None, "--boot") if text(e, "PCAP_OUTCOME") == "slimmed"]
        return [os.path.basename(text(e, "PCAP_FILE")) for e in this_boot]

    # The line comes when the original has lingered.
    eventually(told, "a capture is told in this boot")
    expect(told() == ["before-the-reboot.pcap"], f"slimmed in this boot: {told()}")
    done = LIVE / "before-the-upgrade.pcap"
    expect(done.read_bytes() == slimmed(conversation(20_000)) and marker(done).exists(), "it changed")
