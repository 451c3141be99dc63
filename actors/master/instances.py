"""Two machines with one identity, told by the order in which they come. Pure.

Each process of an agent has an instance id of its own, and one that has ended never comes back. So when an instance
comes again after another was there, both are alive: somebody copied the state directory. No timer is asked, and a
slow network cannot look like it.
"""

KEPT = 8


class Instances:
    """The latest instances of every agent that came."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, ...]] = {}

    def came(self, agent_id: str, instance: str) -> bool:
        """Remember it; True when it is a second living one."""
        seen = self._seen.get(agent_id, ())
        if instance in seen:
            return seen[-1] != instance
        self._seen[agent_id] = (*seen[1 - KEPT :], instance)
        return False

    def forget(self, agent_id: str) -> None:
        """An operator has looked into it: begin anew."""
        self._seen.pop(agent_id, None)
