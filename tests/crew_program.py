"""A program as anyone may write it, without a guard: a step's process that tells its crew, to be killed."""

import crew_work

from unpromptable.execution.crew import Crew

with Crew(crew_work.echoing, ("x",)) as crew:
    tell = lambda *_: print(*(process.pid for process in crew.members.values()), flush=True)
    crew.answers([("wait",), ("wait",)], tell)
