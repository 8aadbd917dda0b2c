"""The file tree of a simulated machine."""

from __future__ import annotations

from gpu_bringup.hosts.simulated.tree import File, Link, Tree


def tree() -> Tree:
    made = Tree()
    made.write("/usr/lib/x.so.2", "text")
    made.link("/usr/lib/x.so", "x.so.2")
    made.link("/lib", "usr/lib")
    return made


def test_links_are_followed_on_the_way_and_at_the_end() -> None:
    made = tree()
    assert made.resolve("/lib/x.so") == "/usr/lib/x.so.2"
    assert made.resolve("/lib/x.so", last=False) == "/usr/lib/x.so"
    assert isinstance(made.own_node("/lib/x.so"), Link)
    assert made.names("/lib") == ("x.so", "x.so.2")


def test_links_in_a_circle_lead_nowhere() -> None:
    made = Tree()
    made.link("/a", "b")
    made.link("/b", "a")
    assert made.resolve("/a") == "" and not made.exists("/a")


def test_a_link_to_nothing_is_there_and_its_file_is_not() -> None:
    made = tree()
    made.remove("/usr/lib/x.so.2")
    assert not made.exists("/lib/x.so") and made.own_node("/lib/x.so") == Link("x.so.2")


def test_a_folder_goes_with_everything_below_it() -> None:
    made = tree()
    assert made.remove("/usr/lib")
    assert made.names("/usr") == () and made.file("/usr/lib/x.so.2") is None
    assert not made.remove("/usr/lib") and not made.remove("/")


def test_a_copy_goes_its_own_way() -> None:
    made = tree()
    other = made.copy()
    other.write("/usr/lib/x.so.2", "other")
    other.remove("/usr/lib/x.so")
    assert made.file("/lib/x.so") == File("text")


def test_walking_names_each_node_once_and_follows_no_link() -> None:
    seen = [path for path, _ in tree().walk("/")]
    assert len(seen) == len(set(seen)) and "/lib/x.so" not in seen and "/usr/lib/x.so" in seen
