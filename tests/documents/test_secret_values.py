"""What is a secret, what stands for it, and how it comes back."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.documents.secret_values import (
    MASK,
    is_secret_name,
    mask_text,
    mask_value,
    mask_words,
    masked,
    shell_line,
    with_secrets,
)


@pytest.mark.parametrize(
    "name",
    [
        "API_KEY", "api_key", "--api-key", "apiKey", "X-Api-Key", "OPENAI_API_KEY", "OPENAIAPIKEY", "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "PGPASSWORD",
        "DB_PASS", "DB_PW", "MYSQL_PWD", "PASSPHRASE", "GOOGLE_CREDENTIALS", "CREDENTIAL", "AUTH", "BASIC_AUTH",
        "Authorization", "COOKIE", "SESSION_COOKIE", "PRIVATE_KEY", "PRIVATE", "SENTRY_DSN", "client_secret", "JWT",
        "Passwd", "TOKEN", "KEY", "-token", "accessToken", "TOKEN2", "hf-token",
    ],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "KEYBOARD", "MONKEY", "TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS", "OMP_PLACES", "KMP_AFFINITY", "AUTHOR",
        "--max-tokens", "--new-tokens", "input_tokens", "EOS_TOKEN", "--pad-token", "SORT_KEY", "KEY_FILE",
        "PWD", "OLDPWD", "PATH", "--no-auth", "COMPASS", "BYPASS", "HOME", "MALLOC_CONF", "", "--", "HF_ENDPOINT",
        "TURKEY", "TOKEN_LIMIT", "--keyword", "tokenizer", "--hf-tokenizer", "secretname_file".upper(), "DNNL_VERBOSE",
    ],
)  # fmt: skip
def test_other_names(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:hunter2@host/path", "https://user:***@host/path"),
        ("HF_ENDPOINT=https://user:hunter2@host", "HF_ENDPOINT=https://user:***@host"),
        ("redis://:hunter2@host:6379/0", "redis://:***@host:6379/0"),
        ("postgresql+asyncpg://me:p@ss:w/rd@host/db?x=1", "postgresql+asyncpg://me:***@host/db?x=1"),
        ("a https://u:p1@a/ and ftp://u:p2@b/ too", "a https://u:***@a/ and ftp://u:***@b/ too"),
        ("https://ghp_0123456789abcdefghij@github.com/x", "https://***@github.com/x"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("http://user@host/", "http://user@host/"),
        ("https://host/x?api_key=hunter2&page=3", "https://host/x?api_key=***&page=3"),
        ("cannot use --token=hunter2: it is odd", "cannot use --token=***: it is odd"),
        ("password='hunter 2' user=me", "password=*** user=me"),
        ('{"api_key": "hunter2", "model": "m"}', '{"api_key": "***", "model": "m"}'),
        ("Authorization: Bearer abcdefgh1234", "Authorization: Bearer ***"),
        ("cannot read token: no such file", "cannot read token: no such file"),
        ("TOKENIZERS_PARALLELISM=false OMP_PLACES=cores", "TOKENIZERS_PARALLELISM=false OMP_PLACES=cores"),
        ("HF_HUB_DISABLE_IMPLICIT_TOKEN=1", "HF_HUB_DISABLE_IMPLICIT_TOKEN=1"),
        ("https_proxy=user:hunter2@proxy:3128", "https_proxy=user:***@proxy:3128"),
        ("user:hunter2@proxy.example.com", "user:***@proxy.example.com"),
        (":hunter2@10.0.0.1:6379", ":***@10.0.0.1:6379"),
        ("image:tag@sha256:0123456789abcdef", "image:tag@sha256:0123456789abcdef"),
        ("12:30 me@example.com", "12:30 me@example.com"),
        ("https://host/x?sv=1&sig=hunter2&x=1", "https://host/x?sv=1&sig=***&x=1"),
        ("https://s3/b/o?X-Amz-Signature=hunter2", "https://s3/b/o?X-Amz-Signature=***"),
        ("--signature=serving_default", "--signature=serving_default"),
        ("p --token hunter2 --n 3 | q --api-key 'hunter 2'", "p --token *** --n 3 | q --api-key ***"),
        ("--token --n 3", "--token --n 3"),
        ("--max-tokens 32", "--max-tokens 32"),
    ],
)
def test_texts(text: str, shown: str) -> None:
    assert mask_text(text) == shown
    assert mask_text(shown) == shown


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["p.py", "--api-key", "X", "--n", "3"], ["p.py", "--api-key", "***", "--n", "3"]),
        (["--token=X Y"], ["--token=***"]),
        (["-token", "X"], ["-token", "***"]),
        (["--password", "-X9"], ["--password", "***"]),
        (["--token", "--other"], ["--token", "--other"]),
        (["-H", "X-Api-Key: hunter2"], ["-H", "X-Api-Key: ***"]),
        (["--header", "X-Api-Key: hunter2"], ["--header", "X-Api-Key: ***"]),
        (["--header", "Cookie: session=hunter2"], ["--header", "Cookie: ***"]),
        (["--header", "Accept: text/plain"], ["--header", "Accept: text/plain"]),
        (["--password", "Cookie: x"], ["--password", "***"]),
        (["sh", "-c", "p --api-key hunter2"], ["sh", "-c", "p --api-key ***"]),
        (["--proxy", "me:hunter2@proxy:3128"], ["--proxy", "me:***@proxy:3128"]),
        (["API_KEY=my secret"], ["API_KEY=***"]),
        (["--max-tokens", "32", "--keyboard", "us"], ["--max-tokens", "32", "--keyboard", "us"]),
        (["--url", "https://a:b@c"], ["--url", "https://a:***@c"]),
        (["-n", "4", "in.txt"], ["-n", "4", "in.txt"]),
    ],
)
def test_words(words: list[str], shown: list[str]) -> None:
    assert list(mask_words(words)) == shown
    assert mask_words(shown) == tuple(shown)


def test_documents_of_any_depth() -> None:
    assert masked({"a": [{"API_KEY": "x"}], "argv": ["--token", "x"], "n": 3, "keys": {"password": ["x", "y"]}}) == {
        "a": [{"API_KEY": MASK}],
        "argv": ["--token", MASK],
        "n": 3,
        "keys": {"password": [MASK, MASK]},
    }


SECRET = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=6, max_size=20).filter(
    lambda text: text.isalnum() and text not in "env API_KEY TOKEN DB_PASSWORD PASSWORD --db-password probe-of-a-value"
)


@given(SECRET)
def test_a_secret_shows_in_no_form_and_comes_back(secret: str) -> None:
    words = ["env", f"API_KEY={secret}", "p", "--token", secret, f"--db-password={secret}", f"https://u:{secret}@h/"]
    shown = mask_words(words)
    assert not any(secret in word for word in shown)
    assert secret not in shell_line(words)
    back = {"API_KEY": secret, "TOKEN": secret, "DB_PASSWORD": secret, "PASSWORD": secret}
    assert with_secrets(shown, back) == (tuple(words), [])
    assert with_secrets(shown, {})[1] == ["API_KEY", "TOKEN", "DB_PASSWORD", "PASSWORD"]
    assert with_secrets(words, {}) == (tuple(words), [])


@given(st.text(), st.text())
def test_masking_twice_is_masking_once(name: str, text: str) -> None:
    once = mask_value(name, text)
    assert mask_value(name, once) == once


@given(st.lists(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]))))
def test_words_without_secrets_are_quoted_as_ever(words: list[str]) -> None:
    if list(mask_words(words)) == words:
        assert shell_line(words) == shlex.join(words)


@pytest.mark.process
def test_the_line_works_in_a_shell() -> None:
    words = [
        "printf",
        "%s|",
        "API_KEY=a b",
        "--token",
        "it's",
        "https://u:p@h/?x=1",
        "--url=https://u:p@h",
        "plain $HOME",
    ]
    line = shell_line(words)
    have = {"API_KEY": "a b", "TOKEN": "it's", "PASSWORD": "p", "URL": "https://u:p@h", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", line], env=have, capture_output=True, text=True, check=True)
    assert done.stdout.split("|")[:-1] == words[2:]
    assert '"$API_KEY"' in line
