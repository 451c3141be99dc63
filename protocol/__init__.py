"""What is said on the wire, and the rules: bytes in, events out. No socket, clock, thread or log.

The agent drives `AgentSession`: send `hello(...)`, then give every frame to `receive(...)`, which returns events:
Send, Established, Commanded and others; say things with `channel.put(...)`, and send what `channel.frame()` gives. The
master drives `MasterSession`: `greet(frame)`, look the agent up, send `answer(...)`, `finish(frame)`, then `receive`,
`channel.put` and `channel.frame`.

Time, random bytes and offsets are arguments. A frame that breaks a rule raises ProtocolError, whose fields say which
rule, whether the session lives and when the peer may try again; it never repeats what was received.
"""
