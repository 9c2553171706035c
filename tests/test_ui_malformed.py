import malformed
from ncdetect.ui import check
from sentences import assert_plain_sentence


def test_malformed_files_through_the_page(tmp_path):
    files = malformed.make_malformed(tmp_path)
    refused = 0
    for file, _ in files:
        shown = check.show(file)
        if shown.star is None:
            refused += 1
            assert "This clip cannot be checked" in shown.card and "Traceback" not in shown.card
            assert shown.spoken != check.failed(), file.name  # our own fault, which none of these is
            assert_plain_sentence(shown.spoken)
        else:
            assert shown.spoken.startswith(("Likely real", "Likely fake", "Undecided"))
    assert len(files) >= 60 and refused > 60
