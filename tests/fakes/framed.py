"""One message in a frame of its own, as the link and the master make theirs."""


def framed(session, message, **fields):
    """Of a session that is open; `fields` as Channel.put has them. Nothing else may wait in it."""
    session.channel.put(message, **fields)
    frame = session.channel.frame()
    assert session.channel.frame() is None, "something waited"
    return frame
