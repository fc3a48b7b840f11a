import pickle

import pytest

from demiurge.errors import BundleError, DataError, DemiurgeError, ResourceError, UsageError


@pytest.mark.parametrize("kind", [BundleError, DataError, ResourceError, UsageError])
@pytest.mark.parametrize("cure", ["repair it", ""])
def test_errors_survive_pickling(kind: type[DemiurgeError], cure: str) -> None:
    error = kind("a.tif: is bad", cure)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert (copy.what, copy.cure) == (error.what, error.cure)
