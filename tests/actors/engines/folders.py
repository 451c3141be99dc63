"""A model store of tests with one version of each of several models: the folders it is given."""

from pathlib import Path

from actors.facts import LocalModel


class Folders:
    """`folders`: address of a model -> its folder."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.models = {uri: _version(uri, folder) for uri, folder in folders.items()}
        self.leases: dict[str, str] = {}

    def lease(self, source, holder):
        if source.uri in self.models:
            self.leases[holder] = source.uri
        return self.models.get(source.uri)

    keep = lease

    def move(self, holder, to):
        if holder not in self.leases:
            return False
        self.leases[to] = self.leases.pop(holder)
        return True

    def release(self, holder):
        return self.leases.pop(holder, None) is not None


def _version(uri, folder):
    files = tuple(sorted(path.name for path in folder.iterdir()))
    size = sum((folder / name).stat().st_size for name in files)
    return LocalModel(uri.removeprefix("hf://"), "c" * 40, str(folder), files, size)
