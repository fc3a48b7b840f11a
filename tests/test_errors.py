import pickle

import pytest

from demiurge.errors import BundleError, DataError, DemiurgeError, ResourceError, UsageError


@pytest.mark.parametrize("kind", [BundleError, DataError, ResourceError, UsageError])
@pytest.mark.parametrize("cure", ["mend it", ""])
def test_errors_of_workers_arrive_as_they_were(kind: type[DemiurgeError], cure: str) -> None:
    error = kind("a.tif: is bad", cure)
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is kind
    assert str(found) == str(error)
    assert (found.what, found.cure) == (error.what, error.cure)
