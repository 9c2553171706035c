import pytest

from ncdetect.files import replacing


def test_a_file_is_whole_or_as_it_was(tmp_path):
    file = tmp_path / "new" / "result.json"
    with replacing(file) as temporary:
        temporary.write_text("first")
        assert not file.exists()
    assert file.read_text() == "first"
    with pytest.raises(KeyboardInterrupt), replacing(file) as temporary:
        temporary.write_text("half of the sec")
        raise KeyboardInterrupt
    assert file.read_text() == "first"
