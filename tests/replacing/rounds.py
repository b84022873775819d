"""Many rounds of writers at random moments: rounds/main.rs on each file system, with the options that it needs there.

    tests/replacing/run rounds [--rounds 1000000] [--on tmpfs,ext4] [--way WORD] [--seed S]
"""
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """Options of a run, and what share of the rounds it gets, for rounds in which an original lingers long take longer."""

    name: str
    options: tuple = ()
    lanes: int = 8
    share: float = 1


GUARDED = (Way("guarded", share=0.9), Way("guarded, recovery beside", ("--recover",), share=0.1))
ACCEPT = ("--unguarded", "accept", "--may-return", "--hold-ms", "10")
FUSE = (Way("accepted", (*ACCEPT, "--unguarded-linger-ms", "60"), lanes=48),
        Way("refused", ("--untouched",), share=0.1))
# Writes from below may be seen after a second only.
CACHED = (Way("accepted", (*ACCEPT, "--unguarded-linger-ms", "2500", "--settle-ms", "1100"), lanes=200),
          Way("refused", ("--untouched", "--settle-ms", "1100"), lanes=200, share=0.1))
CONTROL = Way("negative control", ("--without-guard",))


def ways_on(place):
    return {"fuse": FUSE, "fuse-cached": CACHED}.get(place.kind, GUARDED)


def run(place, way, program, options):
    """One run; -> whether nothing was lost."""
    directory = place.fresh(f"rounds-{way.name}".replace(" ", "-").replace(",", ""))
    command = [program, directory, *way.options, "--seed", options.seed, "--lanes", way.lanes,
               "--rounds", max(1, int(options.rounds * way.share))]
    if place.is_fuse:
        command += ["--below", place.hidden(directory)]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    said = (done.stdout + done.stderr).strip()
    if way is CONTROL or done.returncode == 0:
        said = "\n".join(said.splitlines()[-6:])
    word = 'ok' if done.returncode == 0 else f'not ok (exit status {done.returncode})'
    print(f"{word} - {place.kind}, {way.name}, rounds of writers:\n{said}", flush=True)
    return done.returncode == 0
