"""No file of the repository holds a password, a key or a token."""

import re
import subprocess

import pytest

from modelyard.paths import repository

PATTERNS = {
    "a password in an address": r"[a-z0-9+]+://[^\s/:@\"'`$]*:(?P<secret>[^\s/@\"'`$]{3,})@",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an AWS key": r"\bAKIA[0-9A-Z]{16}\b",
    "an assignment": r"(?i)\b(?:\w*_)?(?:secret|password|passwd|token|access_key|api_key)\w*\s*[:=]\s*"
    r"[\"']?(?P<secret>(?![\"'$<{(])[A-Za-z0-9/+_%@-]{12,})[\"']?\s*$",
}
ASSIGNMENTS_IN = {".yml", ".yaml", ".toml", ".env", ".example", ".ini", ".cfg", ".sh", ".json", ""}
"""Code assigns expressions; what is configured holds values."""
PLACEHOLDERS = {"password", "wrong-word", "***", "pass%40word", "p%40ss", "pass", "hush", "secret"}
"""Of examples and tests."""


def found(text: str, suffix: str) -> list[str]:
    """Kinds of secrets in a text."""
    kinds = []
    for kind, pattern in PATTERNS.items():
        if kind == "an assignment" and suffix not in ASSIGNMENTS_IN:
            continue
        for match in re.finditer(pattern, text, re.MULTILINE):
            secret = match.groupdict().get("secret", "")
            if secret not in PLACEHOLDERS and "{" not in secret:
                kinds.append(f"{kind}: {match.group()[:60]}")
    return kinds


def test_no_secret_in_the_repository():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=repository(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    paths = [repository() / name for name in listed.split("\0") if name]
    assert repository() / "conf" / "prod" / "back_ends.yml" in paths
    small = [path for path in paths if path.is_file() and path.stat().st_size < 1_000_000]
    problems = {
        str(path.relative_to(repository())): kinds
        for path in small
        if (kinds := found(path.read_text(encoding="utf-8", errors="ignore"), path.suffix))
        and path.name not in {"test_secrets.py", "requirements.lock"}
    }
    assert problems == {}


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("url: postgresql://user:hunter22@host/db", ".yml"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENG", ".env"),
        ("password: correct-horse-battery", ".yml"),
        ("key = AKIAABCDEFGHIJKLMNOP", ".py"),
        ("-----BEGIN RSA PRIVATE KEY-----", ".txt"),
    ],
)
def test_the_search_finds_secrets(text, suffix):
    assert found(text, suffix)


def test_env_files_stay_out_of_git():
    ignored = subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=repository(), check=False)
    assert ignored.returncode == 0
    for line in (repository() / ".env.example").read_text().splitlines():
        assert line.startswith("#") or not line or line.endswith("="), line
