"""An authority for a private trial and what it signs: the master's certificate, and one for each agent (mutual TLS).

ECDSA P-256, made by `init` and `cert`. TLS is the outer wall only: what a stolen authority signs opens no session,
since frames, commands and keysets are signed by keys of their own. `ca.key` belongs offline, like the roots.
"""

import datetime as dt
import ipaddress
from pathlib import Path
from typing import Any

from .keys import replace_file

LIFE_DAYS = 825
AUTHORITY_FILE = "ca.pem"
AUTHORITY_KEY_FILE = "ca.key"
CERTIFICATE_FILE = "server.pem"
KEY_FILE = "server.key"
AUTHORITY_NAME = "mosalama trial authority"
SAN_PREFIX = "mosalama:agent:"


def make_authority(directory: Path, now: dt.datetime) -> None:
    """Write `ca.pem` and `ca.key`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    usage = _usage(x509, key_cert_sign=True, crl_sign=True)
    authority = (
        _builder(x509, AUTHORITY_NAME, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    replace_file(directory / AUTHORITY_FILE, _pem(authority))
    replace_file(directory / AUTHORITY_KEY_FILE, _private_pem(key))


def make_server_certificate(directory: Path, hosts: tuple[str, ...], now: dt.datetime) -> None:
    """Write `server.pem` and `server.key` for these names and addresses; FileNotFoundError without `ca.key`."""
    from cryptography import x509

    names = [_alternative(x509, host) for host in hosts]
    certificate, key = _issue(directory, hosts[0], names, now, server=True)
    replace_file(directory / KEY_FILE, key)
    replace_file(directory / CERTIFICATE_FILE, certificate)


def make_agent_certificate(directory: Path, agent_id: str, out: Path, now: dt.datetime) -> tuple[Path, Path]:
    """Write `ID.pem` and `ID.key` for one agent: link.client_certificate_file and link.client_key_file there."""
    from cryptography import x509

    name = x509.UniformResourceIdentifier(SAN_PREFIX + agent_id)
    certificate, key = _issue(directory, f"agent {agent_id}", [name], now, server=False)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = out / f"{agent_id}.pem", out / f"{agent_id}.key"
    replace_file(files[0], certificate)
    replace_file(files[1], key)
    return files


def _issue(directory: Path, subject: str, names: list[Any], now: dt.datetime, *, server: bool) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority_key: Any = serialization.load_pem_private_key((directory / AUTHORITY_KEY_FILE).read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    certificate = (
        _builder(x509, subject[:64], key.public_key(), now)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(x509, digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return _pem(certificate), _private_pem(key)


def _builder(x509: Any, subject: str, public: Any, now: dt.datetime) -> Any:
    from cryptography.x509.oid import NameOID

    def name(text: str) -> Any:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(AUTHORITY_NAME))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=LIFE_DAYS))
    )


def _usage(x509: Any, **wanted: bool) -> Any:
    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
    names += " key_cert_sign crl_sign encipher_only decipher_only"
    return x509.KeyUsage(**(dict.fromkeys(names.split(), False) | wanted))


def _pem(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    raw: bytes = certificate.public_bytes(serialization.Encoding.PEM)
    return raw


def _private_pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    raw: bytes = key.private_bytes(serialization.Encoding.PEM, form, plain)
    return raw


def _alternative(x509: Any, host: str) -> Any:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
