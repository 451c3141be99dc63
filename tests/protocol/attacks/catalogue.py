"""The catalogue of bad input and attacks: numbers, what must come out, and where it is shown. 97 to 103 are of bundles.

`python -m tests.protocol.attacks.catalogue > docs/attacks.md`. A test keeps every number covered and the page true.
A test belongs to a row by its name (`test_a042_...`) or by the id of one of its cases (`a042_...`).
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
NUMBER = re.compile(r"(?:^|_)a(\d{3})(?=_|$)")
ROWS = """\
1 sig_flip_bit: closed 4401
2 sig_body_flip: closed 4401
3 sig_wrong_ctx: closed 4401
4 sig_wrong_role: closed 4401 E_ROLE
5 sig_unknown_kid: closed 4401
6 sig_revoked_kid: closed 4401
7 sig_expired_key: closed 4401
8 sig_malleated_S: closed 4401
9 pub_small_order: HTTP 400, the token unspent
10 sig_zero: closed 4401
11 kid_collision: keyset refused
12 replay_same_session: closed 4409
13 replay_old_session: closed 4401
14 replay_handshake: closed 4401
15 reorder_pair: closed 4409
16 seq_gap, seq_zero, seq_max: closed 4409
17 wrong_sid: closed 4409
18 cross_agent: closed 4401
19 dup_command_same_bytes: the stored result again, no effect
20 dup_command_other_bytes: E_DUP_CONFLICT
21 expired_command: E_EXPIRED
22 stale_generation: E_STALE
23 mass_stop: no message names two engines; a burst of stops must be confirmed (E_CONFIRM)
24 downgrade_strip: closed 4401
25 downgrade_offer_old: closed 4406
26 clock_plus_25s, 200s, 1h: fine, told, closed 4408
27 clock_jump_midway: no time limit moves
28 truncated_envelope: closed 4400
29 truncated_msgpack: E_DECODE
30 trailing_bytes: E_DECODE
31 deep_nest: E_DECODE
32 map_bomb_header: E_DECODE
33 array_1M_nil: closed 1009, or refused
34 dup_keys: E_DECODE
35 ext_type, timestamp_ext: E_DECODE
36 huge_int: E_SCHEMA
37 nan_inf: E_SCHEMA
38 bool_as_int, str_as_int, float_as_int: E_SCHEMA
39 non_str_key: E_DECODE
40 bad_utf8, surrogate: E_DECODE
41 text_frame: closed
42 oversize_frame_header: closed 1009 by its header
43 fragment_flood: bounded and closed
44 deflate_bomb: the extension is not agreed to
45 unmasked_client_frame: closed
46 slowloris_http: dropped
47 silent_tls_client: dropped
48 silent_after_upgrade: closed 4408
49 preauth_flood: the oldest make room, agents keep their sessions
50 sig_cpu_flood: closed at the first, then 429
51 tls_1_1: refused
52 wrong certificate: no hello is sent
53 mitm_valid_ca: closed 4401 E_CERT and an alarm
54 mtls_san_mismatch: closed 4403
55 token_reuse_other_key: HTTP 403 E_TOKEN_USED and an alarm
56 token_retry_same_key: the same agent
57 token_expired, wrong scope: HTTP 403
58 root_pin_mismatch: the agent does not believe it
59 token tricks: HTTP 401
60 keyset_rollback, freeze, under_threshold: refused, the old one kept, an alarm
61 clone_agent: both quarantined, an alarm
62 rotate_crash_points: one of two keys opens
63 unknown_command: E_UNKNOWN_OP
64 unknown_field: E_UNKNOWN_FIELD
65 model_id_traversal: refused by form
66 symlink_in_model_dir: not followed out of the store
67 ssrf_url: refused, no connection
68 shell_meta_args: one argument, never a shell
69 arg_smuggling: E_POLICY.arg
70 image_not_allowed: E_POLICY.image
71 image_digest_mismatch: the pull fails
72 docker_sock_mount: no such field
73 host_mounts: no such field
74 privilege_flags: E_UNKNOWN_FIELD
75 env_injection: E_POLICY.env
76 image_env_ld_preload: E_POLICY.env
77 gpu_not_owned: refused
78 port_abuse: refused, loopback only
79 resource_abuse: E_SCHEMA
80 log_flood: heartbeats go on
81 log_escape: no forged line
82 metrics_overload: conflated
83 outbox_full: results kept, E_BUSY
84 disk_full, read_only_state: nothing acknowledged before it is durable
85 outbox_corrupt: set aside, an event
86 master_flood: bounded, in order, heartbeats go on
87 ack_lies: ignored, or closed 4409
88 credit_lies: refused
89 half_open: dropped, and again
90 kill9_each_state: one effect, one result
91 error_leak: no input in errors and logs
92 update_rollback, freeze, mix: refused
93 update_zip_slip, wrong hash, too long: refused
94 broker_bypass: EACCES
95 peer_cred: refused
96 fuzz: declared errors only, memory flat
97 bundle_replay: closed 4409
98 bundle_bad_message: that one refused, its neighbours taken
99 bundle_reordered, repeated, gap: closed 4409, nothing of the frame taken
100 bundle_lengths, one, empty, nested, trailing, too many: closed 4400, nothing of the frame taken
101 bundle_not_agreed: E_DECODE, nothing of the frame taken
102 bundle_other_session: closed 4401
103 bundle_of_faults: told one by one, closed 4422 at the fourth"""
WRITTEN = {
    66: "No command names a path inside a model, and the store makes every file of a version itself; what an operator"
    " puts there by hand is the machine's own. The store's tests are beside `actors/downloads`.",
    71: "The Docker Engine compares the digest of what it pulled and fails; the agent asks by digest (row 70) and tells"
    " what Docker said. Docker's own check is not tested here.",
    80: "Measured, not asserted: `python -m benchmarks link` (`heartbeat_delay_flood_ms`); false credit is row 88.",
    92: "There is no update of the agent by command yet: `agent.update` is refused by name.",
    93: "As 92.",
    94: "There is no broker process: one process has Docker's socket. What that means is in docs/security.md.",
    95: "As 94. The control socket is guarded by its file's mode.",
}


def rows():
    """Number -> (name, what must come out)."""
    found = {}
    for line in ROWS.splitlines():
        number, rest = line.split(" ", 1)
        name, _, outcome = rest.rpartition(": ")
        found[int(number)] = (name, outcome)
    return found


def places():
    """Number -> the tests that show it, as FILE::TEST."""
    found = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(file.read_text())
        for test in [node for node in tree.body if isinstance(node, ast.FunctionDef)]:
            if test.name.startswith("test_"):
                for number in _numbers(test, tree):
                    place = f"{file.relative_to(ROOT)}::{test.name}"
                    found.setdefault(number, []).append(place)
    return found


def _numbers(test, tree):
    """Of its name, and of the ids in its decorators and in the tables that those name."""
    texts = [test.name.removeprefix("test_")]
    names = {node.id for mark in test.decorator_list for node in ast.walk(mark) if isinstance(node, ast.Name)}
    tables = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") in names for target in node.targets)
    ]
    for part in (*test.decorator_list, *tables):
        values = [node.value for node in ast.walk(part) if isinstance(node, ast.Constant)]
        texts += [value for value in values if isinstance(value, str)]
    return sorted({int(number) for text in texts for number in NUMBER.findall(text)})


def document():
    """The page."""
    lines = [
        "# Bad input and attacks",
        "",
        "Written by `tests/protocol/attacks/catalogue.py`; a test keeps it true and every number covered.",
        "",
        "In every row: no side effect, one line of the log, one count, bounded memory, no secret in any log.",
        "",
        "| # | name | what comes out | shown by |",
        "|---|---|---|---|",
    ]
    found = places()
    for number, (name, outcome) in rows().items():
        shown = ", ".join(f"`{place}`" for place in found.get(number, ())) or WRITTEN[number]
        lines.append(f"| {number} | {name} | {outcome} | {shown} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(document(), end="")
