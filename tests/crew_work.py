"""What the processes of a crew do in its tests; a process that is started imports this module."""

import os
import signal
import time


def echoing(member, word):
    """Values, words on the way, errors and ends, as a call asks."""

    def work(what, tell):
        tell(member.rank, what)
        if what == "fail":
            raise ValueError(f"{word} failed")
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "leave":
            os._exit(3)
        if what == "wait":
            time.sleep(600)
        return f"{word} {what}", os.getpid()

    return work


def failing(member):
    raise FileNotFoundError(f"no model for process {member.rank}")


def confused(member):
    """Of two one is killed, and the other fails for want of it."""

    def work(tell):
        if member.rank:
            member.meeting.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        while not member.meeting.exists():
            time.sleep(0.1)
        raise RuntimeError("connection closed by peer")

    return work
