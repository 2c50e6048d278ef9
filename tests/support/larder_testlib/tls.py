"""A certificate for 127.0.0.1 and localhost that only who is told trusts."""

import subprocess


def make_certificate(directory):
    """Writes cert.pem, which is its own authority, and key.pem; returns both paths."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=Larder's tests", "-keyout", key, "-out", cert,
         "-addext", "subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1"],
        check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return cert, key
