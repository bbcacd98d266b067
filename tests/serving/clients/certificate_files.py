"""Certificates for tests: one that vouches for itself, made with the command openssl."""

import subprocess

from serving.clients.transport import Certificates


def make(folder, name="localhost"):
    """Makes a key and its certificate for 127.0.0.1, good for a day, in a folder."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    command = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN={name} "
        f"-addext subjectAltName=IP:127.0.0.1,DNS:localhost -keyout {key} -out {certificate}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    return Certificates(certificate, certificate, key)
