"""Runs of pcap-slim on one capture: untouched, under a tracer, and what each reports."""
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import captures
import judge
import tracer

PATIENCE = 60  # seconds


@dataclass(frozen=True)
class Program:
    """The one-shot program, its options, and what stands before it on the command line."""

    path: Path
    options: tuple = ()
    before: tuple = ()

    @classmethod
    def at(cls, path):
        """With the options of these tests: the reference policy, and originals that linger for a moment only."""
        wanted = ("--policy", "reference", "--output", "json", "--progress", "never")
        # The negative control knows no options.
        said = subprocess.run([path, "--help"], capture_output=True, text=True, timeout=PATIENCE).stdout
        return cls(Path(path), wanted + (("--linger-ms", "1") if "--linger-ms" in said else ()))

    @property
    def alone(self):
        """The program and its options; the negative control is run by the Python that runs us."""
        python = (sys.executable, "-I", "-S") if self.path.suffix == ".py" else ()
        return (*python, self.path, *self.options)

    def with_options(self, *options):
        return Program(self.path, self.options + options, self.before)

    def behind(self, *words):
        """Run by another program."""
        return Program(self.path, self.options, words + self.before)

    def command(self, directory):
        return [*self.before, *self.alone, "--single", Path(directory) / captures.NAME]

    def run(self, directory):
        """An undisturbed run; -> its report."""
        done = subprocess.run(self.command(directory), capture_output=True, timeout=PATIENCE)
        return judge.Report.of(done.returncode, done.stdout)

    def start(self, directory):
        """A run that is not waited for."""
        return subprocess.Popen(self.command(directory), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def traced(self, directory, watcher, below=None):
        """A run whose calls `below` a directory (this one, if no other is named) are watched; -> its report."""
        with tempfile.TemporaryFile() as output:
            ran = tracer.Tracer(self.command(directory), below or directory, watcher, output.fileno())
            exit_status = ran.run()
            output.seek(0)
            return judge.Report.of(exit_status, output.read())


def age_staging(directory):
    """Makes every staging file so old that it is taken for a leftover: those beside captures may be another tool's."""
    for place in (Path(directory), Path(directory) / judge.MARKERS):
        for name in judge.entries(place):
            if name.endswith(".tmp"):
                os.utime(place / name, (0, 0), follow_symlinks=False)
