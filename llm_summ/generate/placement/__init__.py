"""Where the workers of an engine run: in this process, or in several processes of this machine.

Which engine generates and where its workers run are two choices. A placement is given what starts one worker, and
returns an engine that distributes requests among all of them.
"""

from llm_summ.generate.placement.placement import InProcess, LocalProcesses, Placement, choose_placement

__all__ = ["InProcess", "LocalProcesses", "Placement", "choose_placement"]
