"""`systemctl reload`: what is right takes effect, what is wrong changes nothing, and work in flight goes on."""
import time

from sensor import (CAPTURES, LIVE, UNIT, await_slimmed, configure, conversation, cursor, eventually, expect, is_active,
                    marker, messages, new_directory, override, pid, property, put, reload, restart, run, staging)


def a_reload_watches_what_was_added_and_lets_go_of_what_was_taken_away():
    added = new_directory("added")
    override("wide", f"[Service]\nReadWritePaths={CAPTURES}\n")  # a sandbox stays as wide as it was at its start
    restart()
    before, data = pid(), conversation(50_000)
    configure("reload", f'[[watch]]\npath = "{added}"\n')
    reload()
    await_slimmed(put(added / "watched.pcap", data), data)
    configure("reload", "")
    reload()
    forgotten = put(added / "forgotten.pcap", data)
    await_slimmed(put(LIVE / "still-watched.pcap", data), data)
    time.sleep(1)
    expect(forgotten.read_bytes() == data and not marker(forgotten).exists(), "it was slimmed all the same")
    expect(pid() == before, "it is another process")


def a_reload_with_mistakes_names_each_of_them_and_changes_nothing():
    before, since = pid(), cursor()
    configure("reload", "[defaults]\nage_minuets = 3\n[budget]\nworkers = 0\n")
    run("systemctl", "reload", UNIT, check=False)

    def all_told():
        said = "\n".join(messages(since))
        return all(word in said for word in ("reload.toml", "age_minuets", "workers"))

    eventually(all_told, "the journal names file and keys")
    eventually(lambda: property("ActiveState") == "active", "it is active again")
    expect(pid() == before, "it is another process")
    data = conversation(50_000)
    await_slimmed(put(LIVE / "despite-mistakes.pcap", data), data)
    configure("reload", "")
    reload()


def a_reload_changes_the_budget_of_a_capture_in_work():
    data, path = conversation(30_000_000), LIVE / "slow.pcap"
    configure("zz-slow", "[budget]\nmax_io_mbps = 0.5\n")
    reload()
    put(path, data)
    eventually(lambda: staging(LIVE), "it is in work")
    time.sleep(1)
    expect(staging(LIVE), "the budget does not slow it: the scenario proves nothing")
    configure("zz-slow", "")
    reload()
    await_slimmed(path, data, 30)


def forty_reloads_in_a_row_lose_nothing():
    data, before = conversation(20_000), pid()
    for number in range(40):
        put(LIVE / f"meanwhile-{number}.pcap", data)
        run("systemctl", "kill", "--kill-who=main", "--signal=HUP", UNIT)
        time.sleep(0.02)
    for number in range(40):
        await_slimmed(LIVE / f"meanwhile-{number}.pcap", data)
    expect(pid() == before and eventually(is_active, "it is active"), "it is another process")
