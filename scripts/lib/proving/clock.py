"""The wall clock of a member, set while it runs, by a library that is preloaded into it."""
import os, shutil, struct, subprocess


class Clock:
    """Seconds that a member's clock is ahead of ours, or behind."""
    library = None

    @classmethod
    def build(cls, directory):
        """Returns whether clocks can be set from now on: it takes a C compiler."""
        compiler = shutil.which("cc") or shutil.which("clang")
        if compiler is None:
            return False
        library = os.path.join(directory, "clock.so")
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, os.path.join(os.path.dirname(__file__), "clock.c"),
                        "-lpthread"], check=True)
        cls.library = library
        return True

    def __init__(self, path):
        self.path, self.seconds = path, 0
        with open(path, "wb") as file:
            file.write(struct.pack("=q", 0))

    @property
    def environment(self):
        return {"LD_PRELOAD": self.library, "SINKCTL_PROVE_CLOCK": self.path}

    def set(self, seconds):
        self.seconds = seconds
        # In place: the member has the file mapped.
        with open(self.path, "r+b") as file:
            file.write(struct.pack("=q", seconds))
