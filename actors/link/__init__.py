"""The conversation with the master: enrollment, then one WebSocket. Being disconnected is a state, not a crash."""
