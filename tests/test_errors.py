import inspect
import re

from softgate import errors
from softgate.errors import SoftgateError

EVERYTHING = [value for _, value in inspect.getmembers(errors, inspect.isclass)]
CLASSES = [value for value in EVERYTHING if issubclass(value, SoftgateError)]


def tree() -> dict[str, str]:
    """Each class of the docstring's tree → the one it stands under."""
    parents, path = {}, [("", -1)]
    for indent, name in re.findall(r"^( *)[*x+] (\w+)", errors.__doc__ or "", flags=re.MULTILINE):
        while path[-1][1] >= len(indent):
            path.pop()
        parents[name] = path[-1][0]
        path.append((name, len(indent)))
    return parents


def test_the_docstring_draws_the_tree_of_classes() -> None:
    drawn = tree()

    assert drawn.pop("SoftgateError") == ""
    assert drawn == {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES if cls is not SoftgateError}


def test_every_class_is_under_the_base() -> None:
    assert EVERYTHING == CLASSES
    assert all(len(cls.__bases__) == 1 for cls in CLASSES)


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [vars(cls)["code"] for cls in CLASSES]

    assert len(set(codes)) == len(CLASSES)


def test_a_code_is_the_name_of_the_class_in_lower_case() -> None:
    named = {cls: re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower() for cls in CLASSES if cls is not SoftgateError}

    assert {cls: cls.code for cls in named} == named
