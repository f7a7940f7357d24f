"""The packages that the pools come from: fetched by the registries' own clients, and unpacked into a cache folder."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from scripts.demo.sources import run


class Registry(StrEnum):
    DEBIAN = "debian"
    NPM = "npm"
    PYPI = "pypi"


@dataclass(frozen=True, kw_only=True)
class Package:
    """One package.

    Attributes:
        name: as its registry calls it.
        version: that was seen. npm and PyPI give just this one; Debian gives what the release has, of the same name.
        licence: of the images or data in it, in a few words; its own file goes into each pool's NOTICE.
    """

    registry: Registry
    name: str
    version: str
    licence: str

    @property
    def folder(self) -> str:
        """Its name as a folder of the cache."""
        return self.name.replace("/", "--")


def debian(name: str, version: str, licence: str) -> Package:
    """A package of Debian 12."""
    return Package(registry=Registry.DEBIAN, name=name, version=version, licence=licence)


def npm(name: str, version: str, licence: str) -> Package:
    """A package of npm."""
    return Package(registry=Registry.NPM, name=name, version=version, licence=licence)


def pypi(name: str, version: str, licence: str) -> Package:
    """A package of PyPI."""
    return Package(registry=Registry.PYPI, name=name, version=version, licence=licence)


def fetch(cache: Path, package: Package) -> Path:
    """The folder of the unpacked package, which is downloaded if the cache lacks it.

    Raises:
        SystemExit: the client is not on PATH.
        subprocess.CalledProcessError: it failed; it says why.
    """
    root = cache / "unpacked" / package.folder
    if root.exists():
        return root
    download, partial = (cache / f"{package.folder}.{part}" for part in ("download", "partial"))
    for folder in (download, partial):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    unpack(_download(package, download), partial, package.registry)
    root.parent.mkdir(exist_ok=True)
    partial.rename(root)
    shutil.rmtree(download)
    return root


def _download(package: Package, folder: Path) -> Path:
    if package.registry is Registry.NPM:
        run("npm", "pack", "--silent", f"{package.name}@{package.version}", cwd=folder)
    elif package.registry is Registry.PYPI:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", f"{package.name}=={package.version}"]
        subprocess.run(pip, cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    else:
        run("apt-get", "download", "-q", package.name, cwd=folder)
    (archive,) = folder.iterdir()
    return archive


def unpack(archive: Path, out: Path, registry: Registry) -> None:
    """A wheel, npm's tar or a Debian package into `out`."""
    if registry is Registry.PYPI:
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(out)  # noqa: S202
        return
    tar = archive
    if registry is Registry.DEBIAN:
        tar = archive.with_name("files.tar")
        with tar.open("wb") as file:
            command = [str(shutil.which("dpkg-deb")), "--fsys-tarfile", str(archive)]
            subprocess.run(command, check=True, stdout=file)  # noqa: S603
    with tarfile.open(tar) as members:  # Debian's links are absolute in part
        members.extractall(out, filter="tar" if registry is Registry.DEBIAN else "data")  # noqa: S202


def licence_text(root: Path, package: Package) -> str:
    """What the package itself says of its licence: Debian's copyright file, or the LICENSE of the others."""
    if package.registry is Registry.DEBIAN:
        files = sorted((root / "usr/share/doc").glob("*/copyright"))
    else:
        pattern = "package/LICEN*" if package.registry is Registry.NPM else "*.dist-info/licenses/**/*"
        files = sorted(root.glob(pattern))
    return "\n\n".join(f.read_text(encoding="utf-8", errors="replace") for f in files if f.is_file())
