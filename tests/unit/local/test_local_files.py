"""The small files in the data folder: secrets, ready.json, the lock."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from flute_server.local.errors import LocalError
from flute_server.local.files import prepare_data_dir, read_json, write_json
from flute_server.local.ready import only_one, read_ready, remove_ready, write_ready
from flute_server.local.secrets import load_secrets


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_only_the_owner_may_read_them(tmp_path: Path):
    first = load_secrets(tmp_path, {})
    Fernet(first.secret_keys)
    assert len(first.service_token) >= 32
    assert load_secrets(tmp_path, {}) == first
    assert mode(tmp_path / "secrets.json") == 0o600


def test_secrets_of_the_environment_win(tmp_path: Path):
    given = load_secrets(tmp_path, {"FLUTE_SECRET_KEYS": "a,b", "FLUTE_SERVICE_TOKEN": "t"})
    assert (given.secret_keys, given.service_token) == ("a,b", "t")


def test_secrets_are_not_made_anew_beside_a_database(tmp_path: Path):
    (tmp_path / "postgres").mkdir()
    with pytest.raises(LocalError, match="Restore it from a backup"):
        load_secrets(tmp_path, {})
    assert not (tmp_path / "secrets.json").exists()


def test_secrets_stay_out_of_repr(tmp_path: Path):
    secrets = load_secrets(tmp_path, {})
    assert secrets.service_token not in repr(secrets)
    assert secrets.secret_keys not in repr(secrets)


def test_a_damaged_file_is_named(tmp_path: Path):
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(LocalError, match=r"secrets\.json cannot be read"):
        load_secrets(tmp_path, {})


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path):
    write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {"a": object()})
    assert read_json(tmp_path / "x.json") == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_ready_is_for_the_owner_and_goes_away(tmp_path: Path):
    write_ready(tmp_path, {"web": "http://127.0.0.1:1"})
    assert mode(tmp_path / "ready.json") == 0o600
    assert read_ready(tmp_path) == {"web": "http://127.0.0.1:1"}
    remove_ready(tmp_path)
    remove_ready(tmp_path)
    assert read_ready(tmp_path) == {}


def test_a_second_start_on_the_same_folder_is_refused(tmp_path: Path):
    with only_one(tmp_path), pytest.raises(LocalError, match="already runs"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


def test_the_data_folder_is_closed_to_others(tmp_path: Path):
    folder = prepare_data_dir(tmp_path / "new" / "data")
    assert mode(folder) == 0o700


def test_a_data_folder_that_cannot_be_made_is_explained(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match="Choose another with --data-dir"):
        prepare_data_dir(tmp_path / "file")
