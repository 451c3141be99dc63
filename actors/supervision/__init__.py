"""A small OTP on pykka: actors that restart, are watched, replaced and given up on. It knows no feature."""
