"""The manager: admits engines, keeps the desired state, tells each engine its own news of Docker."""
