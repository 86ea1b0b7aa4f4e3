from cer import cer, distance


def test_distance_counts_insertions_deletions_and_replacements() -> None:
    assert distance("kitten", "sitting") == 3
    assert distance("", "abc") == 3
    assert distance("abc", "") == 3
    assert distance("abc", "abc") == 0
    assert distance("abcdef", "xabcdef") == 1


def test_white_space_and_kinds_of_quotes_do_not_count() -> None:
    assert cer("a  b\n\nc \u201cd\u201d", 'a b c "d"') == 0


def test_the_rate_is_per_character_of_the_truth() -> None:
    assert cer("abcd", "abxd") == 0.25
    assert cer("ab", "") == 1.0
