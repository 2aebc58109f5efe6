import pytest

from safeact_env.sessions.task_index import MAX_LISTED, SIZES, listed, locate, numbered, size, splits


def test_index_is_task_mod_five_and_seed_div_five():
    assert [locate("train", i) for i in range(6)] == [
        ("easy", 0),
        ("medium", 0),
        ("hard", 0),
        ("medical", 0),
        ("cloud_infra", 0),
        ("easy", 1),
    ]
    assert locate("test", 999) == ("cloud_infra", 199)


def test_sizes_are_the_official_ones():
    assert SIZES == {"train": 50_000, "test": 1_000}
    assert [entry["num_tasks"] for entry in splits()] == [50_000, 1_000]


@pytest.mark.parametrize(("split", "index"), [("train", -1), ("train", 50_000), ("test", 1_000)])
def test_an_index_outside_is_refused(split, index):
    with pytest.raises(IndexError, match="from 0 to"):
        numbered(split, index)


def test_an_unknown_split_is_refused():
    with pytest.raises(IndexError, match="train, test"):
        size("validation")


def test_an_entry_names_everything_a_reset_needs():
    assert numbered("test", 7) == {
        "id": "test-7",
        "index": 7,
        "split": "test",
        "task_name": "hard",
        "seed": 1,
    }


def test_a_listing_is_a_slice_and_bounded():
    assert [entry["index"] for entry in listed("test", 998)] == [998, 999]
    assert [entry["index"] for entry in listed("test", -1)] == [999]
    assert len(listed("train")) == MAX_LISTED
    with pytest.raises(IndexError):
        listed("validation")
