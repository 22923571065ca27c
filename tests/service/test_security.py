"""Who may ask, how often, and what the service refuses to do without a decision."""

import asyncio
import json
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer.main
from typer.testing import CliRunner, Result

from service.app import create_app
from service.cli import app as command_line
from service.keys import KeyStore
from service.settings import Settings
from tests.running import EXAMPLE, RunningService, wait_until
from tests.service.wire import JSON, PREDICTIONS, Wire, assert_problem, post_head

BODY = json.dumps(EXAMPLE)
OPEN = ["/healthz", "/readyz", "/docs", "/docs/assets/swagger-ui.css", "/openapi.json"]
CLOSED = ["/v1/catalogue", "/metrics", "/v1/datasets", "/v1/jobs/x", "/v1/datasets/x", "/nothing"]


def foretell(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def invoke(*arguments: str) -> Result:
    """Run the command line in this process, where it starts nothing."""
    return CliRunner().invoke(command_line, arguments, prog_name="foretell")


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a key."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that asks for keys, the first of them made by the command line."""
    running = RunningService(tmp_path_factory.mktemp("guarded"), "--auth", "required")
    added = foretell("keys", "add", "first", "--data-dir", str(running.data_dir))
    assert added.returncode == 0, added.stderr
    (running.folder / "token").write_text(added.stdout.strip())
    with running:
        yield running


@pytest.fixture(scope="module")
def token(guarded: RunningService) -> str:
    """A key to it."""
    return (guarded.folder / "token").read_text()


class TestKeys:
    def test_with_one_everything_is_answered(self, guarded: RunningService, token: str) -> None:
        assert guarded.predict(headers=bearer(token)).status_code == 200
        assert guarded.predict(headers=bearer(token)).status_code == 200  # from memory
        with guarded.client(headers=bearer(token)) as client:
            assert [client.get(path).status_code for path in CLOSED] == [200, 200, 200, 404, 404, 404]

    def test_without_one_nothing_is_but_health_and_documentation(self, guarded: RunningService) -> None:
        with guarded.client() as client:
            assert [client.get(path).status_code for path in OPEN] == [200] * len(OPEN)
            for path in CLOSED:
                assert_problem(client.get(path), 401, "unauthorized")
            refusal = client.post(PREDICTIONS, json=EXAMPLE)
        problem = assert_problem(refusal, 401, "unauthorized")
        assert refusal.headers["www-authenticate"] == 'Bearer realm="foretell"'
        assert "Authorization: Bearer" in problem["detail"]

    @pytest.mark.parametrize(
        "sent",
        [
            "Bearer {token}x", "Bearer {token[0]}", "Bearer {cut}", "Bearer {cut}!", "Bearer {other_secret}",
            "Bearer {other_id}", "Bearer {token} {token}", "Bearer{token}", "Bearer \xe9{token}", "Bearer {token}\xff\xfe",
            "Basic {token}", "{token}", "Bearer", "Bearer ", "Bearer null", "Bearer " + "f" * 60_000, "\xe4\xf6\xfc", "",
        ],
        ids=lambda sent: ascii(sent[:30]),
    )  # fmt: skip
    def test_another_is_as_good_as_none(self, guarded: RunningService, token: str, sent: str) -> None:
        cut, last = token[:-1], token[-1]
        wrong = {"other_secret": cut + ("A" if last != "A" else "B"), "other_id": f"ftl_aaaaaaaa_{token[13:]}"}
        value = sent.format(token=token, cut=cut, **wrong)
        head = post_head(JSON.strip(), f"Content-Length: {len(BODY)}", f"Authorization: {value}")
        with Wire(guarded) as wire:
            wire.send(head + BODY)
            answer = wire.answer()
            assert_problem(answer, 401, "unauthorized")
            assert token not in answer.content.decode()
        assert answer.headers["www-authenticate"] == 'Bearer realm="foretell"'

    def test_the_name_of_the_scheme_has_no_case(self, guarded: RunningService, token: str) -> None:
        assert guarded.predict(headers={"Authorization": f"bEaReR   {token}"}).status_code == 200

    def test_a_body_is_not_read_without_one(self, guarded: RunningService) -> None:
        with Wire(guarded) as wire:
            wire.send(post_head(JSON.strip(), "Content-Length: 1000000"))
            assert_problem(wire.answer(), 401, "unauthorized")
            assert wire.closed()

    def test_they_are_known_by_their_hash_alone(self, guarded: RunningService, token: str) -> None:
        guarded.predict(headers=bearer(token))
        assert re.fullmatch(r"ftl_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", token)
        keys_file = guarded.data_dir / "api_keys.json"
        assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(guarded.data_dir.stat().st_mode) == 0o700
        secret = token.rsplit("_", 1)[-1][:20].encode()
        files = [path for path in guarded.data_dir.rglob("*") if path.is_file()] + [guarded.log_file]
        assert keys_file in files
        assert all(secret not in path.read_bytes() for path in files)

    def test_the_log_names_the_key_by_its_id(self, guarded: RunningService, token: str) -> None:
        guarded.predict(headers={**bearer(token), "X-Request-Id": "who-asks", "Cache-Control": "no-cache"})
        line = wait_until(lambda: [line for line in guarded.logged("request") if line["request_id"] == "who-asks"])[0]
        assert line["client"] == token.split("_")[1]

    def test_they_come_and_go_while_the_service_runs(self, guarded: RunningService) -> None:
        folder = ("--data-dir", str(guarded.data_dir))
        token = foretell("keys", "add", "second", *folder).stdout.strip()
        key_id = token.split("_")[1]
        assert f"{key_id}  second" in foretell("keys", "list", *folder).stdout.splitlines()
        wait_until(lambda: guarded.predict(headers=bearer(token)).status_code == 200, what="the new key's acceptance")
        assert foretell("keys", "revoke", key_id, *folder).returncode == 0
        wait_until(lambda: guarded.predict(headers=bearer(token)).status_code == 401, what="the old key's refusal")
        assert key_id not in foretell("keys", "list", *folder).stdout
        again = foretell("keys", "revoke", key_id, *folder)
        assert (again.returncode, again.stdout) == (2, "")
        assert f"there is no key {key_id}" in again.stderr

    def test_a_spoilt_file_of_them_lets_in_who_was_let_in(self, guarded: RunningService, token: str) -> None:
        keys_file = guarded.data_dir / "api_keys.json"
        right = keys_file.read_text()
        keys_file.write_text(right[: len(right) // 2])
        try:
            wait_until(lambda: guarded.predict(headers=bearer(token)) and guarded.logged("keys_unreadable"))
            assert guarded.predict(headers=bearer(token)).status_code == 200
            assert_problem(guarded.predict(headers=bearer(token[:-1] + "!")), 401, "unauthorized")
            listed = foretell("keys", "list", "--data-dir", str(guarded.data_dir))
            assert listed.returncode == 2
            assert f"cannot read the API keys in {keys_file}" in listed.stderr
        finally:
            keys_file.write_text(right)

    def test_each_is_new(self, tmp_path: Path) -> None:
        store = KeyStore(tmp_path / "data" / "api_keys.json")
        tokens = [store.add("the same name") for _ in range(20)]
        assert len(set(tokens)) == 20
        assert all(store.verify(token) for token in tokens)
        assert len(store) == 20


class TestRateLimits:
    def test_retry_after_is_long_enough(self, tmp_path: Path) -> None:
        with RunningService(tmp_path, "--rate-limit", "4 per 2 second") as running:
            for _ in range(3):
                while (answer := running.predict()).status_code == 200:
                    pass
                problem = assert_problem(answer, 429, "rate_limited")
                wait = int(answer.headers["retry-after"])
                assert 1 <= wait <= 2
                assert f"try again in {wait} s" in problem["detail"]
                assert "4 per 2 second" in problem["detail"]
                time.sleep(wait)
                assert running.predict().status_code == 200
            with running.client() as client:
                assert {client.get("/healthz").status_code for _ in range(20)} == {200}

    def test_processes_count_together(self, tmp_path: Path) -> None:
        with (
            RunningService(tmp_path, "--rate-limit", "30/hour", "--api-processes", "2") as running,
            ThreadPoolExecutor(8) as pool,
        ):
            wait_until(lambda: len(running.logged("api_started")) == 2)
            statuses = list(pool.map(lambda _: running.predict().status_code, range(60)))
            assert statuses.count(200) == 30
            assert statuses.count(429) == 30

    def test_without_redis_they_hold_all_the_same(self, tmp_path: Path) -> None:
        with RunningService(tmp_path, "--rate-limit", "10/hour", "--redis-url", "redis://127.0.0.1:1/0") as running:
            assert [running.predict().status_code for _ in range(12)] == 10 * [200] + 2 * [429]

    @staticmethod
    def statuses(folder: Path, limit: str, tokens: list[str]) -> list[int]:
        """Post once with each key, to the application in this process."""
        nowhere = f"unix://{folder}/no.sock"
        settings = Settings(data_dir=folder, access_log="off", auth="required", rate_limit=limit)
        app = create_app(settings, cache_url=nowhere, queue_url=nowhere)

        async def post() -> list[int]:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://foretell") as client:
                return [
                    (await client.post(PREDICTIONS, json=EXAMPLE, headers=bearer(token))).status_code
                    for token in tokens
                ]

        return asyncio.run(post())

    def test_each_key_has_its_own(self, tmp_path: Path) -> None:
        store = KeyStore(Settings(data_dir=tmp_path).keys_file)
        one, other = store.add("one"), store.add("other")
        assert self.statuses(tmp_path, "2/hour", [one] * 3 + [other] * 3) == [200, 200, 429, 200, 200, 429]

    def test_the_strictest_of_several_holds(self, tmp_path: Path) -> None:
        token = KeyStore(Settings(data_dir=tmp_path).keys_file).add("one")
        assert self.statuses(tmp_path, "3/hour;100/day", [token] * 5) == [200, 200, 200, 429, 429]


class TestStart:
    """What keeps ``foretell serve`` from starting: exit code 3, or 2 for what is written wrongly, and a sentence."""

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["--host", "0.0.0.0"], 3, "require API keys with --auth required"),
            (["--host", "::"], 3, "require API keys with --auth required"),
            (["--host", "0.0.0.0", "--rate-limit", "off"], 3, "or say --auth off"),
            (["--host", "0.0.0.0", "--auth", "off"], 3, "--rate-limit 600/minute, or say --rate-limit off"),
            (["--host", "0.0.0.0", "--auth", "required"], 3, "--rate-limit 600/minute, or say --rate-limit off"),
            (["--auth", "required"], 3, "has none; add one: foretell keys add NAME"),
            (["--auth", "perhaps"], 2, "auth: Input should be 'auto', 'required' or 'off'"),
            (["--rate-limit", "fast"], 2, "rate_limit: 'fast' is no limit; write one like '600/minute'"),
            (["--rate-limit", "0/minute"], 2, "rate_limit: '0/minute' is no limit"),
            (["--redis-url", "localhost:6379"], 2, "redis_url: must begin with redis://, rediss:// or unix://"),
            (["--port", "70000"], 2, "port: Input should be less than or equal to 65535"),
            (["--api-processes", "0"], 2, "api_processes"),
            (["--log-format", "xml"], 2, "log_format"),
            (["--colour"], 2, "No such option"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else None,
    )
    def test_is_refused_with_the_way_out(self, tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
        done = invoke("serve", "--port", "0", "--data-dir", str(tmp_path / "data"), *arguments)
        assert done.exit_code == code, done.stderr
        assert words in " ".join(done.stderr.split())
        assert done.stdout == ""
        assert not (tmp_path / "data").exists()

    def test_is_possible_everywhere_once_decided(self, tmp_path: Path) -> None:
        decisions = ("--host", "0.0.0.0", "--auth", "off", "--rate-limit", "off")
        with RunningService(tmp_path, *decisions) as running:
            assert running.predict().status_code == 200

    def test_a_second_instance_on_one_folder_is_told_of_the_first(self, service: RunningService) -> None:
        done = foretell("serve", "--port", "0", "--data-dir", str(service.data_dir))
        assert done.returncode == 3
        assert service.process is not None
        assert str(service.process.pid) in done.stderr
        assert str(service.data_dir) in done.stderr
        assert service.predict().status_code == 200

    def test_a_port_in_use_is_named(self, service: RunningService, tmp_path: Path) -> None:
        done = foretell("serve", "--port", str(service.port), "--data-dir", str(tmp_path / "data"))
        assert done.returncode == 3
        assert (
            f"cannot listen on 127.0.0.1:{service.port}: Address already in use; choose another --port" in done.stderr
        )

    def test_a_spoilt_file_of_keys_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "api_keys.json").write_text("{")
        done = foretell("serve", "--port", "0", "--auth", "required", "--data-dir", str(tmp_path))
        assert done.returncode == 3
        assert f"cannot read the API keys in {tmp_path / 'api_keys.json'}" in done.stderr


class TestHelp:
    @staticmethod
    def commands() -> dict[str, Any]:
        """Every command by its words, as ``keys add``."""
        root = typer.main.get_command(command_line)
        found: dict[str, Any] = {}
        for name, command in root.commands.items():  # type: ignore[attr-defined]
            subcommands = getattr(command, "commands", {})
            found |= {f"{name} {sub}": subcommand for sub, subcommand in subcommands.items()} or {name: command}
        return found

    def test_every_option_says_what_it_does(self) -> None:
        for name, command in self.commands().items():
            assert command.help, name
            for parameter in command.params:
                assert parameter.name == "help" or len(parameter.help) > 10, f"{name} {parameter.name}"

    @pytest.mark.parametrize(
        "words", ["", "serve", "worker", "predict", "keys", "keys add", "keys list", "keys revoke"]
    )
    def test_all_of_them_are_shown(self, words: str) -> None:
        shown = invoke(*words.split(), "--help")
        assert shown.exit_code == 0
        assert shown.stderr == ""
        text = " ".join(re.sub("[│╭╰─╮╯]", " ", shown.stdout).split())
        commands = self.commands()
        if words in commands:
            for parameter in commands[words].params:
                for option in parameter.opts:
                    assert option.upper() in text.upper()
        else:
            children = {name.removeprefix(words).split()[0] for name in commands if name.startswith(words)}
            assert all(child in text for child in children - {"openapi"})

    def test_what_serve_takes_are_settings(self) -> None:
        options = {parameter.name for parameter in self.commands()["serve"].params} - {"help"}
        assert options <= set(Settings.model_fields)
        assert all(field.description for field in Settings.model_fields.values())

    def test_no_command_shows_the_help(self) -> None:
        assert "serve" in invoke().output


def test_keys_that_are_added_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service", "keys", "add", "--data-dir", str(tmp_path)]
    adding = [subprocess.Popen([*command, f"tuner {i}"], stdout=subprocess.PIPE) for i in range(8)]
    tokens = [process.communicate(timeout=60)[0].decode().strip() for process in adding]
    keys = KeyStore(tmp_path / "api_keys.json")
    assert sorted(keys.names().values()) == [f"tuner {i}" for i in range(8)]
    assert all(keys.verify(token) for token in tokens)


@pytest.mark.parametrize("name", ["", "two\nlines", "x" * 101])
def test_names_of_keys_fit_on_a_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        KeyStore(tmp_path / "api_keys.json").add(name)
