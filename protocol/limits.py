"""Every limit of the wire, with its unit."""

BODY_MAX_BYTES = 65_535
FRAME_MAX_BYTES = 131_072
BUNDLE_MAX_MESSAGES = 64
BUNDLE_FULL_BYTES = 8_192
"""A sender puts no more together than this; a larger message goes alone. Beyond it a signature's share of a message is
small, and what comes next by priority would wait."""
HANDSHAKE_FRAME_MAX_BYTES = 16_384
HANDSHAKE_MAX_S = 10.0
STRING_MAX_BYTES = 65_536
ARRAY_MAX_ITEMS = 4_096
MAP_MAX_ITEMS = 1_024
DEPTH_MAX_LEVELS = 16
INTEGER_MAX = (1 << 63) - 1
OFFSET_MAX = 1 << 53
"""No stream reaches this; a peer that says so at the handshake lies."""
TTL_MAX_MS = 24 * 3_600_000
TTL_DEFAULT_MS = 60_000
SKEW_SILENT_MS = 30_000
"""Clock difference that is not worth a word."""
SKEW_MAX_MS = 300_000
"""Clock difference beyond which no session is made."""
HEARTBEAT_S = 10.0
PEER_DEAD_S = 35.0
"""Without a received and verified message for this long the peer is dead; our own traffic does not count."""
CONTENT_FAULTS_PER_MIN = 3
ERROR_DETAIL_MAX_CHARS = 200
